"""A double of the real models' packages: the same layout, configurations and kinds of tokenizer,
but few weights, which are random.

These details once hid a fault: the index names LlamaTokenizerFast, but tokenizer.json is a
ByteLevel one with added special tokens, and CLIP's folder has no tokenizer.json.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, LlamaConfig, LlamaModel

from tests import tiny

TEMPLATE: str = DEFAULT_PROMPT_TEMPLATE["template"]
CROP_START: int = DEFAULT_PROMPT_TEMPLATE["crop_start"]
CLIP_WIDTH = 8  # the width of the pooled projection in tiny's transformer

INDEX = {
    "_class_name": "HunyuanVideoPipeline",
    "_diffusers_version": "0.32.0.dev0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "LlamaModel"],
    "text_encoder_2": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "LlamaTokenizerFast"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "transformer": ["diffusers", "HunyuanVideoTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLHunyuanVideo"],
}

# Llama 3's pattern, which splits a text into words, each with the space before it.
LLAMA_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BEGIN, END, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<pad>"
SPECIAL = (BEGIN, END, "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", PAD)
CLIP_BEGIN, CLIP_END = "<|startoftext|>", "<|endoftext|>"


def save_model(folder: Path, seed: int = 0) -> None:
    """Save the whole package; the seed determines the weights."""
    tiny.save_model(folder, seed)
    for part in ("text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"):
        shutil.rmtree(folder / part)
    tokenizer = llama_tokenizer()
    write_llama_tokenizer(folder / "tokenizer", tokenizer)
    _save_llama(folder / "text_encoder", tokenizer)
    vocabulary = _write_clip_tokenizer(folder / "tokenizer_2")
    _save_clip(folder / "text_encoder_2", vocabulary)
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2))


def llama_tokenizer() -> Tokenizer:
    """A tokenizer with one token for each word of the template, and one for each other byte."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    texts = [text for text in re.split(r"<\|\w+\|>", TEMPLATE) if text]
    words = [word for text in texts for word, _ in split.pre_tokenize_str(text)]
    tokens = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return tokenizer


def write_llama_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "bos_token": BEGIN,
        "clean_up_tokenization_spaces": True,
        "eos_token": END,
        "legacy": True,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 10**30,
        "pad_token": PAD,
        "padding_side": "right",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": None,
        "use_default_system_prompt": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    special = {"bos_token": BEGIN, "eos_token": END, "pad_token": PAD}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def _save_llama(folder: Path, tokenizer: Tokenizer) -> None:
    """Save Llama in half precision and in shards, with a configuration of transformers 4.46."""
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": tiny.TEXT_WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 3,  # the pipeline takes the output of the last but two
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-05,
        "bos_token_id": tokenizer.token_to_id(BEGIN),
        "eos_token_id": tokenizer.token_to_id(END),
        "pad_token_id": tokenizer.token_to_id(PAD),
    }
    LlamaModel(LlamaConfig(**sizes)).half().save_pretrained(folder, max_shard_size="200KB")
    config = sizes | {
        "architectures": ["LlamaModel"],
        "model_type": "llama",
        "rope_scaling": None,
        "rope_theta": 500000.0,
        "torch_dtype": "float16",
        "transformers_version": "4.46.3",
    }
    (folder / "config.json").write_text(json.dumps(config))


def _write_clip_tokenizer(folder: Path) -> dict[str, int]:
    """Write the files of a slow tokenizer of transformers 4. Returns the vocabulary."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = [f"{letter}</w>" for letter in letters]
    merges = [("c", "a"), ("ca", "t</w>"), ("r", "e"), ("re", "d</w>"), ("ca", "r</w>")]
    tokens = [*letters, *ends, *map("".join, merges), CLIP_BEGIN, CLIP_END]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    special = {"bos_token": CLIP_BEGIN} | dict.fromkeys(
        ("eos_token", "pad_token", "unk_token"), CLIP_END
    )
    config = {
        "add_prefix_space": False,
        "do_lower_case": True,
        "errors": "replace",
        "model_max_length": 77,
        "tokenizer_class": "CLIPTokenizer",
    }
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *map(" ".join, merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(config | special))
    return vocabulary


def _save_clip(folder: Path, vocabulary: dict[str, int]) -> None:
    """Save CLIP with the names of weights and the end token of transformers 4."""
    config = CLIPTextConfig(
        vocab_size=len(vocabulary),
        hidden_size=CLIP_WIDTH,
        intermediate_size=16,
        projection_dim=CLIP_WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=vocabulary[CLIP_BEGIN],
        eos_token_id=vocabulary[CLIP_END],
        pad_token_id=1,
    )
    CLIPTextModel(config).half().save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    named = {f"text_model.{name.removeprefix('text_model.')}": w for name, w in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})


def prompt_embeds(folder: Path, prompt: str) -> torch.Tensor:
    """Llama's embeddings of a prompt, made from the files alone: (1, tokens, width)."""
    tokens = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    ids = torch.tensor([tokens.encode(TEMPLATE.format(prompt)).ids])
    llama = LlamaModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    with torch.no_grad():
        states = llama(ids, output_hidden_states=True).hidden_states[-3]
    embeds: torch.Tensor = states[:, CROP_START:]
    return embeds
