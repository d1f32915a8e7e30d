"""Text encoders whose weights stay on the disk, and are read anew for each prompt.

Llama and Qwen have seven billion weights, and use each of them once for a prompt. So a linear layer
reads its weights when it computes: piece by piece, each of which becomes float32 or bfloat16 in the
processor's caches. The system keeps the files in memory as far as nothing else needs the room.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from hunyuan_runner.engine.stored import StoredWeights

Mapped = Callable[[], torch.Tensor]

PIECE = 1 << 22  # weights; the fastest size on Zen 3, where a core's share of the cache holds it


class LinearOnDisk(torch.nn.Module):
    """A linear layer whose weight ([outputs, inputs]) is what `mapped` returns, a tensor in a file.

    `piece` is room for PIECE weights, in the type that is computed in. Layers may share it.
    """

    def __init__(self, mapped: Mapped, bias: torch.Tensor | None, piece: torch.Tensor) -> None:
        super().__init__()
        self._mapped = mapped
        self._bias = bias
        self._piece = piece

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self._mapped()
        outputs, inputs = weight.shape
        results = x.new_empty(*x.shape[:-1], outputs)
        step = PIECE // inputs
        for first in range(0, outputs, step):
            part = weight[first : first + step]
            read = self._piece[: part.numel()].view(part.shape).copy_(part)
            results[..., first : first + step] = functional.linear(x, read)
        return results if self._bias is None else results.add_(self._bias)


class EmbeddingOnDisk(torch.nn.Module):
    """An embedding whose weight ([words, width]) is what `mapped` returns, a tensor in a file. Only
    the rows that are asked for are read."""

    def __init__(self, mapped: Mapped, dtype: torch.dtype) -> None:
        super().__init__()
        self._mapped = mapped
        self._dtype = dtype

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self._mapped()[words].to(self._dtype)


def on_disk(encoder: Any, weights: StoredWeights, dtype: torch.dtype) -> Any:
    """A text encoder of transformers, with rotary embeddings, that was built on the meta device:
    its linear layers and its embedding of words read their weights from `weights`, the rest is
    loaded. It computes in `dtype`.

    Raises ValueError if `weights` lacks one, or has it in another shape.
    """
    names = _names(encoder, weights)
    piece = torch.empty(PIECE, dtype=dtype)
    for path, module in list(encoder.named_modules()):
        mapped = partial(weights.mapped, names.get(f"{path}.weight", ""))
        match module:
            case torch.nn.Linear():
                bias = None if module.bias is None else weights[names[f"{path}.bias"]].to(dtype)
                encoder.set_submodule(path, LinearOnDisk(mapped, bias, piece))
            case torch.nn.Embedding():
                encoder.set_submodule(path, EmbeddingOnDisk(mapped, dtype))
    rest = {path: weights[names[path]].to(dtype) for path, _ in encoder.named_parameters()}
    encoder.load_state_dict(rest, assign=True)
    encoder.rotary_emb = type(encoder.rotary_emb)(encoder.config)  # it has no weights
    return encoder.eval()


def _names(encoder: Any, weights: StoredWeights) -> dict[str, str]:
    """The tensor of each parameter. A package may have saved the encoder as a part of a model."""
    prefix = f"{encoder.base_model_prefix}."
    stored = {name.removeprefix(prefix): name for name in weights}
    shapes = {path: parameter.shape for path, parameter in encoder.named_parameters()}
    if missing := shapes.keys() - stored.keys():
        raise ValueError(f"{weights.folder} lacks {len(missing)} weights, such as {min(missing)}")
    for path, shape in shapes.items():
        if (found := weights.mapped(stored[path]).shape) != shape:
            raise ValueError(f"{weights.folder}: {path} is {list(found)}, not {list(shape)}")
    return {path: stored[path] for path in shapes}
