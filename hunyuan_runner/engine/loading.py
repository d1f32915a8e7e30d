"""Loads models for which diffusers has a class: with all their weights, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin

from hunyuan_runner.machine.precision import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}

Model = TypeVar("Model", bound=ModelMixin)


def load_whole(kind: type[Model], folder: Path, dtype: torch.dtype) -> Model:
    """The model in this folder.

    Raises ValueError if weights are missing, or are there that this kind of model does not have:
    diffusers would pass over them. Raises OSError if files are missing or broken.
    """
    model: Model
    model, report = kind.from_pretrained(
        folder, local_files_only=True, torch_dtype=dtype, output_loading_info=True
    )
    for problem, name in (("lacks", "missing_keys"), ("has unknown", "unexpected_keys")):
        if names := report[name]:
            raise ValueError(f"{folder} {problem} weights: {len(names)}, such as {min(names)}")
    return model
