"""A transformer in int8 for this machine, whose kernels are built for its CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from hunyuan_runner.engine.blocks import Int8Blocks, Modulation
from hunyuan_runner.engine.kernels import load_kernels
from hunyuan_runner.engine.quantize import load_transformer
from hunyuan_runner.machine.building import KernelsUnavailable
from hunyuan_runner.machine.instructions import Attention, Instructions, WantedKernels
from hunyuan_runner.machine.precision import Precision

logger = logging.getLogger(__name__)


def load_int8_or_fp32(
    model_dir: Path, threads: int, kernels: WantedKernels, load_plain: Callable[[torch.dtype], Any]
) -> tuple[Any, Precision]:
    """The transformer and its precision: int8, or what `load_plain` gives for float32 if the int8
    kernels do not work here.

    Raises OSError, ValueError or SafetensorError if the model is incomplete.
    """
    try:
        return load_transformer(model_dir, load_kernels(kernels, threads)), Precision.INT8
    except KernelsUnavailable as reason:
        logger.warning("int8 does not work on this machine; using %s: %s", Precision.FP32, reason)
        return load_plain(torch.float32), Precision.FP32


def kernels_of(transformer: Any) -> tuple[Instructions, Attention] | None:
    """The instruction set and the form of attention of the kernels that compute this transformer,
    or None if torch does."""
    blocks = getattr(transformer, "transformer_blocks", None)
    if not blocks or not isinstance(blocks[0], Int8Blocks):
        return None
    kernels = blocks[0].kernels
    return kernels.instructions, kernels.attention_form


def modulation_of(transformer: Any) -> Modulation | None:
    """The modulation to compute ahead, or None if this transformer is not an int8 one."""
    first = transformer.transformer_blocks[0]
    return first.modulation if isinstance(first, Int8Blocks) else None
