"""The fast decoder: TAEHV, a small network that was trained to decode as a VAE does, for CPUs.

Its source is https://github.com/madebyollin/taehv. It is made of 2D convolutions. Along time there
is only memory: nine of its blocks see, besides a frame, the frame before it. So latents are decoded
one after another, and a long clip takes no more memory than a short one.

Computed differently from the original, with the same results:

- Feature maps lie in memory as THWC. A block's first convolution, over a frame and the one before,
  is one of 2x3x3 over THWC, which engine/decoder.py computes.
- A frame becomes two by a linear layer, each of its pixels 2x2 by copying, and a convolution
  follows. The three are one operation: with the weights that meet copies of one value summed, it
  takes four products in place of nine.
- The largest feature map, that of the finished size, is only ever there in part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Self

import torch
from safetensors.torch import load_file
from torch.nn import functional

from hunyuan_runner.engine.decoder import Convolve, convolution, fold
from hunyuan_runner.engine.kernels import Kernels
from hunyuan_runner.engine.vae import Report, nothing
from hunyuan_runner.quoting.memory import FLOAT_BYTES, PIECE_BYTES, PIECES

PREFIX = "decoder."  # of the weights' names; those of the encoder are not used
BLOCKS = (3, 4, 5)  # of the first level, by their numbers in the weights' names
LEVEL = 6  # numbers further are the blocks of the next level
LEVELS = 3
LARGEST = 3.0  # latents are squeezed into -3..3
COLOURS = 3

Weights = Mapping[str, torch.Tensor]


class FastDecoder:
    """Decodes latents with the weights of TAEHV, in `dtype`.

    With `kernels`, convolutions of many channels are computed by these.
    """

    def __init__(
        self, weights: Weights, dtype: torch.dtype, kernels: Kernels | None = None
    ) -> None:
        """Sizes are those of the weights. Raises ValueError if they are of another network."""
        _require_only_known(weights)
        self.dtype = dtype
        layers = _Layers(weights, dtype, kernels)
        self._first = layers.convolution(1)
        self._levels = [
            _Level(
                [_Block(layers, LEVEL * level + number) for number in BLOCKS],
                _Upsampling(layers, LEVEL * level + BLOCKS[-1] + 2),
                width=weights[f"{PREFIX}{LEVEL * level + BLOCKS[0]}.conv.4.bias"].shape[0],
            )
            for level in range(LEVELS)
        ]
        last = LEVEL * LEVELS + BLOCKS[0] + 1
        self._last = layers.convolution(last)
        self._patch: int = math.isqrt(len(weights[f"{PREFIX}{last}.bias"]) // COLOURS)
        self.latent_channels = weights[f"{PREFIX}1.weight"].shape[1]
        self.frames_per_latent = math.prod(level.upsampling.frames for level in self._levels)

    @classmethod
    def load(cls, path: Path, dtype: torch.dtype, kernels: Kernels | None = None) -> Self:
        """With the weights in this file. Raises OSError, ValueError or SafetensorError."""
        return cls(load_file(path), dtype, kernels)

    @torch.no_grad()
    def __call__(self, latents: torch.Tensor, report: Report = nothing) -> Iterator[torch.Tensor]:
        """The frames (CHW, -1..1) of one clip's latents (CTHW), as the transformer makes them.

        The first latent becomes one frame, each of the others `frames_per_latent`. `report` is
        called with the number of finished latents and of all latents.
        """
        *levels, last = self._levels
        memories = [_Memory() for _ in range(LEVELS * len(BLOCKS))]
        for number, latent in enumerate(latents.unbind(1)):
            remembered = iter(memories)
            squeezed = (latent.float() / LARGEST).tanh() * LARGEST
            x = squeezed.to(self.dtype).permute(1, 2, 0)[None].contiguous()
            x = _convolved(x, self._first).relu_()
            for level in levels:
                x = level.upsampling(_through(x, level.blocks, remembered))
            x = _through(x, last.blocks, remembered)
            # Of the first latent, all frames but the last are of the time before the clip.
            unwanted = self.frames_per_latent - 1 if number == 0 else 0
            for index in range(unwanted, self.frames_per_latent):
                frame, phase = divmod(index, last.upsampling.frames)
                yield self._finished(x[frame : frame + 1], phase)
            report(number + 1, latents.shape[1])

    def needed_bytes(self, pixels: int) -> float:
        """About what decoding takes at its peak, for frames of so many pixels."""
        at_latents = pixels / (1 << LEVELS) ** 2 / self._patch**2
        # The memories, and five maps of the last level, the largest that are there as a whole.
        values: float = sum(
            3 * level.width * (1 << 2 * number) for number, level in enumerate(self._levels)
        )
        last = self._levels[-1]
        values += 5 * last.width * self.frames_per_latent * (1 << 2 * (LEVELS - 1)) / 2
        return values * at_latents * FLOAT_BYTES + PIECES * PIECE_BYTES

    def _finished(self, x: torch.Tensor, phase: int) -> torch.Tensor:
        """Of the frames that one frame (1HWC) of the last level becomes, that of number `phase`
        (CHW, -1..1). It is made in strips, as the feature map in between is large."""
        _, height, width, _ = x.shape
        upsampling = self._levels[-1].upsampling
        row_bytes = 2 * (2 * width + 2) * upsampling.channels * x.element_size()
        rows = max(1, int(PIECE_BYTES / row_bytes) - 2)
        colours = x.new_empty(2 * height, 2 * width, COLOURS * self._patch**2)
        padded = functional.pad(x, (0, 0, 1, 1, 2, 2))
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            # One row more at each side, of which the last convolution sees the half.
            made = upsampling.of_window(padded[:, top : bottom + 4], phase)
            window = functional.pad(made[:, 1:-1].relu_(), (0, 0, 1, 1))
            if top == 0:
                window[:, 0] = 0  # it is outside of the picture
            if bottom == height:
                window[:, -1] = 0
            colours[2 * top : 2 * bottom] = self._last(window)[0]
        split = colours.float().unflatten(-1, (COLOURS, self._patch, self._patch))  # H W C h w
        frame: torch.Tensor = split.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
        return frame.clamp(0, 1) * 2 - 1


class _Memory:
    """The frame before those that a block gets; black before the first."""

    def __init__(self) -> None:
        self._frame: torch.Tensor | None = None

    def with_earlier(self, x: torch.Tensor) -> torch.Tensor:
        """`x` (THWC) with the frame before it; the next call gets the last of `x`."""
        earlier = torch.zeros_like(x[:1]) if self._frame is None else self._frame
        self._frame = x[-1:].clone()
        return torch.cat((earlier, x))


class _Layers:
    """Makes convolutions of the weights, which are named by the numbers of their layers."""

    def __init__(self, weights: Weights, dtype: torch.dtype, kernels: Kernels | None) -> None:
        self._weights = weights
        self._dtype = dtype
        self._kernels = kernels

    def weight(self, layer: str | int) -> torch.Tensor:
        return self._weights[f"{PREFIX}{layer}.weight"].float()

    def convolution(self, layer: str | int) -> Convolve:
        bias = self._weights[f"{PREFIX}{layer}.bias"]
        return self.made_of(self.weight(layer).unsqueeze(2), bias)

    def with_memory(self, layer: str) -> Convolve:
        """Of a frame, whose weights come first, and the frame before."""
        now, before = self.weight(layer).chunk(2, dim=1)
        return self.made_of(
            torch.stack((before, now), dim=2), self._weights[f"{PREFIX}{layer}.bias"]
        )

    def made_of(self, weight: torch.Tensor, bias: torch.Tensor) -> Convolve:
        return convolution(weight.to(self._dtype), bias.to(self._dtype), self._kernels)


class _Block:
    """Three convolutions, the first of which sees two frames, added to the input."""

    def __init__(self, layers: _Layers, number: int) -> None:
        self._first = layers.with_memory(f"{number}.conv.0")
        self._rest = [layers.convolution(f"{number}.conv.{layer}") for layer in (2, 4)]

    def __call__(self, x: torch.Tensor, memory: _Memory) -> torch.Tensor:
        hidden = _convolved(memory.with_earlier(x), self._first)
        for convolve in self._rest:
            hidden = _convolved(hidden.relu_(), convolve)
        return hidden.add_(x).relu_()


class _Upsampling:
    """Each frame becomes `frames`, each of its positions 2x2, of `channels` channels."""

    def __init__(self, layers: _Layers, number: int) -> None:
        """Of the layers of this number and the next: one makes frames, the other convolves them."""
        grow, weight = layers.weight(f"{number}.conv").flatten(1), layers.weight(number + 1)
        self.frames = len(grow) // grow.shape[1]
        self.channels = len(weight)
        by_frame = [torch.einsum("omyx,mi->oiyx", weight, part) for part in grow.chunk(self.frames)]
        self._by_frame = [self._phases(layers, part.unsqueeze(2)) for part in by_frame]

    def _phases(self, layers: _Layers, weight: torch.Tensor) -> dict[tuple[int, int], Convolve]:
        bias = torch.zeros(self.channels)
        return {
            (y, x): layers.made_of(fold(fold(weight, 3, y), 4, x), bias)
            for y, x in product((0, 1), repeat=2)
        }

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        _, height, width, _ = x.shape
        out = x.new_empty(len(x), self.frames, 2 * height, 2 * width, self.channels)
        for top, window in _windows(x):
            rows = slice(2 * top, 2 * (top + window.shape[1] - 2))
            for phase in range(self.frames):
                out[:, phase, rows] = self.of_window(window, phase)
        return out.flatten(0, 1)

    def of_window(self, window: torch.Tensor, phase: int) -> torch.Tensor:
        """The frame of number `phase` of each frame (THWC) that has one more row and column on
        each side."""
        frames, height, width, _ = window.shape
        out = window.new_empty(frames, 2 * (height - 2), 2 * (width - 2), self.channels)
        for (y, x), convolve in self._by_frame[phase].items():
            out[:, y::2, x::2] = convolve(window[:, y : y + height - 1, x : x + width - 1])
        return out


class _Level:
    """Blocks for one size, of maps with `width` channels, and the way to the next."""

    def __init__(self, blocks: list[_Block], upsampling: _Upsampling, width: int) -> None:
        self.blocks = blocks
        self.upsampling = upsampling
        self.width = width


def _through(x: torch.Tensor, blocks: list[_Block], memories: Iterator[_Memory]) -> torch.Tensor:
    for block in blocks:
        x = block(x, next(memories))
    return x


def _convolved(x: torch.Tensor, convolve: Convolve) -> torch.Tensor:
    """The convolution of `x` (THWC) with zeros around each frame."""
    made = [convolve(window) for _, window in _windows(x)]
    return torch.cat(made, dim=1)


def _windows(x: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Strips of `x` (THWC) with one more row and column on each side: zeros outside of the frame.
    Yields a strip's first row, and its values."""
    frames, height, width, channels = x.shape
    rows = max(1, int(PIECE_BYTES / (frames * (width + 2) * channels * x.element_size())) - 2)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        above, below = int(top == 0), int(bottom == height)
        strip = x[:, top - 1 + above : bottom + 1 - below]
        yield top, functional.pad(strip, (0, 0, 1, 1, above, below))


def _require_only_known(weights: Weights) -> None:
    """Raises ValueError if weights are missing, or are there that only larger networks have."""
    known = {f"{PREFIX}1", f"{PREFIX}{LEVEL * LEVELS + BLOCKS[0] + 1}"}
    wanted = {f"{name}.{part}" for name in known for part in ("weight", "bias")}
    for level in range(LEVELS):
        at = LEVEL * level
        for number, layer, part in product(BLOCKS, (0, 2, 4), ("weight", "bias")):
            wanted.add(f"{PREFIX}{at + number}.conv.{layer}.{part}")
        wanted |= {f"{PREFIX}{at + 7}.conv.weight", f"{PREFIX}{at + 8}.weight"}
    names = {name for name in weights if name.startswith(PREFIX)}
    for problem, wrong in (("lack", wanted - names), ("have the unknown", names - wanted)):
        if wrong:
            raise ValueError(f"the weights {problem} {min(wrong)}")
