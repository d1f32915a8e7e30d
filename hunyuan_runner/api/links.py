"""What links to this service begin with, as whoever follows them reaches it."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.types import Scope

from hunyuan_runner.api.auth import comes_from_here
from hunyuan_runner.settings import PATH_PREFIX, Settings

PREFIX_HEADER = "X-Forwarded-Prefix"
MAX_PREFIX = 200  # characters
# By these a proxy shows that what it passes on was asked for elsewhere.
PROXY_HEADERS = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", PREFIX_HEADER)


def base_of(scope: Scope, settings: Settings) -> str:
    """What the links of an answer begin with: HUNYUAN_PUBLIC_URL, or the prefix that a proxy names.

    Where neither is, links are paths of this service.
    """
    return settings.public_url or forwarded_prefix(Headers(scope=scope))


def forwarded_prefix(headers: Headers) -> str:
    """The path below which a proxy shows this service; none if it is not plainly a path.

    Anybody may send the header. It can name a path of the same host alone, in the answer to the
    request that has it. Of proxies in a row, the outermost names the first part.
    """
    named = ",".join(headers.getlist(PREFIX_HEADER))
    parts = [part.strip(" \t").rstrip("/") for part in named.split(",")]
    plain = len(named) <= MAX_PREFIX and all(re.fullmatch(PATH_PREFIX, part) for part in parts)
    return "".join(parts) if plain else ""


def lasting_base(scope: Scope) -> str:
    """What the links of a job's webhooks begin with, where there is no HUNYUAN_PUBLIC_URL.

    For a program on this machine, which asks without a proxy, the address that it asked. Any other
    host that a request names may be a lie, which would be sent to the webhook as ours.
    """
    headers = Headers(scope=scope)
    host, port = scope.get("server") or ("", None)
    direct = not any(name in headers for name in PROXY_HEADERS)
    if direct and port and comes_from_here(scope, headers):
        return f"{scope['scheme']}://{f'[{host}]' if ':' in host else host}:{port}"
    return forwarded_prefix(headers)
