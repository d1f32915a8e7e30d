"""Who sends a request: API keys, the rule for requests without one, and rate limits."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from collections.abc import Sequence
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.sessions import COOKIE, Sessions
from hunyuan_runner.api_keys import ApiKey
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.network import literal_address
from hunyuan_runner.settings import Network, Settings

ANONYMOUS = Caller("")
# What a browser loads before it can send a key, health checks, and what clients read first.
OPEN_PATHS = frozenset(
    (
        "/",
        "/docs",
        "/openapi.json",
        "/schema.json",
        "/health",
        "/livez",
        "/readyz",
        "/studio/login",
    )
)
OPEN_FOLDER = "/static/"
# Where a session counts for every method. These routes refuse requests from other pages; elsewhere
# another page on this host could make a browser send one, so a session may only read.
STUDIO = "/studio/"
METRICS = "/metrics"
LOCAL_NAMES = ("localhost", "localhost.")


class Guard:
    """Admits or refuses a request, before anything else looks at it."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.accepted_keys
        self._settings = settings
        self.sessions: Sessions | None = None  # until the job store, which has its secret, is open
        self._limiter = _Limiter(settings.rate_limit) if settings.rate_limit else None

    def admit(self, scope: Scope) -> Caller:
        """The caller who sent this request. Raises ApiError with 401, 403 or 429."""
        if self._is_open(scope["path"]):
            return ANONYMOUS
        caller = self.identify(scope)
        if self._limiter is not None:
            self._limiter.count(f"key {caller.name}" if caller.name else _client_address(scope))
        return caller

    def identify(self, scope: Scope) -> Caller:
        """The caller who sent this request, whatever its path. Raises ApiError with 401 or 403."""
        headers = Headers(scope=scope)
        presented = _presented_key(headers)
        if presented is not None and self._keys:
            return _caller(self.key_named(presented))
        if (session := self._session_key(scope, headers)) is not None:
            return _caller(session)
        self._require_anonymous_allowed(scope, headers)
        return ANONYMOUS

    def key_named(self, presented: str) -> ApiKey:
        """The entry of HUNYUAN_API_KEYS for this key. Raises ApiError with 401."""
        key = _matching(self._keys, presented)
        if key is None:
            raise _unauthorized("The API key is unknown; check it.")
        return key

    def _session_key(self, scope: Scope, headers: Headers) -> ApiKey | None:
        """The key that opened the session of this request, if it may use its session here."""
        if scope["method"] not in ("GET", "HEAD") and not scope["path"].startswith(STUDIO):
            return None
        token = session_token(headers)
        return self.sessions.key_of(token) if token and self.sessions else None

    def _is_open(self, path: str) -> bool:
        if path == METRICS:
            return self._settings.public_metrics
        return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)

    def _require_anonymous_allowed(self, scope: Scope, headers: Headers) -> None:
        if self._settings.allow_anonymous:
            return
        if self._keys:
            raise _unauthorized(
                "An API key is required; send it as Authorization: Bearer KEY or X-API-Key: KEY."
            )
        if not comes_from_here(scope, headers):
            raise ApiError(
                403,
                "keys_not_set",
                "This service has no API keys, so it answers only its own machine. Set "
                "HUNYUAN_API_KEYS (`hunyuan keys new NAME` makes a key), or "
                "HUNYUAN_ALLOW_ANONYMOUS=true.",
            )


class _Limiter:
    """Counts the requests of each caller, within this process."""

    def __init__(self, limit: str) -> None:
        from limits import parse_many, storage, strategies  # takes 0.15 s, needed only with a limit

        self._limits = parse_many(limit)
        self._windows = strategies.SlidingWindowCounterRateLimiter(storage.MemoryStorage())

    def count(self, caller: str) -> None:
        """Count a request. Raises ApiError with 429 if it exceeds a limit."""
        for limit in self._limits:
            if not self._windows.hit(limit, caller):
                reset_at = self._windows.get_window_stats(limit, caller).reset_time
                wait = max(1, math.ceil(reset_at - time.time()))
                allowed = f"{limit.amount} requests in {limit.get_expiry()} seconds"
                message = f"More than {allowed}; wait {wait} s."
                raise too_many("rate_limited", message, retry_after=wait)


def too_many(code: str, message: str, *, retry_after: int) -> ApiError:
    return ApiError(429, code, message, headers={"Retry-After": str(retry_after)})


def session_token(headers: Headers) -> str | None:
    """The session that a browser presents."""
    cookies = headers.get("Cookie", "")
    return cookie_parser(cookies).get(COOKIE) if COOKIE in cookies else None


def _caller(key: ApiKey) -> Caller:
    return Caller(key.name, sees_all=key.admin)


def _presented_key(headers: Headers) -> str | None:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-API-Key") or None


def _matching(keys: tuple[ApiKey, ...], presented: str) -> ApiKey | None:
    """The key that was presented. All are compared, so that the time taken reveals nothing."""
    digest = hashlib.sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def comes_from_here(scope: Scope, headers: Headers) -> bool:
    """Whether the request is from this machine, and addressed to it by one of its local names."""
    return _is_loopback(_client_address(scope)) and _is_local_name(headers.get("Host", ""))


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address of the client, as `trusted` proxies name it; empty if it is not known.

    Each proxy adds the address of its own client at the end of X-Forwarded-For. What stands before
    the first one that is not trusted may be made up.
    """
    address = _client_address(scope)
    named = ",".join(Headers(scope=scope).getlist("X-Forwarded-For")).split(",")
    hops = [hop.strip() for hop in named if hop.strip()]
    while hops and _is_in(address, trusted):
        address = hops.pop()
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    literal = literal_address(address)
    return literal is not None and any(literal in network for network in networks)


def _client_address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


@lru_cache
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_local_name(host: str) -> bool:
    """Whether a Host header names this machine. Other names come from a proxy, or from a page whose
    own name was made to resolve to this machine (DNS rebinding)."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name.lower() in LOCAL_NAMES or _is_loopback(name.strip("[]"))
