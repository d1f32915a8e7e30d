"""A folder for files that are deleted when the process that made them ends."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "of-"
ABANDONED_SECONDS = 24 * 3600  # earlier versions left files without a lock


class Scratch:
    """This process's folder in `root`, which other processes may share.

    Each process locks its own folder as long as it lives. A folder without a lock was left by a
    process that was killed, and the next process deletes it.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder: Path | None = None
        self._lock: int | None = None
        root.mkdir(parents=True, exist_ok=True)
        with _opened(root) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for path in root.iterdir():
                if path.name.startswith(PREFIX):
                    _delete_unless_locked(path)
                elif time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    _delete(path)

    @property
    def folder(self) -> Path:
        """Made when needed, and made again if somebody deleted it."""
        if self._folder is None or not self._folder.is_dir():
            self.close()
            self._root.mkdir(parents=True, exist_ok=True)
            with _opened(self._root) as descriptor:  # locked, so that no other process deletes it
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                folder = self._root / f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
                folder.mkdir()
                self._folder, self._lock = folder, os.open(folder, os.O_RDONLY)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._folder

    def close(self) -> None:
        """Delete the folder."""
        if self._folder is not None and self._lock is not None:
            _delete(self._folder)
            os.close(self._lock)
            self._folder = self._lock = None


def _delete_unless_locked(folder: Path) -> None:
    with suppress(OSError), _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _delete(folder)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
