"""Who asks: API keys, the rule for those without one, and how much each may ask."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import math
import time
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.types import Scope

from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api_keys import ApiKey
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.settings import Settings

ANONYMOUS = Caller("")
# What a browser loads before it can send a key, what platforms ask for, what clients read first.
OPEN_PATHS = frozenset(
    ("/", "/docs", "/openapi.json", "/schema.json", "/health", "/livez", "/readyz")
)
OPEN_FOLDER = "/static/"
METRICS = "/metrics"
LOCAL_NAMES = ("localhost", "localhost.")


class Guard:
    """Admits requests or refuses them, before anything else looks at them."""

    def __init__(self, settings: Settings) -> None:
        self._keys = settings.api_keys
        self._settings = settings
        self._limiter = _Limiter(settings.rate_limit) if settings.rate_limit else None

    def admit(self, scope: Scope) -> Caller:
        """Whose request this is. Raises ApiError: 401, 403 or 429."""
        if self._is_open(scope["path"]):
            return ANONYMOUS
        headers = Headers(scope=scope)
        presented = _presented_key(headers)
        if presented is not None and self._keys:
            caller = self._owner_of(presented)
            counted_as = f"key {caller.name}"
        else:
            self._require_anonymous_allowed(scope, headers)
            caller = ANONYMOUS
            counted_as = _client_address(scope)
        if self._limiter is not None:
            self._limiter.count(counted_as)
        return caller

    def _is_open(self, path: str) -> bool:
        if path == METRICS:
            return self._settings.public_metrics
        return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)

    def _owner_of(self, presented: str) -> Caller:
        key = _matching(self._keys, presented)
        if key is None:
            raise _unauthorized("This API key is not known here.")
        return Caller(key.name, sees_all=key.admin)

    def _require_anonymous_allowed(self, scope: Scope, headers: Headers) -> None:
        if self._settings.allow_anonymous:
            return
        if self._keys:
            raise _unauthorized("Send an API key, as Authorization: Bearer KEY or X-API-Key: KEY.")
        if not comes_from_here(scope, headers):
            raise ApiError(
                403,
                "keys_not_set",
                "Without API keys this service answers its own machine only: set HUNYUAN_API_KEYS "
                "(`hunyuan keys new NAME` makes one), or HUNYUAN_ALLOW_ANONYMOUS=true.",
            )


class _Limiter:
    """Counts the requests of each caller, in this process."""

    def __init__(self, limit: str) -> None:
        from limits import parse_many, storage, strategies  # where there is a limit only: 0.15 s

        self._limits = parse_many(limit)
        self._windows = strategies.SlidingWindowCounterRateLimiter(storage.MemoryStorage())

    def count(self, caller: str) -> None:
        """Raises ApiError with 429 when it was one too many."""
        for limit in self._limits:
            if not self._windows.hit(limit, caller):
                reset_at = self._windows.get_window_stats(limit, caller).reset_time
                raise too_many(
                    "rate_limited",
                    f"More than {limit.amount} requests in {limit.get_expiry()} seconds.",
                    retry_after=max(1, math.ceil(reset_at - time.time())),
                )


def too_many(code: str, message: str, *, retry_after: int) -> ApiError:
    return ApiError(429, code, message, headers={"Retry-After": str(retry_after)})


def _presented_key(headers: Headers) -> str | None:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-API-Key") or None


def _matching(keys: tuple[ApiKey, ...], presented: str) -> ApiKey | None:
    """The key of this digest; every one is compared, so that time tells nothing."""
    digest = hashlib.sha256(presented.encode()).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": "Bearer"})


def comes_from_here(scope: Scope, headers: Headers) -> bool:
    """Whether a program on this machine asks, and asks this machine by a name of its own."""
    return _is_loopback(_client_address(scope)) and _is_local_name(headers.get("Host", ""))


def _client_address(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else ""


@lru_cache
def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _is_local_name(host: str) -> bool:
    """Whether a Host header names this machine; any other is a proxy's, or a page's that had its
    own name resolve to this machine."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return name.lower() in LOCAL_NAMES or _is_loopback(name.strip("[]"))
