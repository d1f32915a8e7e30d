"""Makes packages of the real models' full size: real configurations, and int8 weights that nobody
trained.

Little of it takes room on the disk. The weights of one block are random, and every block's file is
a link to them: in memory each block has its own. The files of text encoders and modulation, which
are not computed with or only once, are holes of the real size, which read as zeros.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLHunyuanVideo,
    AutoencoderKLHunyuanVideo15,
    ClassifierFreeGuidance,
    FlowMatchEulerDiscreteScheduler,
    HunyuanVideo15Transformer3DModel,
    HunyuanVideoTransformer3DModel,
)
from safetensors.torch import save_file
from transformers import (
    ByT5Tokenizer,
    CLIPTextConfig,
    CLIPTextModel,
    LlamaConfig,
    LlamaModel,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
    T5Config,
    T5EncoderModel,
)

from hunyuan_runner.catalogue import Model
from hunyuan_runner.engine.quantize import (
    CONFIG,
    FORMAT,
    MODULATION,
    REST,
    Block,
    block_file,
    double_block,
    modulation_names,
    single_block,
    single_layers,
    tensors_of,
)
from hunyuan_runner.families.configuration import QUANTIZED_TRANSFORMER
from hunyuan_runner.families.hunyuan15 import HUNYUAN15
from hunyuan_runner.settings import BUNDLED_MODELS
from tests import double15

DEMO = BUNDLED_MODELS / "demo"
WEIGHT_DEVIATION = 0.02
DRAWN = 5_000_011  # a prime, so that the rows of a matrix differ
BYTES = {"F32": 4, "F16": 2, "BF16": 2}
ALIGNMENT = 8  # of the data in a safetensors file

Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class Layers:
    """How many blocks a transformer has."""

    double: int
    single: int

    @property
    def count(self) -> int:
        return self.double + self.single

    def part(self, share: float) -> Layers:
        """A share of them, at least one of each kind that there is."""
        return Layers(_part(self.double, share), _part(self.single, share))


def _part(count: int, share: float) -> int:
    return max(min(count, 1), round(count * share))


def layers_of(model: Model) -> Layers:
    return Layers(model.architecture.double_blocks, model.architecture.single_blocks)


@torch.no_grad()
def make(model: Model, folder: Path, layers: Layers) -> None:
    """Write the package with so many blocks. It is complete if model_index.json is there."""
    torch.manual_seed(0)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if model.family is HUNYUAN15:
        _make_hunyuan15(folder)
        index = double15.INDEX
        kind: Any = HunyuanVideo15Transformer3DModel
        counts = {"num_layers": layers.double, "task_type": "t2v"}
    else:
        _make_hunyuan(folder)
        index = json.loads((DEMO / "model_index.json").read_text())
        kind = HunyuanVideoTransformer3DModel
        counts = {"num_layers": layers.double, "num_single_layers": layers.single}
    with torch.device("meta"):
        transformer = kind(**counts)
    _make_transformer(transformer, folder / QUANTIZED_TRANSFORMER)
    (folder / "model_index.json").write_text(json.dumps(index))


def _make_hunyuan(folder: Path) -> None:
    _save_vae(AutoencoderKLHunyuanVideo, folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=7.0).save_pretrained(folder / "scheduler")
    for part in ("tokenizer", "tokenizer_2"):
        shutil.copytree(DEMO / part, folder / part)
    llama = LlamaConfig(
        vocab_size=128_320,
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    )
    clip = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12
    )
    _save_encoder(LlamaModel, llama, folder / "text_encoder")
    _save_encoder(CLIPTextModel, clip, folder / "text_encoder_2")


def _make_hunyuan15(folder: Path) -> None:
    _save_vae(AutoencoderKLHunyuanVideo15, folder / "vae")
    FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(folder / "scheduler")
    ClassifierFreeGuidance(guidance_scale=6.0).save_pretrained(folder / "guider")
    double15.write_qwen_tokenizer(folder / "tokenizer", double15.qwen_tokenizer())
    ByT5Tokenizer().save_pretrained(folder / "tokenizer_2")
    qwen = Qwen2_5_VLTextConfig(
        vocab_size=152_064,
        hidden_size=3584,
        intermediate_size=18_944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
        rope_parameters={
            "mrope_section": [16, 24, 24],
            "rope_type": "default",
            "rope_theta": 1e6,
        },
    )
    byt5 = T5Config(
        vocab_size=1510,
        d_model=1472,
        d_kv=64,
        d_ff=3584,
        num_layers=12,
        num_heads=6,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
    )
    _save_encoder(Qwen2_5_VLTextModel, qwen, folder / "text_encoder")
    _save_encoder(T5EncoderModel, byt5, folder / "text_encoder_2")


def _save_vae(kind: Any, folder: Path) -> None:
    """The encoder, which is not used, is zeros."""
    with torch.device("meta"):
        vae = kind()
    vae.save_config(folder)
    weights = RandomWeights(_shapes(vae))
    tensors = {
        name: torch.zeros(weights.shapes[name], dtype=torch.bfloat16)
        if name.startswith("encoder.")
        else weights[name]
        for name in weights
    }
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})


def _save_encoder(kind: Any, config: Any, folder: Path) -> None:
    with torch.device("meta"):
        encoder = kind(config)
    config.save_pretrained(folder)
    save_hole(_shapes(encoder), "F16", folder / "model.safetensors")


def _make_transformer(transformer: Any, folder: Path) -> None:
    """The int8 form of engine/quantize.py."""
    folder.mkdir()
    transformer.save_config(folder)
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | {"quantized": FORMAT}))
    weights = RandomWeights(_shapes(transformer))
    width = config["num_attention_heads"] * config["attention_head_dim"]
    kinds: list[tuple[int, Callable[[], Block]]] = [
        (config["num_layers"], lambda: double_block(weights, "transformer_blocks.0")),
        (
            single_layers(config),
            lambda: single_block(weights, "single_transformer_blocks.0", width),
        ),
    ]
    number = 0
    for count, block in kinds:
        first = folder / block_file(number)
        if count > 0:
            save_file(dict(tensors_of(block())), first)
        for same in range(number + 1, number + count):
            os.link(first, folder / block_file(same))
        number += count
    names = [f"{name}.{part}" for name in modulation_names(config) for part in ("weight", "bias")]
    save_hole({name: weights.shapes[name] for name in names}, "BF16", folder / MODULATION)
    rest = {name: weights[name].float() for name in weights if "transformer_blocks." not in name}
    save_file(rest, folder / REST)


def _shapes(module: torch.nn.Module) -> Shapes:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}


class RandomWeights:
    """Weights of these shapes, made on access of some million random numbers."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._drawn = torch.empty(DRAWN).normal_(std=WEIGHT_DEVIATION).bfloat16()

    def __getitem__(self, name: str) -> torch.Tensor:
        shape = self.shapes[name]
        count = shape.numel()
        weights = self._drawn.repeat(-(-count // DRAWN))[:count].view(shape).clone()
        return weights + 1 if "norm" in name and len(shape) == 1 else weights

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)


def save_hole(shapes: Shapes, dtype: str, path: Path) -> None:
    """A safetensors file of zeros that takes no room on the disk."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + shape.numel() * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
