"""A model's tensors, read from the disk one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from safetensors import safe_open

from hunyuan_runner.weights import weight_files


class Weights(Protocol):
    """A model's tensors by name, which may be read from a disk on access."""

    def __getitem__(self, name: str, /) -> torch.Tensor: ...
    def __iter__(self) -> Iterator[str]: ...


class StoredWeights:
    """The tensors of a folder's safetensors files, read on access.

    They are copied, because tensors in a file may be aligned differently, and then their products
    have other last bits on some CPUs, such as Zen 4.
    """

    def __init__(self, folder: Path) -> None:
        """Raises FileNotFoundError if there are no files, SafetensorError if one is broken, and
        ValueError if their index is broken."""
        self.folder = folder
        self._file_of: dict[str, Path] = {}
        for path in weight_files(folder):
            with safe_open(path, framework="pt") as file:
                self._file_of |= dict.fromkeys(file.keys(), path)
        if not self._file_of:
            raise FileNotFoundError(f"{folder} has no weights")

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.mapped(name).clone()

    def mapped(self, name: str) -> torch.Tensor:
        """The tensor in its file: what is looked at is read then, and stays in memory no longer
        than the tensor, unless the system has room for it."""
        # Opened each time, because what was read of an open file stays in memory.
        with safe_open(self._file_of[name], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)


def parameters_in(folder: Path) -> int:
    """The number of parameters in a component's folder."""
    count = 0
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    return count
