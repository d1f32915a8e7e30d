"""Files by key in a bucket of S3, Google or Azure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import ObjectStore, from_url

from hunyuan_runner.storage import STREAM_CHUNK_BYTES, ObjectNotFound


class Bucket:
    """Storage in any store that obstore knows."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str) -> Self:
        return cls(from_url(url))

    def put(self, key: str, data: bytes | Path) -> None:
        obstore.put(self._store, key, data)

    def get(self, key: str) -> bytes:
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except (FileNotFoundError, NotFoundError) as error:
            raise ObjectNotFound(key) from error

    def size(self, key: str) -> int:
        try:
            return obstore.head(self._store, key)["size"]
        except (FileNotFoundError, NotFoundError) as error:
            raise ObjectNotFound(key) from error

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        for chunk_start in range(start, end, STREAM_CHUNK_BYTES):
            chunk_end = min(chunk_start + STREAM_CHUNK_BYTES, end)
            yield bytes(obstore.get_range(self._store, key, start=chunk_start, end=chunk_end))

    def delete(self, *keys: str) -> None:
        for key in keys:
            with suppress(FileNotFoundError, NotFoundError):
                obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> None:
        for objects in obstore.list(self._store, prefix):
            obstore.delete(self._store, [item["path"] for item in objects])

    def folders_older_than(self, prefix: str, age: timedelta) -> set[str]:
        limit = datetime.now(UTC) - age
        newest: dict[str, datetime] = {}
        for objects in obstore.list(self._store, prefix):
            for item in objects:
                name = item["path"].removeprefix(prefix + "/").split("/")[0]
                newest[name] = max(newest.get(name, item["last_modified"]), item["last_modified"])
        return {name for name, written in newest.items() if written < limit}
