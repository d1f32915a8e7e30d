"""The text encoders with their tokenizers, and the encoding of prompts."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import HunyuanVideoPipeline
from transformers import (
    AutoTokenizer,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from hunyuan_runner.engine.checkpoint import Conditioning
from hunyuan_runner.engine.loading import load_encoder
from hunyuan_runner.families.hunyuan import CLIP, HUNYUAN, LLAMA
from hunyuan_runner.prompts.tokens import require_usable

UNREAD_LAYERS = 2  # the last ones of Llama


def load_encoders(model_dir: Path, dtype: torch.dtype) -> HunyuanVideoPipeline:
    """diffusers' pipeline with text encoders and tokenizers alone.

    The classes named in the model's index are not used: real indexes name a tokenizer class that
    transformers 5 does not build as the files say, which garbles every prompt.
    Raises TokenizerUnusable, or OSError or ValueError if other files are missing or broken.
    """
    tokenizer, tokenizer_2 = (_tokenizer(model_dir / part.folder) for part in (LLAMA, CLIP))
    require_usable(LLAMA, tokenizer.backend_tokenizer)
    require_usable(CLIP, tokenizer_2.backend_tokenizer)
    return HunyuanVideoPipeline(
        text_encoder=_llama(model_dir / "text_encoder", dtype),
        tokenizer=tokenizer,
        text_encoder_2=load_encoder(CLIPTextModel, model_dir / "text_encoder_2", dtype),
        tokenizer_2=tokenizer_2,
        transformer=None,
        vae=None,
        scheduler=None,
    )


def _llama(folder: Path, dtype: torch.dtype) -> LlamaModel:
    """Llama up to the layer whose output is read, which is not normed."""
    config = LlamaConfig.from_pretrained(folder, local_files_only=True)
    config.num_hidden_layers -= UNREAD_LAYERS
    llama = load_encoder(LlamaModel, folder, dtype, config=config)
    llama.norm = torch.nn.Identity()
    return llama


def encode(pipeline: HunyuanVideoPipeline, prompt: str) -> Conditioning:
    """A prompt encoded by the text encoders of `pipeline`, as arguments of diffusers' pipeline.

    prompt_embeds are [1, tokens, width] float32, pooled_prompt_embeds [1, width] float32. What
    diffusers' pipeline would compute of padding is left out: nothing attends to it.
    """
    assert LLAMA.template is not None
    assert LLAMA.crop_start is not None
    read = pipeline.tokenizer(
        LLAMA.template.format(prompt),
        max_length=LLAMA.crop_start + LLAMA.tokens,
        truncation=True,
        return_tensors="pt",
        return_attention_mask=True,
    )
    states = pipeline.text_encoder(
        input_ids=read.input_ids, attention_mask=read.attention_mask, use_cache=False
    ).last_hidden_state
    read_2 = pipeline.tokenizer_2(
        prompt, max_length=CLIP.tokens, truncation=True, return_tensors="pt"
    )
    pooled = pipeline.text_encoder_2(read_2.input_ids).pooler_output
    return {
        "prompt_embeds": states[:, LLAMA.crop_start :].float().contiguous(),
        "pooled_prompt_embeds": pooled.float().contiguous(),
        "prompt_attention_mask": read.attention_mask[:, LLAMA.crop_start :].contiguous(),
    }


def was_encoded_so_before(model_dir: Path) -> bool:
    """Whether earlier versions, which used the classes named in the index, encoded this model's
    prompts as `encode` does. That is so if the index names a class that reads tokenizer.json."""
    index = json.loads((model_dir / "model_index.json").read_text())
    by_the_file = ("TokenizersBackend", "PreTrainedTokenizerFast")
    return all(index[reader.folder][1] in by_the_file for reader in HUNYUAN.readers)


def _tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in tokenizer.json or, in an older package without one, what AutoTokenizer
    finds."""
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else AutoTokenizer
    tokenizer: PreTrainedTokenizerFast = kind.from_pretrained(
        folder, local_files_only=True, padding_side="right", truncation_side="right"
    )
    return tokenizer
