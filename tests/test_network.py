"""What may be connected to, and that nothing else is."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from ipaddress import ip_address

import httpcore
import pytest

from hunyuan_runner import network
from hunyuan_runner.network import (
    Address,
    AddressRefused,
    Network,
    Resolve,
    is_public,
    resolve,
)

PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "8.8.8.8",
        "2606:4700::1111",
        f"::ffff:{PUBLIC}",
        f"64:ff9b::{PUBLIC}",
        "2002:5db8:d70e::1",
    ],
)
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",  # metadata of Alibaba's cloud
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",  # Azure's platform
        "169.254.169.254",  # metadata of most clouds
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",  # metadata of Oracle's cloud
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::8.8.8.8",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ],
)
def test_every_other_address_is_not(address: str) -> None:
    assert not is_public(ip_address(address))


class Recorder(httpcore.AsyncNetworkBackend):
    """Where a connection would have gone; the addresses in `dead` take none."""

    def __init__(self, *dead: str) -> None:
        self.asked: list[tuple[str, int]] = []
        self._dead = dead

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        if host in self._dead:
            raise httpcore.ConnectError(f"{host} is dead")
        return httpcore.AsyncNetworkStream()


class Names:
    """A name server whose answers change: the next ones at every look-up."""

    def __init__(self, *answers: Iterable[str]) -> None:
        self._answers = iter(answers)

    async def __call__(self, host: str) -> list[Address]:
        return [ip_address(address) for address in next(self._answers)]


def connect(host: str, recorder: Recorder, resolve: Resolve | None = None) -> None:
    connections = Network(resolve, recorder) if resolve else Network(network=recorder)
    asyncio.run(connections.connect_tcp(host, 443))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "::ffff:10.0.0.1"])
def test_a_host_of_this_network_is_not_connected_to(host: str) -> None:
    recorder = Recorder()
    with pytest.raises(AddressRefused, match=f"{host} is not a public address"):
        connect(host, recorder)
    assert recorder.asked == []


def test_a_name_that_means_both_is_not_connected_to() -> None:
    recorder = Recorder()
    with pytest.raises(AddressRefused):
        connect("both.example", recorder, Names([PUBLIC, "10.0.0.1"]))
    assert recorder.asked == []


def test_the_address_that_was_looked_at_is_the_one_connected_to() -> None:
    recorder = Recorder()
    connect("rebound.example", recorder, Names([PUBLIC], ["127.0.0.1"]))
    assert recorder.asked == [(PUBLIC, 443)]


def test_a_name_s_next_address_is_tried_where_one_is_dead() -> None:
    recorder = Recorder("2606:4700::1111")
    connect("example.com", recorder, Names(["2606:4700::1111", PUBLIC]))
    assert recorder.asked == [("2606:4700::1111", 443), (PUBLIC, 443)]
    with pytest.raises(httpcore.ConnectError, match="is dead"):
        connect("example.com", Recorder(PUBLIC), Names([PUBLIC]))


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example"])
def test_a_name_without_an_address_is_a_failed_connection(host: str) -> None:
    with pytest.raises(httpcore.ConnectError, match=host):
        connect(host, Recorder())


def test_a_look_up_that_hangs_holds_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    asked: list[str] = []

    def look_up(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if host.startswith("hanging"):
            over.wait()
        return [(2, 1, 6, "", (PUBLIC, 0))]

    async def ask() -> None:
        hanging = [asyncio.create_task(resolve(f"hanging-{n % 50}.example")) for n in range(200)]
        await asyncio.sleep(0)
        assert await resolve("example.com") == [ip_address(PUBLIC)]
        for task in hanging[:100]:  # given up by those who asked, not by the others
            task.cancel()
        over.set()
        assert await asyncio.gather(*hanging[100:]) == [[ip_address(PUBLIC)]] * 100

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    asyncio.run(ask())
    assert len(asked) == 51  # a name is looked up once, however many wait for it


def test_look_ups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MAX_LOOK_UPS", 0)
    with pytest.raises(httpcore.ConnectError, match="too many names"):
        connect("example.com", Recorder())
