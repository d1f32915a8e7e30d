"""What every storage can do, and how it fails."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Protocol

STREAM_CHUNK_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class ObjectNotFound(LookupError):
    """There is no object under this key."""


class StorageFailed(Exception):
    """The bucket does not answer, or refuses; the message says why."""


class Storage(Protocol):
    """Objects by key; a put is seen whole or not at all, and once it returns it stays.

    Whatever fails otherwise than said raises OSError or StorageFailed.
    """

    def put(self, key: str, data: bytes | Path) -> None: ...

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises ObjectNotFound."""
        ...

    def size(self, key: str) -> int:
        """The object's size in bytes. Raises ObjectNotFound."""
        ...

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `end`, a chunk at a time."""
        ...

    def delete(self, *keys: str) -> None:
        """Delete these objects, as far as they exist."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object whose key begins with the folder `prefix`."""
        ...

    def folders_older_than(self, prefix: str, age: timedelta) -> set[str]:
        """Names of the folders right under `prefix` in which nothing was written for `age`."""
        ...

    def delete_unfinished(self) -> None:
        """Delete what is left of puts whose process was killed half-way."""
        ...
