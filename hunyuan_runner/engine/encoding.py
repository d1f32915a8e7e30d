"""The text encoders with their tokenizers, and what they make of a prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from diffusers import HunyuanVideoPipeline
from transformers import (
    AutoTokenizer,
    CLIPTextModel,
    LlamaModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.prompts.template import CROP_START, LLAMA_TOKENS, TEMPLATE
from hunyuan_runner.prompts.tokens import CLIP, LLAMA, require_usable

Encoder = TypeVar("Encoder", bound=PreTrainedModel)


def load_encoders(model_dir: Path, dtype: torch.dtype) -> HunyuanVideoPipeline:
    """The pipeline with text encoders and tokenizers alone.

    The classes that the model's index names are not asked for: real ones name a tokenizer that
    transformers 5 builds otherwise than the files say, which garbles every prompt.
    Raises TokenizerUnusable, or OSError or ValueError if other files are missing or broken.
    """
    tokenizer, tokenizer_2 = (_tokenizer(model_dir / part) for part in (LLAMA, CLIP))
    require_usable(tokenizer.backend_tokenizer, tokenizer_2.backend_tokenizer)
    return HunyuanVideoPipeline(
        text_encoder=_encoder(LlamaModel, model_dir / "text_encoder", dtype),
        tokenizer=tokenizer,
        text_encoder_2=_encoder(CLIPTextModel, model_dir / "text_encoder_2", dtype),
        tokenizer_2=tokenizer_2,
        transformer=None,
        vae=None,
        scheduler=None,
    )


def encode(pipeline: HunyuanVideoPipeline, prompt: str) -> Conditioning:
    """What the text encoders of `pipeline` make of a prompt, as arguments of the pipeline."""
    prompt_embeds, pooled_prompt_embeds, mask = pipeline.encode_prompt(
        prompt,
        prompt_template={"template": TEMPLATE, "crop_start": CROP_START},
        max_sequence_length=LLAMA_TOKENS,
    )
    # After the prompt comes padding, to which no token attends and which every block computes.
    length = int(mask.sum())
    return {
        "prompt_embeds": prompt_embeds[:, :length].float().contiguous(),
        "pooled_prompt_embeds": pooled_prompt_embeds.float().contiguous(),
        "prompt_attention_mask": mask[:, :length].contiguous(),
    }


def was_encoded_so_before(model_dir: Path) -> bool:
    """Whether versions that built the classes named by the index encoded this model's prompts as
    `encode` does: if it names the one class that goes by the file."""
    index = json.loads((model_dir / "model_index.json").read_text())
    by_the_file = ("TokenizersBackend", "PreTrainedTokenizerFast")
    return all(index[part][1] in by_the_file for part in (LLAMA, CLIP))


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """As tokenizer.json says; of an older package without one, as its class builds it."""
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
    tokenizer: PreTrainedTokenizerFast = kind.from_pretrained(
        folder, local_files_only=True, padding_side="right", truncation_side="right"
    )
    return tokenizer


def _encoder(kind: type[Encoder], folder: Path, dtype: torch.dtype) -> Encoder:
    """transformers makes up weights that are missing. Raises ValueError instead."""
    encoder: Encoder
    encoder, report = kind.from_pretrained(
        folder, local_files_only=True, dtype=dtype, output_loading_info=True
    )
    if missing := report["missing_keys"]:
        raise ValueError(f"{folder} lacks {len(missing)} weights, such as {min(missing)}")
    return encoder
