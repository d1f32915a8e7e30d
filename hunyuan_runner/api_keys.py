"""API keys as the service knows them: by whose they are and their hash."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Self

_ENTRY = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})(:admin)?")


@dataclass(frozen=True)
class ApiKey:
    """The SHA-256 of a key, in hexadecimal. Only its user knows the key itself."""

    name: str  # of its user; may have several keys, so that a new one can replace an old one
    sha256: str
    admin: bool  # may see every user's jobs

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read name:sha256 or name:sha256:admin. Raises ValueError."""
        match = _ENTRY.fullmatch(text)
        if match is None:
            raise ValueError(
                "must be a comma-separated list of name:sha256 or name:sha256:admin; "
                "`hunyuan keys new NAME` makes one"
            )
        return cls(match[1], match[2], admin=match[3] is not None)

    @classmethod
    def of(cls, name: str, key: str, admin: bool) -> Self:
        """Hash a key. White space around it does not count: headers cannot carry it."""
        return cls(name, hashlib.sha256(key.strip().encode()).hexdigest(), admin)
