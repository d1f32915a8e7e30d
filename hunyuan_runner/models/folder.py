"""A model's folder on the disk: what is in it, and whether a download can be put there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hunyuan_runner.families.configuration import INDEX


class Busy(OSError):
    """Another process is fetching this model."""


class NoRoom(OSError):
    """The disk is too small."""


def is_installed(folder: Path) -> bool:
    """Whether the folder holds a model. It may still be damaged: see checking.py."""
    return (folder / INDEX).is_file()


def components(folder: Path) -> list[str]:
    """The pipeline's components, each in a folder of that name.

    The index lists them as `"vae": ["diffusers", "Autoencoder…"]`; `[null, null]` is an optional
    one that the model does not have. Raises OSError, or ValueError if the index is not JSON.
    """
    index = json.loads((folder / INDEX).read_text())
    if not isinstance(index, dict):
        raise ValueError(f"{folder / INDEX} holds no JSON object")
    return [name for name, kind in index.items() if isinstance(kind, list) and None not in kind]


def bytes_in(folder: Path) -> int:
    """The size of all files below the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def obstacle(folder: Path) -> str | None:
    """Why a finished download cannot be renamed to this path, and what to do; None if it can."""
    if folder.is_symlink() and not folder.resolve().parent.is_dir():
        return f"it is a link to {folder.readlink()}, whose folder is missing. Mount or make it."
    if not folder.exists():
        return None
    if folder.is_mount():
        return "it is a mount point. Mount the folder above it, or name another with --models-dir."
    if not folder.is_dir():
        return "it is a file. Move it away."
    if any(folder.iterdir()):
        return f"it has other files, and no {INDEX}. Move them away."
    return None


@contextmanager
def locked(partial: Path) -> Iterator[None]:
    """Keep other processes from fetching into the same folder. Raises Busy, or another OSError."""
    partial.mkdir(parents=True, exist_ok=True)
    lock = partial.with_suffix(".lock")  # beside the folder, which is renamed when it is complete
    try:
        with FileLock(lock, blocking=False):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except Timeout:
        raise Busy("another process is fetching it") from None


def require_room(folder: Path, missing: int) -> None:
    """Raises NoRoom unless the disk of `folder` has room for `missing` bytes."""
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise NoRoom(
            f"{missing / 1e9:.1f} GB are needed, but {folder.parent} has room for only "
            f"{free / 1e9:.1f} GB"
        )
