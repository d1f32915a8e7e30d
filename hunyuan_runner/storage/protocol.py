"""The interface of every storage, and its errors."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

STREAM_CHUNK_BYTES = 1 << 20
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class ObjectNotFound(LookupError):
    """There is no object under this key."""


class StorageFailed(Exception):
    """The bucket does not answer or refuses a request; the message says why."""


class Storage(Protocol):
    """Objects by key. Every method raises OSError or StorageFailed if the storage fails."""

    def put(self, key: str, data: bytes | Path, headers: Mapping[str, str] = NO_HEADERS) -> None:
        """Store bytes, or a file's content, and replace what is there.

        Readers see all of it or nothing. Once this returns, the object survives a power failure.
        `headers` are those that come with the object at its signed_url.
        """
        ...

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises ObjectNotFound."""
        ...

    def size(self, key: str) -> int:
        """The object's size in bytes. Raises ObjectNotFound."""
        ...

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` up to, but not including, `end`, in chunks of 1 MiB at most."""
        ...

    def signed_url(self, key: str, lifetime: timedelta) -> str | None:
        """A URL at which everybody can read the object for so long. None if there are no such URLs.

        It asks nobody, so it does not say whether the object exists.
        """
        ...

    def delete(self, *keys: str) -> None:
        """Delete these objects; those that do not exist are ignored."""
        ...

    def delete_prefix(self, prefix: str) -> None:
        """Delete every object whose key begins with the folder `prefix`."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of all objects in the folder `prefix`, in no order.

        One that is put or deleted meanwhile may be among them or not.
        """
        ...

    def folders_older_than(self, prefix: str, age: timedelta) -> set[str]:
        """The names of the folders directly in `prefix` whose files are all older than `age`."""
        ...

    def delete_unfinished(self) -> None:
        """Delete the parts that killed processes left of files they were writing."""
        ...
