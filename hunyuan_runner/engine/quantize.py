"""A transformer of HunyuanVideo or HunyuanVideo-1.5 in int8: made from its weights, saved, and
loaded again.

The saved form, a folder beside the original's, stands alone:

    config.json               the transformer's own, with the format
    rest.safetensors          embedders and output layer, float32
    modulation.safetensors    the blocks' modulation layers as they were, read once per clip
    block-000.safetensors …   the blocks: double ones first, then single ones
    digests.json              SHA-256 of each of these

In both cases the whole model is in memory only in int8.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import HunyuanVideo15Transformer3DModel, HunyuanVideoTransformer3DModel
from safetensors.torch import load_file, save_file

from hunyuan_runner.engine.blocks import (
    DoubleBlock,
    Int8Blocks,
    Modulation,
    SingleBlock,
    Stream,
    WeightAndBias,
)
from hunyuan_runner.engine.kernels import INT8_DEPTH, ROWS, Kernels, PackedLinear
from hunyuan_runner.engine.original import open_weights
from hunyuan_runner.engine.stored import StoredWeights, Weights
from hunyuan_runner.families.configuration import QUANTIZED_TRANSFORMER, TRANSFORMER
from hunyuan_runner.weights import QUANTIZED_NOTE, file_sha256

FORMAT = "hunyuan-runner int8 1"
CONFIG, REST, MODULATION = "config.json", "rest.safetensors", "modulation.safetensors"
LEVELS = 127  # of an int8 weight, positive and negative each
LEAST = 1e-20  # the largest weight of a row of zeros, to avoid dividing by zero

Block = DoubleBlock | SingleBlock
Transformer = Any  # one of the kinds, for which diffusers has no types

KINDS: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (HunyuanVideoTransformer3DModel, HunyuanVideo15Transformer3DModel)
}


def pack_linear(weight: torch.Tensor, bias: torch.Tensor | None) -> PackedLinear:
    """A linear layer ([outputs, inputs]) in int8, each output scaled by its largest weight."""
    outputs, inputs = weight.shape
    weight = weight.float()
    scale = weight.abs().amax(dim=1).clamp_min(LEAST) / LEVELS
    rows, columns = _up(outputs, ROWS), _up(inputs, INT8_DEPTH)
    levels = torch.zeros(rows, columns, dtype=torch.int8)
    levels[:outputs, :inputs] = (weight / scale[:, None]).round_().to(torch.int8)
    tiles = levels.view(rows // ROWS, ROWS, columns // INT8_DEPTH, 16, 4).permute(0, 2, 3, 1, 4)
    return PackedLinear(
        weight=tiles.contiguous(),
        scale=torch.nn.functional.pad(scale, (0, rows - outputs)),
        total=levels.sum(dim=1, dtype=torch.int32),
        bias=None if bias is None else bias.float(),
        inputs=inputs,
        outputs=outputs,
    )


def quantized_blocks(weights: Weights, config: Mapping[str, Any]) -> Iterator[Block]:
    """The blocks in int8, one by one."""
    for i in range(config["num_layers"]):
        yield double_block(weights, f"transformer_blocks.{i}")
    width = config["num_attention_heads"] * config["attention_head_dim"]
    for i in range(single_layers(config)):
        yield single_block(weights, f"single_transformer_blocks.{i}", width)


def single_layers(config: Mapping[str, Any]) -> int:
    """The number of single blocks; HunyuanVideo-1.5 has none."""
    layers: int = config.get("num_single_layers", 0)
    return layers


def modulation_names(config: Mapping[str, Any]) -> list[str]:
    """The blocks' modulation layers, in the order in which Int8Blocks needs them."""
    double = [
        f"transformer_blocks.{i}.{norm}.linear"
        for i in range(config["num_layers"])
        for norm in ("norm1", "norm1_context")
    ]
    single = [f"single_transformer_blocks.{i}.norm.linear" for i in range(single_layers(config))]
    return double + single


