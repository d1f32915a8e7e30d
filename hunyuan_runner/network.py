"""Outgoing connections, which can be limited to the public internet."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Thread
from typing import Any

import httpcore

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[list[Address]]]

CONNECT_SECONDS = 3.0  # for each of a name's addresses
MAX_LOOK_UPS = 256  # at the same time; each has a thread of its own
GLOBAL_UNICAST = IPv6Network("2000::/3")
NAT64 = IPv6Network("64:ff9b::/96")
# Addresses that some versions of Python call public, but that clouds use internally: Azure's
# platform, and the block of Oracle's metadata service.
PLATFORMS = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))


class AddressRefused(Exception):
    """The host is, or resolves to, an address that is not public."""

    def __init__(self, host: str) -> None:
        # The address is left out, so that nobody can look up internal names this way.
        super().__init__(f"{host} is not a public address")


def is_public(address: Address) -> bool:
    """Whether a host on the internet can have this address, or the IPv4 address embedded in it."""
    if isinstance(address, IPv6Address):
        embedded = address.ipv4_mapped or address.sixtofour or _behind_nat64(address)
        if embedded is not None:
            return is_public(embedded)
        if address not in GLOBAL_UNICAST:
            return False
    if any(address in platform for platform in PLATFORMS):
        return False
    return address.is_global and not address.is_multicast


def _behind_nat64(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else None


def literal_address(host: str) -> Address | None:
    """The address, if a URL's host is an address and not a name."""
    try:
        return ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


_Found = list[tuple[Any, ...]]
_looked_up: dict[str, Future[_Found]] = {}  # the names that are being looked up


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine, as a name or as an address in any notation."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    with suppress(OSError):
        host = socket.inet_ntoa(socket.inet_aton(host))  # 127.1
    address = literal_address(host)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return address is not None and (address.is_loopback or address.is_unspecified)


async def resolve(host: str) -> list[Address]:
    """The addresses of a name, in order of preference. Raises OSError if it has none."""
    if (found := _looked_up.get(host)) is None:
        if len(_looked_up) >= MAX_LOOK_UPS:
            raise socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
        found = _looked_up[host] = Future()
        found.set_running_or_notify_cancel()  # so that a caller who gives up cannot cancel it
        # Each look-up has a daemon thread: one that hangs must delay neither the others nor the end
        # of the process.
        Thread(target=_look_up, args=(host, found), daemon=True).start()
    try:
        places = await asyncio.wrap_future(found)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from error
    return [ip_address(place[0]) for *_, place in places]


def _look_up(host: str, found: Future[_Found]) -> None:
    try:
        found.set_result(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        found.set_exception(error)
    finally:
        del _looked_up[host]


class Network(httpcore.AsyncNetworkBackend):
    """Checks all addresses of a name, then connects to these addresses and no others."""

    def __init__(
        self,
        resolve: Resolve = resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
        allows: Callable[[Address], bool] | None = is_public,
    ) -> None:
        """`allows` decides which addresses may be connected to; None allows all."""
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()
        self._allows = allows

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers.

        Raises AddressRefused if any address of the host is not allowed, and httpcore.ConnectError
        or ConnectTimeout if none answers.
        """
        literal = literal_address(host)
        try:
            addresses = [literal] if literal is not None else await self._resolve(host)
        except OSError as error:
            raise httpcore.ConnectError(f"{host}: {error.strerror}") from error
        if self._allows is not None and not all(map(self._allows, addresses)):
            raise AddressRefused(host)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure
