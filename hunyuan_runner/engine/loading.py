"""Loads models for which diffusers or transformers has a class, with all their weights."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from diffusers import ModelMixin
from transformers import PreTrainedConfig, PreTrainedModel

from hunyuan_runner.engine.on_disk import on_disk
from hunyuan_runner.engine.stored import StoredWeights, parameters_in
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.precision import (
    LARGE_PARAMETERS,
    Precision,
    text_encoder_precision,
)

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


def held_parameters(folder: Path) -> int:
    """The parameters of the text encoder in this folder that `load_encoder` holds in memory."""
    parameters = parameters_in(folder)
    return 0 if parameters > LARGE_PARAMETERS else parameters


def encoders_precision(model_dir: Path) -> Precision:
    """The precision that the text encoders of the model in this folder compute in, on this CPU."""
    parameters = sum(map(parameters_in, encoder_folders(model_dir)))
    return text_encoder_precision(parameters, cpu_flags())


def encoder_folders(model_dir: Path) -> list[Path]:
    return sorted(model_dir.glob("text_encoder*"))


def load_encoder(
    kind: type[Encoder], folder: Path, dtype: torch.dtype, config: PreTrainedConfig | None = None
) -> Encoder:
    """The text encoder in this folder; with `config`, what is left of it. It computes in `dtype`.

    The weights of a large one stay on the disk. Raises ValueError if weights are missing:
    transformers would invent them.
    """
    encoder: Encoder
    if parameters_in(folder) > LARGE_PARAMETERS:
        config = config or kind.config_class.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            encoder = kind(config)
        encoder = on_disk(encoder, StoredWeights(folder), dtype)
        return encoder
    encoder, report = kind.from_pretrained(
        folder, config=config, local_files_only=True, dtype=dtype, output_loading_info=True
    )
    if missing := report["missing_keys"]:
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {min(missing)}")
    return encoder
