"""Loads models for which diffusers or transformers has a class, with all their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin
from transformers import PreTrainedConfig, PreTrainedModel

from hunyuan_runner.machine.precision import Precision

DTYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16}

Model = TypeVar("Model", bound=ModelMixin)
Encoder = TypeVar("Encoder", bound=PreTrainedModel)


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


def load_encoder(
    kind: type[Encoder], folder: Path, dtype: torch.dtype, config: PreTrainedConfig | None = None
) -> Encoder:
    """The text encoder in this folder; with `config`, what is left of it.

    Raises ValueError if weights are missing: transformers would invent them.
    """
    encoder: Encoder
    encoder, report = kind.from_pretrained(
        folder, config=config, local_files_only=True, dtype=dtype, output_loading_info=True
    )
    if missing := report["missing_keys"]:
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {min(missing)}")
    return encoder
