"""What is being fetched: where their files are meanwhile, and how much there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hunyuan_runner.catalogue import FAST_DECODERS, MODELS
from hunyuan_runner.settings import Settings
from hunyuan_runner.weights import DOWNLOAD_NOTE


@dataclass(frozen=True)
class Download:
    """A model whose download has begun; `total_bytes` is None until the hub has listed files."""

    model_id: str
    bytes: int
    total_bytes: int | None


def partial_folder(folder: Path) -> Path:
    """Where a model is fetched that will be in `folder`. No model has its name."""
    return folder.with_name(f"{folder.name}.partial")


def unfinished_downloads(settings: Settings) -> Iterator[Download]:
    """The models and decoders that are not complete yet, whether fetched now or interrupted."""
    for model_id in (*MODELS, *FAST_DECODERS):
        folder = partial_folder((settings.models_dir / model_id).resolve())
        if folder.is_dir():
            yield Download(model_id, _bytes_in(folder), _listed_bytes(folder / DOWNLOAD_NOTE))


def _bytes_in(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # it has just got its final name
            continue
    return sizes


def _listed_bytes(note: Path) -> int | None:
    try:
        return sum(int(file["size"]) for file in json.loads(note.read_text())["files"])
    except (FileNotFoundError, json.JSONDecodeError):  # not written yet, or only in part
        return None
