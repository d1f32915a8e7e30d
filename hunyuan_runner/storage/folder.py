"""Storage in a local folder."""

from __future__ import annotations

import errno
import fcntl
import logging
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.protocol import NO_HEADERS, NO_ROOM, STREAM_CHUNK_BYTES, ObjectNotFound

PART_BYTES = 4  # random bytes in the name of an unfinished file
UNFINISHED_RESTORE = "restore-unfinished"  # a file that a restore makes first and deletes last
LOCKING_SECONDS = 10  # allowed between creating a file and locking it

log = logging.getLogger(__name__)


class DataFolderUnusable(Exception):
    """The data folder cannot be created or written to."""


class Folder:
    """A Storage in a local folder.

    When put returns, the file is on the disk. The database row that refers to it is written later,
    so a completed job has its clip even after a power failure.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, key: str, data: bytes | Path, headers: Mapping[str, str] = NO_HEADERS) -> None:
        path = self._root / key
        self._make(path.parent)
        part = path.with_name(f".{path.name}.{secrets.token_hex(PART_BYTES)}")
        try:
            with part.open("xb") as file:
                with suppress(OSError):  # some network file systems have no locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError as error:
            raise ObjectNotFound(key) from error

    def size(self, key: str) -> int:
        try:
            return (self._root / key).stat().st_size
        except FileNotFoundError as error:
            raise ObjectNotFound(key) from error

    def stream(self, key: str, start: int, end: int) -> Iterator[bytes]:
        with (self._root / key).open("rb") as file:
            file.seek(start)
            for position in range(start, end, STREAM_CHUNK_BYTES):
                yield file.read(min(STREAM_CHUNK_BYTES, end - position))

    def signed_url(self, key: str, lifetime: timedelta) -> None:
        """There are none."""

    def delete(self, *keys: str) -> None:
        for key in keys:
            (self._root / key).unlink(missing_ok=True)

    def delete_prefix(self, prefix: str) -> None:
        folder = self._root / prefix
        while folder.exists():
            try:
                shutil.rmtree(folder)
            except OSError as error:  # a worker that does not know of the deletion may still write
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise

    def keys(self, prefix: str) -> Iterator[str]:
        for folder, _, names in os.walk(self._root / prefix):
            for name in names:
                if not name.startswith("."):  # an unfinished file
                    yield str((Path(folder) / name).relative_to(self._root))

    def folders_older_than(self, prefix: str, age: timedelta) -> set[str]:
        limit = (datetime.now(UTC) - age).timestamp()
        return {
            folder.name
            for folder in (self._root / prefix).glob("*/")
            if _written_at(folder) < limit
        }

    def delete_unfinished(self) -> None:
        for part in self._root.glob(f"**/.*.{'?' * 2 * PART_BYTES}"):
            # A process that is still writing the file holds its lock.
            with suppress(OSError), part.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(file.fileno()).st_ctime > LOCKING_SECONDS:
                    part.unlink()

    def _make(self, folder: Path) -> None:
        if not folder.is_dir():
            self._make(folder.parent)
            folder.mkdir(exist_ok=True)
            _sync_folder(folder.parent)


def _written_at(folder: Path) -> float:
    """When the folder last changed, in seconds since the epoch; infinity if it is gone."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except FileNotFoundError:
        return math.inf


def _sync_folder(folder: Path) -> None:
    """Write the folder's list of files to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare_data_folder(settings: Settings) -> Path:
    """Create the data folder if it is missing, check that it is writable, and return its full path.

    A full disk is accepted: finished clips can still be downloaded, and space may be freed later.
    Raises DataFolderUnusable if the folder cannot be created or written to.
    """
    folder = settings.data_dir.absolute()
    if (folder / UNFINISHED_RESTORE).exists():
        raise DataFolderUnusable(
            f"a restore into the data folder {folder} did not finish. Empty the folder, and "
            "restore again."
        )
    probe = folder / f".write-test-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in NO_ROOM and folder.is_dir():
            log.warning("the disk of the data folder %s is full: no job is accepted", folder)
            return folder
        raise DataFolderUnusable(
            f"cannot write to the data folder {folder}: {error.strerror}. {_remedy(folder)}, "
            "or set HUNYUAN_DATA_DIR to another folder."
        ) from error
    return folder


def _remedy(folder: Path) -> str:
    user = os.geteuid()
    # A folder that is mounted into a container often belongs to somebody else.
    if folder.is_dir() and (owner := folder.stat().st_uid) != user:
        return f"It belongs to user {owner}, but this is user {user}: chown -R {user} the folder"
    return "Free some space, fix its permissions"
