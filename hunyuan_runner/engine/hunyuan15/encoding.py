"""The text encoders of HunyuanVideo-1.5 with their tokenizers, and the encoding of prompts.

Qwen reads the prompt, ByT5 the words in quotation marks, which are to be seen in the picture. What
diffusers' pipeline computes beyond that changes nothing and is left out: padding, and the last two
of Qwen's layers, whose output is not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    ByT5Tokenizer,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5EncoderModel,
)

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.loading import load_encoder
from hunyuan_runner.families.hunyuan15 import BYT5, QUOTED, QWEN
from hunyuan_runner.prompts.tokens import quoted_text, reading

UNREAD_LAYERS = 2  # the last ones of Qwen


@dataclass(frozen=True)
class TextEncoders:
    """Qwen without its vision part and its last layers, and ByT5."""

    read_by_qwen: Callable[[str], list[int]]
    text_encoder: Qwen2_5_VLTextModel
    tokenizer_2: ByT5Tokenizer
    text_encoder_2: T5EncoderModel


def load_encoders(model_dir: Path, dtype: torch.dtype) -> TextEncoders:
    """Raises TokenizerUnusable, or OSError or ValueError if other files are missing or broken."""
    read_by_qwen = reading(model_dir, QWEN)
    folder = model_dir / "text_encoder"
    config = Qwen2_5_VLTextConfig.from_pretrained(folder, local_files_only=True)
    config.num_hidden_layers -= UNREAD_LAYERS
    config.layer_types = config.layer_types[:-UNREAD_LAYERS]
    text_encoder = load_encoder(Qwen2_5_VLTextModel, folder, dtype, config=config)
    text_encoder.norm = torch.nn.Identity()  # the layer that is read comes before it
    return TextEncoders(
        read_by_qwen=read_by_qwen,
        text_encoder=text_encoder,
        tokenizer_2=ByT5Tokenizer.from_pretrained(model_dir / BYT5.folder, local_files_only=True),
        text_encoder_2=load_encoder(T5EncoderModel, model_dir / "text_encoder_2", dtype),
    )


def encode(encoders: TextEncoders, prompt: str) -> Conditioning:
    """A prompt encoded, as arguments of diffusers' pipeline without padding.

    prompt_embeds and prompt_embeds_2 are [1, tokens, width] float32; the latter has no tokens if
    nothing is quoted in the prompt.
    """
    prompt_embeds = _read_by_qwen(encoders, prompt).float().contiguous()
    prompt_embeds_2 = _read_by_byt5(encoders, prompt).float().contiguous()
    return {
        "prompt_embeds": prompt_embeds,
        "prompt_embeds_mask": torch.ones(prompt_embeds.shape[:2]),
        "prompt_embeds_2": prompt_embeds_2,
        "prompt_embeds_mask_2": torch.ones(prompt_embeds_2.shape[:2]),
    }


def _read_by_qwen(encoders: TextEncoders, prompt: str) -> torch.Tensor:
    read = torch.tensor([encoders.read_by_qwen(prompt or " ")])  # as the pipeline does
    states: torch.Tensor = encoders.text_encoder(read, use_cache=False).last_hidden_state
    return states[:, QWEN.crop_start :]


def _read_by_byt5(encoders: TextEncoders, prompt: str) -> torch.Tensor:
    encoder = encoders.text_encoder_2
    if (text := quoted_text(QUOTED, prompt)) is None:
        return torch.zeros(1, 0, encoder.config.d_model)
    ids = encoders.tokenizer_2(
        text, max_length=BYT5.tokens, truncation=True, return_tensors="pt"
    ).input_ids
    states: torch.Tensor = encoder(ids).last_hidden_state
    return states