def quantize(folder: Path, on_block: Callable[[int, int], None]) -> None:
    """Write the int8 form of the transformer in a model's folder next to the original.

    `on_block` is called with the number of finished blocks and of all blocks. Raises OSError, or
    SafetensorError if the original is broken. The int8 form appears only when it is complete.
    """
    weights = open_weights(folder / TRANSFORMER)
    config = json.loads((folder / TRANSFORMER / CONFIG).read_text())
    unfinished = folder / f"{QUANTIZED_TRANSFORMER}.partial"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    count = config["num_layers"] + single_layers(config)
    for number, block in enumerate(quantized_blocks(weights, config)):
        save_file(dict(tensors_of(block)), unfinished / block_file(number))
        on_block(number + 1, count)
    names = modulation_names(config)
    save_file(
        {
            f"{name}.{kind}": weights[f"{name}.{kind}"]
            for name in names
            for kind in ("weight", "bias")
        },
        unfinished / MODULATION,
    )
    save_file(_rest(weights), unfinished / REST)
    digests = {path.name: file_sha256(path) for path in sorted(unfinished.iterdir())}
    (unfinished / QUANTIZED_NOTE).write_text(json.dumps(digests, indent=2))
    (unfinished / CONFIG).write_text(json.dumps(config | {"quantized": FORMAT}, indent=2))
    shutil.rmtree(folder / QUANTIZED_TRANSFORMER, ignore_errors=True)
    unfinished.rename(folder / QUANTIZED_TRANSFORMER)


def load_transformer(folder: Path, kernels: Kernels) -> Transformer:
    """The transformer of a model's folder in int8: the saved form, or made from the original.

    Raises OSError, ValueError or SafetensorError if neither is complete.
    """
    if (folder / QUANTIZED_TRANSFORMER / CONFIG).exists():
        return _load_quantized(folder / QUANTIZED_TRANSFORMER, kernels)
    config = json.loads((folder / TRANSFORMER / CONFIG).read_text())
    weights = open_weights(folder / TRANSFORMER)
    return _assemble(config, weights, quantized_blocks(weights, config), _rest(weights), kernels)


def _load_quantized(folder: Path, kernels: Kernels) -> Transformer:
    config = json.loads((folder / CONFIG).read_text())
    if (found := config.pop("quantized")) != FORMAT:
        raise ValueError(f"{folder} is {found!r}, not {FORMAT!r}. Quantise the model again")
    kinds = [DoubleBlock] * config["num_layers"] + [SingleBlock] * single_layers(config)
    blocks = (
        _from_tensors(kind, load_file(folder / block_file(number)), "")
        for number, kind in enumerate(kinds)
    )
    rest = {name: tensor.clone() for name, tensor in load_file(folder / REST).items()}
    return _assemble(config, StoredWeights(folder), blocks, rest, kernels)


def _assemble(
    config: Mapping[str, Any],
    weights: Weights,
    blocks: Iterator[Block],
    rest: dict[str, torch.Tensor],
    kernels: Kernels,
) -> Transformer:
    """diffusers' transformer with Int8Blocks as its blocks. `weights` has the modulation's."""
    without_blocks = dict.fromkeys({"num_layers", "num_single_layers"} & config.keys(), 0)
    with torch.device("meta"):
        transformer = KINDS[config["_class_name"]].from_config({**config, **without_blocks})
    transformer.load_state_dict(rest, assign=True)
    held = list(blocks)

    def reader(name: str) -> Callable[[], WeightAndBias]:
        return lambda: (weights[f"{name}.weight"], weights[f"{name}.bias"])

    transformer.transformer_blocks.append(
        Int8Blocks(
            kernels,
            [block for block in held if isinstance(block, DoubleBlock)],
            [block for block in held if isinstance(block, SingleBlock)],
            Modulation([reader(name) for name in modulation_names(config)]),
            config["num_attention_heads"],
        )
    )
    return transformer.eval()


