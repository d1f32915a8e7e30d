"""Reads a transformer of HunyuanVideo-1.5 under the names that its authors gave its weights.

Distilled weights are published so, in one file. Nothing is converted on the disk: a tensor is
looked up, cut or turned when it is asked for by diffusers' name for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from hunyuan_runner.engine.stored import StoredWeights, Weights

# Modules by diffusers' names, and the authors' names for them: outside of blocks, in a block of the
# text refiner, and in a double block.
OUTSIDE: Mapping[str, str] = {
    "time_embed.timestep_embedder.linear_1": "time_in.mlp.0",
    "time_embed.timestep_embedder.linear_2": "time_in.mlp.2",
    "context_embedder.time_text_embed.timestep_embedder.linear_1": "txt_in.t_embedder.mlp.0",
    "context_embedder.time_text_embed.timestep_embedder.linear_2": "txt_in.t_embedder.mlp.2",
    "context_embedder.time_text_embed.text_embedder.linear_1": "txt_in.c_embedder.linear_1",
    "context_embedder.time_text_embed.text_embedder.linear_2": "txt_in.c_embedder.linear_2",
    "context_embedder.proj_in": "txt_in.input_embedder",
    "context_embedder_2.norm": "byt5_in.layernorm",
    "context_embedder_2.linear_1": "byt5_in.fc1",
    "context_embedder_2.linear_2": "byt5_in.fc2",
    "context_embedder_2.linear_3": "byt5_in.fc3",
    "image_embedder.norm_in": "vision_in.proj.0",
    "image_embedder.linear_1": "vision_in.proj.1",
    "image_embedder.linear_2": "vision_in.proj.3",
    "image_embedder.norm_out": "vision_in.proj.4",
    "x_embedder.proj": "img_in.proj",
    "cond_type_embed": "cond_type_embedding",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
REFINER: Mapping[str, str] = {
    "norm1": "norm1",
    "norm2": "norm2",
    "attn.to_q": "self_attn_qkv",
    "attn.to_k": "self_attn_qkv",
    "attn.to_v": "self_attn_qkv",
    "attn.to_out.0": "self_attn_proj",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
    "norm_out.linear": "adaLN_modulation.1",
}
BLOCK: Mapping[str, str] = {
    "norm1.linear": "img_mod.linear",
    "norm1_context.linear": "txt_mod.linear",
    "attn.to_q": "img_attn_q",
    "attn.to_k": "img_attn_k",
    "attn.to_v": "img_attn_v",
    "attn.norm_q": "img_attn_q_norm",
    "attn.norm_k": "img_attn_k_norm",
    "attn.to_out.0": "img_attn_proj",
    "attn.add_q_proj": "txt_attn_q",
    "attn.add_k_proj": "txt_attn_k",
    "attn.add_v_proj": "txt_attn_v",
    "attn.norm_added_q": "txt_attn_q_norm",
    "attn.norm_added_k": "txt_attn_k_norm",
    "attn.to_add_out": "txt_attn_proj",
    "ff.net.0.proj": "img_mlp.fc1",
    "ff.net.2": "img_mlp.fc2",
    "ff_context.net.0.proj": "txt_mlp.fc1",
    "ff_context.net.2": "txt_mlp.fc2",
}
# How the names of modules in blocks begin, before a number: diffusers' and the authors'.
IN_BLOCKS = (
    (
        "context_embedder.token_refiner.refiner_blocks",
        "txt_in.individual_token_refiner.blocks",
        REFINER,
    ),
    ("transformer_blocks", "double_blocks", BLOCK),
)
PARTS = ("attn.to_q", "attn.to_k", "attn.to_v")  # of self_attn_qkv, in this order
SWAPPED = "norm_out.linear"  # outside of blocks: the authors have the shift before the scale


class Renamed:
    """The tensors of `stored`, which has the authors' names, by diffusers' names."""

    def __init__(self, stored: Weights) -> None:
        """Raises ValueError if there is a name that the authors' model does not have."""
        self._stored = stored
        self._source: dict[str, str] = {}  # by diffusers' names
        for name in stored:
            module, _, kind = name.rpartition(".")
            for ours in _ours(module):
                self._source[f"{ours}.{kind}"] = name

    def __iter__(self) -> Iterator[str]:
        return iter(self._source)

    def __getitem__(self, name: str) -> torch.Tensor:
        source = self._source[name]
        tensor = self._stored[source]
        module = name.rpartition(".")[0]
        if module == SWAPPED:
            return torch.cat(tensor.chunk(2)[::-1])
        if ".self_attn_qkv." in source:
            part = next(number for number, end in enumerate(PARTS) if module.endswith(end))
            return tensor.chunk(3)[part].clone()
        return tensor


def _ours(module: str) -> list[str]:
    """diffusers' names for a module. Raises ValueError if there is none."""
    found = [ours for ours, theirs in OUTSIDE.items() if theirs == module]
    for our_blocks, their_blocks, names in IN_BLOCKS:
        if match := re.fullmatch(rf"{re.escape(their_blocks)}\.(\d+)\.(.+)", module):
            number, end = match.groups()
            ends = [ours for ours, theirs in names.items() if theirs == end]
            found += [f"{our_blocks}.{number}.{ours}" for ours in ends]
    if not found:
        raise ValueError(f"the transformer has unknown weights, such as {module}")
    return found


def open_weights(folder: Path) -> Weights:
    """The tensors in this folder by diffusers' names, whichever names they have there.

    Raises as StoredWeights does, and ValueError if there are unknown names.
    """
    stored = StoredWeights(folder)
    original = any(name.startswith("double_blocks.") for name in stored)
    return Renamed(stored) if original else stored
