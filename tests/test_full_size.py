"""The bench's packages of the real models' size: weights that take no room, parts of a model."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

from bench.full_size import Layers, RandomWeights, layers_of, save_hole
from hunyuan_runner.catalogue import MODELS


def test_a_hole_reads_as_zeros_and_takes_no_room(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_hole({"large": torch.Size((5000, 3000)), "small": torch.Size((3,))}, "BF16", path)
    tensors = load_file(path)
    assert {name: tensor.shape for name, tensor in tensors.items()} == {
        "large": (5000, 3000),
        "small": (3,),
    }
    assert all(tensor.dtype is torch.bfloat16 and not tensor.any() for tensor in tensors.values())
    assert path.stat().st_size > 30e6
    assert path.stat().st_blocks * 512 < 1e5


def test_a_part_of_a_model_has_some_of_each_kind_of_blocks() -> None:
    assert layers_of(MODELS["hunyuanvideo"]).part(0.1) == Layers(2, 4)
    assert layers_of(MODELS["hunyuanvideo15"]).part(0.001) == Layers(1, 0)
    assert layers_of(MODELS["fasthunyuan"]).part(1) == Layers(20, 40)


def test_random_weights_are_of_their_shapes_and_differ_from_row_to_row() -> None:
    weights = RandomWeights({"x.weight": torch.Size((4, 1024)), "norm.weight": torch.Size((9,))})
    assert list(weights) == ["x.weight", "norm.weight"]
    drawn = weights["x.weight"].float()
    assert 0.01 < drawn.std() < 0.03
    assert not torch.equal(drawn[0], drawn[1])
    assert 0.8 < weights["norm.weight"].float().mean() < 1.2