def double_block(weights: Weights, name: str) -> DoubleBlock:
    """The double block of this name in int8."""
    return DoubleBlock(
        video=Stream(
            to_qkv=_pack(weights, *(f"{name}.attn.{part}" for part in ("to_q", "to_k", "to_v"))),
            norm_q=weights[f"{name}.attn.norm_q.weight"].float(),
            norm_k=weights[f"{name}.attn.norm_k.weight"].float(),
            to_out=_pack(weights, f"{name}.attn.to_out.0"),
            mlp_in=_pack(weights, f"{name}.ff.net.0.proj"),
            mlp_out=_pack(weights, f"{name}.ff.net.2"),
        ),
        text=Stream(
            to_qkv=_pack(weights, *(f"{name}.attn.add_{part}_proj" for part in "qkv")),
            norm_q=weights[f"{name}.attn.norm_added_q.weight"].float(),
            norm_k=weights[f"{name}.attn.norm_added_k.weight"].float(),
            to_out=_pack(weights, f"{name}.attn.to_add_out"),
            mlp_in=_pack(weights, f"{name}.ff_context.net.0.proj"),
            mlp_out=_pack(weights, f"{name}.ff_context.net.2"),
        ),
    )


def single_block(weights: Weights, name: str, width: int) -> SingleBlock:
    """The single block of this name, of a transformer of this width, in int8."""
    proj_out = weights[f"{name}.proj_out.weight"]
    return SingleBlock(
        to_qkv=_pack(weights, *(f"{name}.attn.{part}" for part in ("to_q", "to_k", "to_v"))),
        norm_q=weights[f"{name}.attn.norm_q.weight"].float(),
        norm_k=weights[f"{name}.attn.norm_k.weight"].float(),
        mlp_in=_pack(weights, f"{name}.proj_mlp"),
        # The inputs of the two halves differ in size: each is quantised by itself.
        attention_out=pack_linear(proj_out[:, :width], weights[f"{name}.proj_out.bias"]),
        mlp_out=pack_linear(proj_out[:, width:], None),
    )


def _pack(weights: Weights, *names: str) -> PackedLinear:
    """These layers as one, with their outputs side by side."""
    return pack_linear(
        torch.cat([weights[f"{name}.weight"] for name in names]),
        torch.cat([weights[f"{name}.bias"] for name in names]),
    )


def _rest(weights: Weights) -> dict[str, torch.Tensor]:
    """The tensors outside of the blocks."""
    return {
        name: weights[name].float()
        for name in weights
        if not name.startswith(("transformer_blocks.", "single_transformer_blocks."))
    }


def tensors_of(block: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a block by the path of fields that leads to them."""
    for field in dataclasses.fields(block):
        name, value = f"{prefix}{field.name}", getattr(block, field.name)
        match value:
            case torch.Tensor():
                yield name, value
            case int():
                yield name, torch.tensor(value)
            case None:
                pass
            case _:
                yield from tensors_of(value, f"{name}.")


def _from_tensors(kind: type[Any], tensors: Mapping[str, torch.Tensor], prefix: str) -> Any:
    """The reverse of tensors_of. Tensors are copied, because in a file they are not aligned."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        name = f"{prefix}{field.name}"
        match field.type:
            case "torch.Tensor":
                values[field.name] = tensors[name].clone()
            case "torch.Tensor | None":
                values[field.name] = tensors[name].clone() if name in tensors else None
            case "int":
                values[field.name] = int(tensors[name])
            case "Stream":
                values[field.name] = _from_tensors(Stream, tensors, f"{name}.")
            case _:
                values[field.name] = _from_tensors(PackedLinear, tensors, f"{name}.")
    return kind(**values)


def block_file(number: int) -> str:
    """The name of the file of a block: double ones are counted first, then single ones."""
    return f"block-{number:03}.safetensors"


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
