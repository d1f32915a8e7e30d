"""Sessions of browsers: a cookie in place of an API key, which <video> and EventSource can send.

A session is a signed expiry date. It names no user and holds no key. Its signature covers the hash
of the key that opened it, so it ends when that key is removed from HUNYUAN_API_KEYS.
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass

from hunyuan_runner.api_keys import ApiKey

COOKIE = "hunyuan_session"
SESSION_SECONDS = 12 * 3600
RENEWED_AFTER_SECONDS = SESSION_SECONDS / 4
TOKEN = re.compile(r"(\d{1,12})\.([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True)
class Sessions:
    """Opens sessions, and recognises them. `secret` is shared by all fronts of the service."""

    secret: bytes
    keys: tuple[ApiKey, ...]

    def open(self, key: ApiKey) -> str:
        """The token of a new session, for SESSION_SECONDS."""
        expires = str(int(time.time()) + SESSION_SECONDS)
        return f"{expires}.{self._signature(expires, key)}"

    def key_of(self, token: str) -> ApiKey | None:
        """The key that opened this session; None if it has ended, or was never opened."""
        match = TOKEN.fullmatch(token)
        if match is None or int(match[1]) <= time.time():
            return None
        found = None
        for key in self.keys:  # all, so that the time taken reveals nothing
            if hmac.compare_digest(self._signature(match[1], key), match[2]):
                found = key
        return found

    def _signature(self, expires: str, key: ApiKey) -> str:
        return hmac.digest(self.secret, f"{expires} {key.sha256}".encode(), "sha256").hex()


def is_old(token: str) -> bool:
    """Whether a valid session that is still in use should be replaced by a new one."""
    expires = int(token.partition(".")[0])
    return expires - time.time() < SESSION_SECONDS - RENEWED_AFTER_SECONDS
