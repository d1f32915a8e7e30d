"""Storing a model's transformer in int8."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.models.checking import listed, misread
from hunyuan_runner.models.folder import require_room
from hunyuan_runner.weights import weight_files


class NotQuantised(Exception):
    """The model could not be quantised; it is as it was."""


def quantise(folder: Path, progress: Callable[[int, int], None]) -> None:
    """Write the int8 form of the transformer beside the original.

    `progress` gets the number of blocks done and of all blocks. Raises NotQuantised.
    """
    if problems := misread(folder):
        raise NotQuantised(listed(problems))
    try:
        require_room(
            folder, sum(path.stat().st_size for path in weight_files(folder / TRANSFORMER))
        )
        quantize(folder, progress)
    except (OSError, ValueError, SafetensorError) as error:
        raise NotQuantised(f"{folder.name} could not be quantised: {error}") from error
