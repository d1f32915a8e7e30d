"""A double of HunyuanVideo-1.5's package: the layout, configurations and kinds of tokenizer of
hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v, but few weights, which are random."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo15,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Pipeline,
    HunyuanVideo15Transformer3DModel,
)
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    ByT5Tokenizer,
    PreTrainedTokenizerFast,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
)

from hunyuan_runner.families.hunyuan15 import TEMPLATE
from hunyuan_runner.params import GenerationParams
from tests import tiny

WIDTH, WIDTH_2 = 32, 16  # of the text encoders

INDEX = {
    "_class_name": "HunyuanVideo15Pipeline",
    "_diffusers_version": "0.36.0.dev0",
    "guider": ["diffusers", "ClassifierFreeGuidance"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "Qwen2TokenizerFast"],
    "tokenizer_2": ["transformers", "ByT5Tokenizer"],
    "transformer": ["diffusers", "HunyuanVideo15Transformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLHunyuanVideo15"],
}

# How Qwen splits a text: as Llama, but digit by digit.
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
# What the real template does with texts. It also knows images, videos and tools.
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
COLOURS = [f"<color-{number}>" for number in range(3)]  # the real one has more, and fonts


def params(**changes: object) -> GenerationParams:
    """A clip that the double renders in a fraction of a second: 64x64, 9 frames, 4 steps."""
    return tiny.params(**{"prompt": "A cat walks on grass", "guidance_scale": 6.3} | changes)


def save_model(folder: Path, seed: int = 0) -> None:
    """Save the whole package; the seed determines the weights."""
    torch.manual_seed(seed)
    transformer().save_pretrained(folder / "transformer", max_shard_size="10MB")
    vae().save_pretrained(folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(folder / "scheduler")
    ClassifierFreeGuidance(guidance_scale=6.0).save_pretrained(folder / "guider")
    tokenizer = qwen_tokenizer()
    write_qwen_tokenizer(folder / "tokenizer", tokenizer)
    _save_qwen(folder / "text_encoder", tokenizer)
    byt5 = ByT5Tokenizer()
    byt5.add_tokens(COLOURS, special_tokens=True)
    byt5.save_pretrained(folder / "tokenizer_2")
    _byt5_encoder(len(byt5)).save_pretrained(folder / "text_encoder_2")
    (folder / "model_index.json").write_text(json.dumps(INDEX, indent=2))


def transformer(**changes: Any) -> HunyuanVideo15Transformer3DModel:
    sizes = {
        "in_channels": 9,
        "out_channels": 4,
        "num_attention_heads": 2,
        "attention_head_dim": 16,
        "num_layers": 3,
        "num_refiner_layers": 1,
        "text_embed_dim": WIDTH,
        "text_embed_2_dim": WIDTH_2,
        "image_embed_dim": 12,
        "rope_axes_dim": (4, 6, 6),
        "task_type": "t2v",
    }
    return HunyuanVideo15Transformer3DModel(**sizes | changes)


def vae() -> AutoencoderKLHunyuanVideo15:
    return AutoencoderKLHunyuanVideo15(
        latent_channels=4, block_out_channels=(8, 8, 16, 32, 32), layers_per_block=1
    )


def qwen_tokenizer() -> Tokenizer:
    """A tokenizer with one token for each word of the template, and one for each other byte."""
    split = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    texts = [text for text in re.split(r"<\|\w+\|>|\{\}", TEMPLATE) if text]
    words = [word for text in texts for word, _ in split.pre_tokenize_str(text)]
    tokens = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *words])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in (PAD, START, END)])
    return tokenizer


def write_qwen_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    config = {
        "add_bos_token": False,
        "add_prefix_space": False,
        "bos_token": None,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "errors": "replace",
        "model_max_length": 131072,
        "pad_token": PAD,
        "padding_side": "right",
        "split_special_tokens": False,
        "tokenizer_class": "Qwen2Tokenizer",
        "unk_token": None,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    special = {"eos_token": END, "pad_token": PAD}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def _save_qwen(folder: Path, tokenizer: Tokenizer) -> None:
    """Save Qwen in half precision and in shards, with a configuration of transformers 4.57."""
    sizes: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": WIDTH,
        "intermediate_size": 48,
        "num_hidden_layers": 4,  # the pipeline takes the output of the last but two
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128000,
        "max_window_layers": 28,
        "rms_norm_eps": 1e-06,
        "sliding_window": None,
        "use_sliding_window": False,
        "bos_token_id": tokenizer.token_to_id(PAD),
        "eos_token_id": tokenizer.token_to_id(END),
    }
    rotary = {"mrope_section": [2, 3, 3], "rope_type": "default"}
    made = Qwen2_5_VLTextConfig(**sizes, rope_parameters=rotary | {"rope_theta": 1e6})
    Qwen2_5_VLTextModel(made).half().save_pretrained(folder, max_shard_size="100KB")
    config = sizes | {
        "architectures": ["Qwen2_5_VLTextModel"],
        "dtype": "float16",
        "layer_types": ["full_attention"] * 4,
        "model_type": "qwen2_5_vl_text",
        "rope_scaling": rotary | {"type": "default"},
        "rope_theta": 1000000.0,
        "transformers_version": "4.57.1",
    }
    (folder / "config.json").write_text(json.dumps(config))


def _byt5_encoder(vocabulary: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=vocabulary,
            d_model=WIDTH_2,
            d_kv=4,
            d_ff=24,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
        )
    )


def reference(folder: Path) -> HunyuanVideo15Pipeline:
    """diffusers' own pipeline in float32. Its Qwen tokenizer is what tokenizer.json says."""
    return HunyuanVideo15Pipeline(
        text_encoder=Qwen2_5_VLTextModel.from_pretrained(
            folder / "text_encoder", dtype=torch.float32
        ),
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
        transformer=HunyuanVideo15Transformer3DModel.from_pretrained(folder / "transformer"),
        vae=AutoencoderKLHunyuanVideo15.from_pretrained(folder / "vae"),
        scheduler=FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        text_encoder_2=T5EncoderModel.from_pretrained(folder / "text_encoder_2"),
        tokenizer_2=ByT5Tokenizer.from_pretrained(folder / "tokenizer_2"),
        guider=ClassifierFreeGuidance.from_pretrained(folder / "guider"),
    )


