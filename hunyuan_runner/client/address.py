"""The address of a service, as people type it, and the proxy on the way to it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Self
from urllib.request import getproxies, proxy_bypass

import httpx

from hunyuan_runner.client.errors import ServiceUnavailable
from hunyuan_runner.network import is_loopback, literal_address

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 3000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
SCHEMES = ("http", "https")
SOCKS_SCHEMES = ("socks5", "socks5h")


@dataclass(frozen=True)
class Address:
    """A service, and the proxy that the environment names for it."""

    url: httpx.URL
    proxy: httpx.Proxy | None

    @classmethod
    def of(cls, typed: str) -> Self:
        """Raises ServiceUnavailable if `typed`, or the proxy for it, cannot be used."""
        url = service_url(typed)
        return cls(url, _proxy_for(url))

    def __str__(self) -> str:
        """For messages: without a password."""
        shown = without_password(str(self.url))
        return f"{shown} through the proxy {self.proxy.url}" if self.proxy else shown

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for an httpx client of the service."""
        return {
            "base_url": self.url,
            "proxy": self.proxy,
            "trust_env": False,  # httpx would use a proxy for loopback too
            "verify": httpx.create_ssl_context(),
        }


def service_url(typed: str) -> httpx.URL:
    """The URL for what was typed, without a slash at the end. Raises ServiceUnavailable.

    Without a scheme it is http, but https for a domain without a port, as in browsers.
    """
    typed = re.sub(r"(?<=[^:/])/+$", "", typed.strip())
    try:
        url = httpx.URL(typed if "://" in typed else f"http://{typed}")
        if "://" not in typed and _is_domain(url):
            url = url.copy_with(scheme="https")
        if (problem := _problem(url, SCHEMES)) is not None:
            raise _unusable(typed, problem)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise _unusable(typed, str(error)) from error
    return url


def followed(link: str, base_url: str) -> str:
    """The URL of a link in an answer, for a client that uses this base URL.

    A link is a whole URL, a path that begins with the base URL's (a proxy said so), or one below.
    """
    url = httpx.URL(base_url)
    prefix = url.path.rstrip("/")
    if link.startswith("/") and not link.startswith(f"{prefix}/"):
        link = prefix + link
    return str(url.join(link))


def authorization(api_key: str | None) -> dict[str, str]:
    """The header with the key, by default HUNYUAN_API_KEY. Raises ServiceUnavailable."""
    key = (api_key or os.environ.get("HUNYUAN_API_KEY", "")).strip()
    if not re.fullmatch(r"[\x20-\x7e]*", key):  # messages must not show the key
        raise _hopeless(
            "the API key contains a line break or a character that is not ASCII. Copy it again."
        )
    return {"Authorization": f"Bearer {key}"} if key else {}


def _is_domain(url: httpx.URL) -> bool:
    named = literal_address(url.host) is None and "." in url.host
    return named and url.port is None and not is_loopback(url.host)


def _problem(url: httpx.URL, schemes: Sequence[str]) -> str | None:
    """Why this cannot be the address of a service or of a proxy."""
    if url.scheme not in schemes:
        return f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    if not url.host or "%" in url.host:  # httpx escapes what a host cannot contain
        return "it has no host"
    if url.port is not None and not 1 <= url.port <= 65535:
        return f"{url.port} is not a port"
    if url.query or url.fragment:
        return "it has a query or a fragment"
    url.host.encode("idna")  # raises UnicodeError if no resolver accepts it
    return None


def _unusable(typed: str, problem: str) -> ServiceUnavailable:
    return _hopeless(
        f"{without_password(typed)} is not the address of a service ({problem}). "
        f"Use one like {DEFAULT_URL}."
    )


def without_password(url: str) -> str:
    """The URL without a user name and password."""
    return re.sub(r"(^|//)[^/@]*@", r"\1", url)


def _proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """The proxy by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY. None for loopback.

    Raises ServiceUnavailable if httpx cannot use that proxy.
    """
    if is_loopback(url.host):
        return None
    proxies = getproxies()
    name = url.scheme if proxies.get(url.scheme) else "all"
    address = proxies.get(name)
    if not address or _is_exempt(url, proxies.get("no", "")):
        return None
    try:
        proxy = httpx.Proxy(address if "://" in address else f"http://{address}")
        problem = _problem(proxy.url, (*SCHEMES, *SOCKS_SCHEMES))
    except (httpx.InvalidURL, ValueError):
        problem = "it cannot be read"
    if problem is not None:
        raise _unusable_proxy(name, url, f"is not the address of a proxy ({problem})")
    if proxy.url.scheme in SOCKS_SCHEMES and importlib.util.find_spec("socksio") is None:
        raise _unusable_proxy(name, url, "is a SOCKS proxy, which needs the package socksio")
    return proxy


def _is_exempt(url: httpx.URL, exempt: str) -> bool:
    """Whether NO_PROXY contains the host, its domain, its host and port, or its network."""
    if proxy_bypass(url.host) or proxy_bypass(url.netloc.decode("ascii")):
        return True
    address = literal_address(url.host)
    for entry in exempt.split(","):
        with suppress(ValueError):  # the entry is a name
            if address is not None and address in ip_network(entry.strip(), strict=False):
                return True
    return False


def _unusable_proxy(name: str, url: httpx.URL, problem: str) -> ServiceUnavailable:
    return _hopeless(
        f"the value of {name.upper()}_PROXY {problem}. Correct it, or set NO_PROXY={url.host} to "
        "reach the service without a proxy."
    )


def _hopeless(problem: str) -> ServiceUnavailable:
    error = ServiceUnavailable(problem)
    error.temporary = False
    return error
