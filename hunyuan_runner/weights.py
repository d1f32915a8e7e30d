"""Finds the files that hold a model's weights, and checks that they are intact."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hunyuan_runner.families.configuration import QUANTIZED_TRANSFORMER, TRANSFORMER

DOWNLOAD_NOTE = "manifest.json"  # in a model's folder: its source, and its files' digests
QUANTIZED_NOTE = "digests.json"  # in the int8 transformer's folder: SHA-256 by file name
INDEX_SUFFIX = ".index.json"
HASHING_THREADS = 4  # as fast as disks can read the 40 GB of a 13 B model

# The order in which diffusers (for its components) and transformers (for text encoders) look for
# weights. Other names are variants (fp16, EMA) or other formats, which neither reads by default.
_CANDIDATES = (
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.safetensors",
    "model.safetensors",
    "model.safetensors.index.json",
)

logger = logging.getLogger(__name__)


class WeightsAltered(Exception):
    """A weight file has changed since it was downloaded or made."""


def weights_entry(names: Iterator[str] | Mapping[str, Any] | set[str]) -> str | None:
    """Which of a component's files its weights are read from: an index, a single file, or none."""
    return next((name for name in _CANDIDATES if name in names), None)


def weight_files(folder: Path) -> list[Path]:
    """The files that a component's weights are read from; some of them may be missing.

    Raises ValueError if the index of the weights cannot be read.
    """
    if folder.name == QUANTIZED_TRANSFORMER:
        return sorted(folder.glob("*.safetensors"))
    entry = weights_entry({path.name for path in folder.glob("*")})
    if entry is None:
        return []
    if not entry.endswith(INDEX_SUFFIX):
        return [folder / entry]
    return [folder / name for name in sorted(set(read_index(folder / entry).values()))]


def read_index(path: Path) -> dict[str, str]:
    """The file name of each tensor. Raises ValueError if `path` is not a valid index of weights."""
    try:
        weight_map = json.loads(path.read_text())["weight_map"]
        names = set(weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not an index of weights") from error
    if not all(isinstance(name, str) and name == Path(name).name for name in names):
        raise ValueError(f"{path} names files outside its folder")
    return dict(weight_map)


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify_weights(model_dir: Path, *, quantized: bool, note: Path) -> None:
    """Compare the weights with the digests that came with them, if that was not done before.

    `quantized` says that the int8 transformer is used if there is one, else the original. `note` is
    a file in which the size and time of change of the compared files are kept. Files without a
    digest, such as those of a model that was put together by hand, are skipped.
    Raises WeightsAltered if a file has changed, OSError if one cannot be read, and ValueError if a
    list of digests cannot be read.
    """
    digests = _noted_digests(model_dir)
    known = _read_note(note)
    unknown = {
        path: _signature(path)
        for path in _files_in_use(model_dir, quantized)
        if path in digests and known.get(str(path)) != _signature(path)
    }
    if not unknown:
        return
    with ThreadPoolExecutor(HASHING_THREADS) as threads:
        for path, found in zip(unknown, threads.map(file_sha256, unknown), strict=True):
            if found != digests[path]:
                raise WeightsAltered(
                    f"{path.relative_to(model_dir)} has changed since it was downloaded or made"
                )
    logger.info("the weights in %s are intact: %d files verified", model_dir, len(unknown))
    _write_note(note, known | {str(path): seen for path, seen in unknown.items()})


def verify_file(path: Path) -> None:
    """Compare a file with the digest that was noted in its folder, if there is one.

    Raises WeightsAltered if it has changed, OSError or ValueError if something cannot be read.
    """
    digest = _noted_digests(path.parent).get(path)
    if digest is not None and file_sha256(path) != digest:
        raise WeightsAltered(f"{path.name} has changed since it was downloaded")


def _files_in_use(model_dir: Path, quantized: bool) -> Iterator[Path]:
    quantized = quantized and (model_dir / QUANTIZED_TRANSFORMER).exists()
    unused = TRANSFORMER if quantized else QUANTIZED_TRANSFORMER
    for folder in sorted(model_dir.iterdir()):
        if folder.is_dir() and folder.name != unused:
            yield from (path for path in weight_files(folder) if path.is_file())


def _noted_digests(model_dir: Path) -> dict[Path, str]:
    """The SHA-256 of each file for which it is known."""
    digests = {}
    if (model_dir / DOWNLOAD_NOTE).exists():
        for file in json.loads((model_dir / DOWNLOAD_NOTE).read_text())["files"]:
            if len(file["digest"]) == 64:
                digests[model_dir / file["path"]] = file["digest"]
    folder = model_dir / QUANTIZED_TRANSFORMER
    if (folder / QUANTIZED_NOTE).exists():
        made = json.loads((folder / QUANTIZED_NOTE).read_text())
        digests |= {folder / name: digest for name, digest in made.items()}
    return digests


def _signature(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _read_note(note: Path) -> dict[str, list[int]]:
    try:
        return dict(json.loads(note.read_text()))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        logger.warning("cannot read %s: the weights are verified again", note, exc_info=True)
        return {}


def _write_note(note: Path, content: Mapping[str, list[int]]) -> None:
    unfinished = note.with_name(f"{note.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps(content))
        unfinished.replace(note)
    except OSError:  # such as a full disk
        logger.warning(
            "cannot write %s: the next start verifies the weights again", note, exc_info=True
        )
        unfinished.unlink(missing_ok=True)