# Of diffusers' names, as patterns, the authors' ones, where they differ.
AUTHORS_NAMES = {
    r"^context_embedder\.token_refiner\.refiner_blocks": "txt_in.individual_token_refiner.blocks",
    r"(blocks\.\d+)\.attn\.to_out\.0": r"\1.self_attn_proj",
    r"(token_refiner\.blocks\.\d+)\.ff\.net\.0\.proj": r"\1.mlp.fc1",
    r"(token_refiner\.blocks\.\d+)\.ff\.net\.2": r"\1.mlp.fc2",
    r"(token_refiner\.blocks\.\d+)\.norm_out\.linear": r"\1.adaLN_modulation.1",
    r"^transformer_blocks\.(\d+)\.self_attn_proj": r"double_blocks.\1.img_attn_proj",
    r"^transformer_blocks": "double_blocks",
    r"norm1\.linear": "img_mod.linear",
    r"norm1_context\.linear": "txt_mod.linear",
    r"attn\.norm_added_(.)": r"txt_attn_\1_norm",
    r"attn\.norm_(.)": r"img_attn_\1_norm",
    r"attn\.add_(.)_proj": r"txt_attn_\1",
    r"attn\.to_add_out": "txt_attn_proj",
    r"attn\.to_(.)\.": r"img_attn_\1.",
    r"ff_context\.net\.0\.proj": "txt_mlp.fc1",
    r"ff_context\.net\.2": "txt_mlp.fc2",
    r"ff\.net\.0\.proj": "img_mlp.fc1",
    r"ff\.net\.2": "img_mlp.fc2",
    r"^time_embed\.timestep_embedder\.linear_1": "time_in.mlp.0",
    r"^time_embed\.timestep_embedder\.linear_2": "time_in.mlp.2",
    r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_1": "txt_in.t_embedder.mlp.0",
    r"^context_embedder\.time_text_embed\.timestep_embedder\.linear_2": "txt_in.t_embedder.mlp.2",
    r"^context_embedder\.time_text_embed\.text_embedder": "txt_in.c_embedder",
    r"^context_embedder\.proj_in": "txt_in.input_embedder",
    r"^context_embedder_2\.norm": "byt5_in.layernorm",
    r"^context_embedder_2\.linear_": "byt5_in.fc",
    r"^image_embedder\.norm_in": "vision_in.proj.0",
    r"^image_embedder\.linear_1": "vision_in.proj.1",
    r"^image_embedder\.linear_2": "vision_in.proj.3",
    r"^image_embedder\.norm_out": "vision_in.proj.4",
    r"^x_embedder": "img_in",
    r"^cond_type_embed": "cond_type_embedding",
    r"^norm_out\.linear": "final_layer.adaLN_modulation.1",
    r"^proj_out": "final_layer.linear",
}


def with_authors_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Query, key and value of the text refiner as one, and the last shift before the scale."""
    named: dict[str, torch.Tensor] = {}
    for name, tensor in weights.items():
        for ours, theirs in AUTHORS_NAMES.items():
            name = re.sub(ours, theirs, name)
        if match := re.fullmatch(r"(txt_in.*)\.img_attn_[qkv]\.(\w+)", name):
            name = f"{match[1]}.self_attn_qkv.{match[2]}"
            tensor = torch.cat([named[name], tensor]) if name in named else tensor
        if name.startswith("final_layer.adaLN"):
            tensor = torch.cat(tensor.chunk(2)[::-1])
        named[name] = tensor
    return named


def put_into_one_file(folder: Path) -> None:
    """Replace a transformer's shards by one file in half precision, under the authors' names."""
    weights = HunyuanVideo15Transformer3DModel.from_pretrained(folder).half().state_dict()
    named = {name: tensor.contiguous() for name, tensor in with_authors_names(weights).items()}
    for shard in folder.glob("diffusion_pytorch_model*"):
        shard.unlink()
    save_file(named, folder / "diffusion_pytorch_model.safetensors")
