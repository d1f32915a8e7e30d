"""The blocks of a HunyuanVideo transformer in int8: one module that replaces all of them.

diffusers' transformer calls its double blocks one by one, then its single blocks, all with the same
arguments. Here it calls one block that does the work of all. So video and text stay in one buffer,
and nothing is concatenated or split between blocks.

Products with weights are W8A8 (int8 weights by output, activations by token), accumulated exactly;
attention is bfloat16 with float32 sums, or int16 with exact ones; the residual stream, norms,
modulation, gates and softmax are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from hunyuan_runner.engine.kernels import (
    INT8_DEPTH,
    ROWS,
    Epilogue,
    Kernels,
    Levels,
    PackedLinear,
)

Rotary = tuple[torch.Tensor, torch.Tensor]
WeightAndBias = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Stream:
    """The weights of a double block for its video, or for its text."""

    to_qkv: PackedLinear
    norm_q: torch.Tensor
    norm_k: torch.Tensor
    to_out: PackedLinear
    mlp_in: PackedLinear
    mlp_out: PackedLinear


@dataclass(frozen=True)
class DoubleBlock:
    """Video and text have their own weights and meet in attention."""

    video: Stream
    text: Stream


@dataclass(frozen=True)
class SingleBlock:
    """Video and text as one sequence; `attention_out` and `mlp_out` are the halves of proj_out."""

    to_qkv: PackedLinear
    norm_q: torch.Tensor
    norm_k: torch.Tensor
    mlp_in: PackedLinear
    attention_out: PackedLinear
    mlp_out: PackedLinear


class Modulation:
    """Shifts, scales and gates of every block. They depend only on the time step and the prompt.

    The layers that compute them are a quarter of the model's weights. They are computed for all
    steps beforehand, so that these weights need not stay in memory. Calling an item of `layers`
    reads the weight and bias of a layer.
    """

    def __init__(self, layers: Sequence[Callable[[], WeightAndBias]]) -> None:
        self._layers = layers
        self._tembs: torch.Tensor | None = None
        self._values: list[torch.Tensor] = []

    def prepare(self, tembs: torch.Tensor) -> None:
        """Compute for these embeddings ([steps, width]) of time step and prompt."""
        if self._tembs is not None and torch.equal(tembs, self._tembs):
            return
        self._tembs = tembs
        active = F.silu(tembs.float())
        self._values = [
            F.linear(active, weight.float(), bias.float())
            for weight, bias in (read() for read in self._layers)
        ]

    def at(self, temb: torch.Tensor) -> list[torch.Tensor]:
        """By layer, the modulation for an embedding ([1, width]): [chunks * width] float32."""
        if self._tembs is None or not (same := (self._tembs == temb).all(dim=1)).any():
            self.prepare(temb)
            return [value[0] for value in self._values]
        step = int(same.nonzero()[0])
        return [value[step] for value in self._values]


class Workspace:
    """The buffers of one pass through the blocks, for `rows` tokens of video and text.

    They are reused from block to block: new memory costs as much as some of the arithmetic.
    """

    def __init__(
        self, kernels: Kernels, rows: int, heads: int, head_width: int, mlp_width: int
    ) -> None:
        width = heads * head_width
        self.rows = rows
        self._levels = torch.empty(_up(rows, ROWS) * _up(mlp_width, INT8_DEPTH), dtype=torch.uint8)
        self._level_scale = torch.empty(rows)
        self.qkv = torch.empty(rows, 3 * width, dtype=torch.bfloat16)
        self.mixed = torch.empty(rows, width, dtype=torch.bfloat16)
        self.hidden = torch.empty(rows, mlp_width, dtype=torch.bfloat16)
        self.heads = kernels.packed_heads(rows, heads, head_width)

    def levels(self, rows: int) -> Levels:
        return Levels(self._levels, self._level_scale, rows)


class Int8Blocks(torch.nn.Module):
    """Takes the place of all blocks of a HunyuanVideoTransformer3DModel."""

    def __init__(
        self,
        kernels: Kernels,
        double: Sequence[DoubleBlock],
        single: Sequence[SingleBlock],
        modulation: Modulation,
        heads: int,
    ) -> None:
        """`modulation` has two layers for each double block, video and text, then one for each
        single block."""
        super().__init__()
        self.modulation = modulation
        self.kernels = kernels
        self._double = double
        self._single = single
        self._heads = heads

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        temb: torch.Tensor,
        attention_mask: torch.Tensor | None,
        image_rotary_emb: Rotary,
        token_replace_emb: None = None,
        first_frame_num_tokens: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Video and text ([1, tokens, width]) after the last block.

        `attention_mask` is not needed: the text has no padding. Nor is `first_frame_num_tokens`: it
        belongs to `token_replace_emb`, with which image-to-video models treat the first frame
        differently. Raises NotImplementedError if that is given.
        """
        if token_replace_emb is not None:
            raise NotImplementedError("int8 blocks do not compute token_replace_emb")
        video_rows = hidden_states.shape[1]
        x = torch.cat([hidden_states[0], encoder_hidden_states[0]]).float()
        rotary = (image_rotary_emb[0].float(), image_rotary_emb[1].float())
        modulation = iter(self.modulation.at(temb))
        work = self._workspace(x)
        for double in self._double:
            self._run_double(double, x, video_rows, rotary, modulation, work)
        for single in self._single:
            self._run_single(single, x, video_rows, rotary, next(modulation), work)
        x = x.to(hidden_states.dtype)[None]
        return x[:, :video_rows], x[:, video_rows:]

    def _workspace(self, x: torch.Tensor) -> Workspace:
        rows, width = x.shape
        block = self._double[0].video if self._double else self._single[0]
        return Workspace(
            self.kernels, rows, self._heads, width // self._heads, block.mlp_in.outputs
        )

    def _run_double(
        self,
        block: DoubleBlock,
        x: torch.Tensor,
        video_rows: int,
        rotary: Rotary,
        modulation: Iterator[torch.Tensor],
        work: Workspace,
    ) -> None:
        parts = (
            (block.video, slice(0, video_rows), rotary),
            (block.text, slice(video_rows, work.rows), None),
        )
        chunks = [next(modulation).chunk(6) for _ in parts]
        for (stream, rows, angles), (shift, scale, *_) in zip(parts, chunks, strict=True):
            levels = work.levels(rows.stop - rows.start)
            self.kernels.norm_quantize(x[rows], scale, shift, levels)
            self.kernels.linear(levels, stream.to_qkv, work.qkv[rows], Epilogue.STORE)
            self._pack(stream, work.qkv[rows], angles, rows.start, work)
        self._attend(work)
        for (stream, rows, _), (_, _, gate, mlp_shift, mlp_scale, mlp_gate) in zip(
            parts, chunks, strict=True
        ):
            levels = work.levels(rows.stop - rows.start)
            self._add(levels, work.mixed[rows], stream.to_out, gate, x[rows])
            self.kernels.norm_quantize(x[rows], mlp_scale, mlp_shift, levels)
            self.kernels.linear(levels, stream.mlp_in, work.hidden[rows], Epilogue.GELU)
            self._add(levels, work.hidden[rows], stream.mlp_out, mlp_gate, x[rows])

    def _run_single(
        self,
        block: SingleBlock,
        x: torch.Tensor,
        video_rows: int,
        rotary: Rotary,
        modulation: torch.Tensor,
        work: Workspace,
    ) -> None:
        shift, scale, gate = modulation.chunk(3)
        levels = work.levels(work.rows)
        self.kernels.norm_quantize(x, scale, shift, levels)
        self.kernels.linear(levels, block.to_qkv, work.qkv, Epilogue.STORE)
        self.kernels.linear(levels, block.mlp_in, work.hidden, Epilogue.GELU)
        self._pack(block, work.qkv[:video_rows], rotary, 0, work)
        self._pack(block, work.qkv[video_rows:], None, video_rows, work)
        self._attend(work)
        self._add(levels, work.mixed, block.attention_out, gate, x)
        self._add(levels, work.hidden, block.mlp_out, gate, x)

    def _pack(
        self,
        weights: Stream | SingleBlock,
        qkv: torch.Tensor,
        rotary: Rotary | None,
        offset: int,
        work: Workspace,
    ) -> None:
        norms = (weights.norm_q, weights.norm_k)
        self.kernels.pack_qkv(qkv, *norms, rotary, offset, work.heads)

    def _attend(self, work: Workspace) -> None:
        self.kernels.attention(work.qkv, work.heads, work.mixed)

    def _add(
        self,
        levels: Levels,
        values: torch.Tensor,
        layer: PackedLinear,
        gate: torch.Tensor,
        x: torch.Tensor,
    ) -> None:
        """x += gate * layer(values)"""
        self.kernels.quantize(values, levels)
        self.kernels.linear(levels, layer, x, Epilogue.RESIDUAL, gate)


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
