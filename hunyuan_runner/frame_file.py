"""The frames of a clip in an .npy file: THWC, RGB, uint8."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class FrameFile:
    """Frames that are read from the file one at a time; `on_read` is called before each.

    The file is not memory-mapped: if the disk fails, reading raises OSError, while a memory map
    would end the process.
    """

    def __init__(self, path: Path, on_read: Callable[[], None]) -> None:
        self._path = path
        self._on_read = on_read
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self.shape, _, _ = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        self._on_read()
        size = math.prod(self.shape[1:])
        with self._path.open("rb") as file:
            file.seek(self._start + index * size)
            data = file.read(size)
        if len(data) < size:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self._path))
        return np.frombuffer(data, np.uint8).reshape(self.shape[1:])
