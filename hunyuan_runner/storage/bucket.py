"""Storage in a bucket of S3, Google Cloud or Azure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from hunyuan_runner.storage.protocol import (
    NO_HEADERS,
    STREAM_CHUNK_BYTES,
    ObjectNotFound,
    StorageFailed,
)

if TYPE_CHECKING:
    from obstore.store import RetryConfig

# A request to a bucket that does not answer fails after this time plus obstore's own 30 s.
# AWS_TIMEOUT and similar variables change the 30 s; client options passed here would override them.
RETRY: RetryConfig = {"retry_timeout": timedelta(minutes=1)}

S3_CODE = re.compile(r"<Code>(\w+)</Code>")
REFUSED = re.compile(r"status code: (?:401|403)\b")
NO_BUCKET = "NoSuchBucket"
# Where obstore looks for credentials if the environment has none.
METADATA_SERVICE = "http://169.254.169.254/"
CREDENTIALS = (
    "the bucket's credentials in the environment, such as AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY"
)


class Bucket:
    """A Storage in any store that obstore supports."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str) -> Self:
        """The bucket at `url`, like `s3://bucket/prefix`, with credentials of the environment.

        Raises StorageFailed if it is no such URL.
        """
        with _failing():
            return cls(from_url(url, retry_config=RETRY))

    def put(self, key: str, data: bytes | Path, headers: Mapping[str, str] = NO_HEADERS) -> None:
        with _failing():
            obstore.put(self._store, key, data, attributes={**headers})

    def get(self, key: str) -> bytes:
        with _failing(key):
            return bytes(obstore.get(self._store, key).bytes())

    def size(self, key: str) -> int:
        with _failing(key):
            return obstore.head(self._store, key)["size"]

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        for chunk_start in range(start, end, STREAM_CHUNK_BYTES):
            chunk_end = min(chunk_start + STREAM_CHUNK_BYTES, end)
            with _failing(key):
                chunk = obstore.get_range(self._store, key, start=chunk_start, end=chunk_end)
            yield bytes(chunk)

    def signed_url(self, key: str, lifetime: timedelta) -> str | None:
        if not isinstance(self._store, (S3Store, GCSStore, AzureStore)):
            return None
        with _failing():
            return obstore.sign(self._store, "GET", key, lifetime)

    def delete(self, *keys: str) -> None:
        for key in keys:
            with suppress(ObjectNotFound), _failing(key):
                obstore.delete(self._store, key)

    def delete_prefix(self, prefix: str) -> None:
        with _failing():
            for objects in obstore.list(self._store, prefix):
                obstore.delete(self._store, [item["path"] for item in objects])

    def keys(self, prefix: str) -> Iterator[str]:
        with _failing():
            for objects in obstore.list(self._store, prefix):
                yield from (item["path"] for item in objects)

    def folders_older_than(self, prefix: str, age: timedelta) -> set[str]:
        limit = datetime.now(UTC) - age
        newest: dict[str, datetime] = {}
        with _failing():
            for objects in obstore.list(self._store, prefix):
                for item in objects:
                    name = item["path"].removeprefix(prefix + "/").split("/")[0]
                    written = item["last_modified"]
                    newest[name] = max(newest.get(name, written), written)
        return {name for name, written in newest.items() if written < limit}

    def delete_unfinished(self) -> None:
        """Nothing to do: an interrupted upload never becomes an object."""


@contextmanager
def _failing(key: str | None = None) -> Iterator[None]:
    """Turn obstore's errors into StorageFailed, or into ObjectNotFound if `key` does not exist."""
    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        missing = isinstance(error, (FileNotFoundError, NotFoundError))
        if key is not None and missing and NO_BUCKET not in str(error):
            raise ObjectNotFound(key) from error
        raise StorageFailed(_explained(error)) from error


def _explained(error: Exception) -> str:
    """What is wrong and, if that is known, what to do."""
    text = str(error)
    match = S3_CODE.search(text)
    code = match[1] if match else ""
    if METADATA_SERVICE in text:
        return f"No credentials for the bucket were found. Set {CREDENTIALS}."
    if code == NO_BUCKET:
        return "The bucket of HUNYUAN_STORAGE_URL does not exist. Create it, or correct the name."
    if REFUSED.search(text):
        answer = f" ({code})" if code else ""
        return (
            f"The bucket refuses access{answer}. Check {CREDENTIALS}, and that they may read, "
            "write, list and delete objects."
        )
    reason = text.partition("\n")[0]  # the rest is debug output of obstore
    return f"The bucket failed: {reason}"
