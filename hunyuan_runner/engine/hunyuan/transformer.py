"""Loads the transformer of HunyuanVideo in a given precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import HunyuanVideoTransformer3DModel
from diffusers.models.transformers.transformer_hunyuan_video import HunyuanVideoAttnProcessor2_0

from hunyuan_runner.engine.int8 import load_int8_or_fp32
from hunyuan_runner.engine.loading import DTYPES, load_whole
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision


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
    model_dir: Path, precision: Precision, threads: int, kernels: WantedKernels
) -> tuple[HunyuanVideoTransformer3DModel, Precision]:
    """See Implementation.transformer."""

    def load_plain(dtype: torch.dtype) -> HunyuanVideoTransformer3DModel:
        transformer = load_whole(HunyuanVideoTransformer3DModel, model_dir / TRANSFORMER, dtype)
        for block in (*transformer.transformer_blocks, *transformer.single_transformer_blocks):
            block.attn.set_processor(UnmaskedAttention())
        return transformer

    if precision is Precision.INT8:
        return load_int8_or_fp32(model_dir, threads, kernels, load_plain)
    return load_plain(DTYPES[precision]), precision
