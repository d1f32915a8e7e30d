"""What the links in an answer begin with, so that its reader can follow them."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import Scope

from hunyuan_runner.api.auth import comes_from_here
from hunyuan_runner.settings import PATH_PREFIX, Settings

PREFIX_HEADER = "X-Forwarded-Prefix"
MAX_PREFIX = 200  # characters
# A proxy sends these to show that the request was addressed to another host.
PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", PREFIX_HEADER)


def base_of(scope: Scope, settings: Settings) -> str:
    """What the links of an answer begin with: HUNYUAN_PUBLIC_URL, or the prefix that a proxy names.

    Without either it is empty: links are then paths of this service.
    """
    return settings.public_url or forwarded_prefix(Headers(scope=scope))


def forwarded_prefix(headers: Headers) -> str:
    """The path under which a proxy exposes this service; empty if the header is no plain path.

    Anybody can send the header, so it may only name a path of the same host, and only affects the
    answer to its own request. With several proxies in a row, the outermost names the first part.
    """
    named = ",".join(headers.getlist(PREFIX_HEADER))
    parts = [part.strip(" \t").rstrip("/") for part in named.split(",")]
    plain = len(named) <= MAX_PREFIX and all(re.fullmatch(PATH_PREFIX, part) for part in parts)
    return "".join(parts) if plain else ""


def lasting_base(scope: Scope) -> str:
    """What the links in a job's webhooks begin with if there is no HUNYUAN_PUBLIC_URL.

    If a program on this machine submits the job without a proxy, this is the address it used. Any
    other host that a request names may be false, and would be sent to the webhook as ours.
    """
    headers = Headers(scope=scope)
    host, port = scope.get("server") or ("", None)
    direct = not any(name in headers for name in PROXY_HEADERS)
    if direct and port and comes_from_here(scope, headers):
        return f"{scope['scheme']}://{f'[{host}]' if ':' in host else host}:{port}"
    return forwarded_prefix(headers)
