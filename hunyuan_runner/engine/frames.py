"""Decoded pixels as frames of exactly the requested size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

CHANNELS = 3

Frame = npt.NDArray[np.uint8]  # HWC, RGB


def crop_frames(pixels: torch.Tensor, width: int, height: int) -> Iterator[Frame]:
    """The centre (width x height) of each frame of `pixels` (1CTHW, -1..1)."""
    *_, full_height, full_width = pixels.shape
    top, left = (full_height - height) // 2, (full_width - width) // 2
    centre = pixels[0, :, :, top : top + height, left : left + width]
    for frame in centre.unbind(dim=1):
        scaled = ((frame.float() + 1) * 127.5).round().clamp(0, 255)
        yield scaled.to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


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


def write_frames(path: Path, pixels: torch.Tensor, width: int, height: int) -> None:
    """Write `pixels` (1CTHW, -1..1) into the reserved file.

    It is not memory-mapped: a disk that fails raises OSError here, but would kill the process if
    it were.
    """
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for frame in crop_frames(pixels, width, height):
            file.write(frame.data)
