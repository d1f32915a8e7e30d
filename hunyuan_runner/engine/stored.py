"""A model's tensors, read from the disk one by one."""

from __future__ import annotations

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
        self._file_of: dict[str, Path] = {}
        for path in weight_files(folder):
            with safe_open(path, framework="pt") as file:
                self._file_of |= dict.fromkeys(file.keys(), path)
        if not self._file_of:
            raise FileNotFoundError(f"{folder} has no weights")

    def __getitem__(self, name: str) -> torch.Tensor:
        # Opened each time, because what was read of an open file stays in memory.
        with safe_open(self._file_of[name], framework="pt") as file:
            tensor: torch.Tensor = file.get_tensor(name)
            return tensor.clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)
