"""Loads the transformer of a model's folder in a given precision."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import HunyuanVideoTransformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoAttnProcessor2_0

from hunyuan_runner.engine.blocks import Int8Blocks, Modulation
from hunyuan_runner.engine.kernels import load_kernels
from hunyuan_runner.engine.loading import DTYPES, load_whole
from hunyuan_runner.engine.quantize import load_transformer
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.building import KernelsUnavailable
from hunyuan_runner.machine.precision import Precision

logger = logging.getLogger(__name__)


class UnmaskedAttention(HunyuanVideoAttnProcessor2_0):  # type: ignore[misc]
    """Attention without a mask. Our sequences have no padding, and a mask of ones costs time."""

    def __call__(
        self,
        attn: torch.nn.Module,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        image_rotary_emb: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> Any:
        return super().__call__(attn, hidden_states, encoder_hidden_states, None, image_rotary_emb)


def load(
    model_dir: Path, precision: Precision, threads: int, kernels: Path
) -> tuple[HunyuanVideoTransformer3DModel, Precision]:
    """The transformer and its precision: `precision`, or fp32 if the int8 kernels do not work.

    The kernels are built in the folder `kernels`. Raises OSError, ValueError or SafetensorError if
    the model is incomplete.
    """
    if precision is Precision.INT8:
        try:
            return _load_int8(model_dir, threads, kernels), precision
        except KernelsUnavailable as reason:
            precision = Precision.FP32
            logger.warning("int8 does not work on this machine; using %s: %s", precision, reason)
    return _load_plain(model_dir, DTYPES[precision]), precision


def modulation_of(transformer: HunyuanVideoTransformer3DModel) -> Modulation | None:
    """The modulation to compute ahead, or None if this transformer is not an int8 one."""
    first = transformer.transformer_blocks[0]
    return first.modulation if isinstance(first, Int8Blocks) else None


def _load_int8(model_dir: Path, threads: int, kernels: Path) -> HunyuanVideoTransformer3DModel:
    return load_transformer(model_dir, load_kernels(kernels, threads))


def _load_plain(model_dir: Path, dtype: torch.dtype) -> HunyuanVideoTransformer3DModel:
    transformer = load_whole(HunyuanVideoTransformer3DModel, model_dir / TRANSFORMER, dtype)
    for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
        block.attn.set_processor(UnmaskedAttention())
    return transformer
