"""Decoded pixels as frames of exactly the requested size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

CHANNELS = 3

Frame = npt.NDArray[np.uint8]  # HWC, RGB


def cropped(pixels: torch.Tensor, width: int, height: int) -> Frame:
    """The centre (width x height) of a frame of `pixels` (CHW, -1..1)."""
    _, full_height, full_width = pixels.shape
    top, left = (full_height - height) // 2, (full_width - width) // 2
    centre = pixels[:, top : top + height, left : left + width]
    scaled = ((centre.float() + 1) * 127.5).round().clamp(0, 255)
    frame: Frame = scaled.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return frame


def reserve_frames(path: Path, num_frames: int, width: int, height: int) -> None:
    """Reserve the disk space for an .npy file of these frames (THWC uint8).

    Raises OSError if there is none, before the frames are decoded rather than after.
    """
    shape = (num_frames, height, width, CHANNELS)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        file.flush()
        os.posix_fallocate(file.fileno(), file.tell(), math.prod(shape))


def write_frames(path: Path, width: int, height: int, frames: Iterable[torch.Tensor]) -> None:
    """Write the centre of each of the `frames` (CHW, -1..1) into the reserved file, as they come.

    It is not memory-mapped: a disk that fails raises OSError here, but would kill the process if
    it were.
    """
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for pixels in frames:
            file.write(cropped(pixels, width, height).data)
