"""Latents to pixels, in as few tiles as memory allows, frame by frame."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import torch

from hunyuan_runner.engine.exhaustion import is_out_of_memory
from hunyuan_runner.families.family import Tiles
from hunyuan_runner.machine.host import memory_bytes
from hunyuan_runner.quoting.memory import PIECE_BYTES, PIECES, PIXEL_BYTES

logger = logging.getLogger(__name__)

MOST_BYTES = 5e9  # more would save little work
SPARED_BYTES = 2e9  # of the machine's memory, for the engine, its VAE and other processes

Kept = TypeVar("Kept")
Report = Callable[[int, int], None]


def nothing(tile: int, tiles: int) -> None:
    pass


class Decoder(Protocol):
    """The decoder of a VAE with this configuration."""

    config: Any  # of the VAE; its names are diffusers'
    dtype: torch.dtype
    tiles: Tiles

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        """The pixels (CTHW, about -1..1) of one clip's latents (CTHW), or of a tile of them."""


@dataclass(frozen=True)
class Tiling:
    """The number of tiles along T, H and W, and the size of each in latents."""

    counts: tuple[int, int, int]
    size: tuple[int, int, int]

    @classmethod
    def of(cls, shape: torch.Size, counts: tuple[int, int, int], tiles: Tiles) -> Self:
        """Latents (THW) cut into `counts` tiles along the axes."""
        frames, height, width = map(_size, shape, counts, tiles.overlaps)
        return cls(counts, (frames, height, width))

    @property
    def decoded(self) -> int:
        """Latent positions to decode; where tiles overlap, they count once for each."""
        return math.prod(self.counts) * math.prod(self.size)


def decode(
    decoder: Decoder,
    latents: torch.Tensor,
    keep: Callable[[Iterator[torch.Tensor]], Kept],
    attempt: int = 0,
    report: Report = nothing,
) -> Kept:
    """What `keep` makes of the frames (CHW, -1..1) of the pipeline's latents (NCTHW, N = 1).

    Uses the tiles that fit in the machine's memory and need the least work; tiles that need half
    the memory for every `attempt`; and smaller ones yet if memory runs out. Then `keep` is called
    again, from the first frame on. `report` is called with the number of finished tiles and of all
    tiles.
    """
    latents = latents[0] / decoder.config.scaling_factor
    shape = latents.shape[1:]
    tiling = choose_tiling(decoder, shape, memory_budget())
    for _ in range(attempt):
        tiling = _smaller(decoder, shape, tiling)
    while True:
        try:
            return keep(decode_tiles(decoder, latents, tiling, report))
        except (MemoryError, RuntimeError) as error:
            smaller = _smaller(decoder, shape, tiling)
            if not is_out_of_memory(error) or smaller == tiling:
                raise
            logger.warning("Out of memory decoding with %s; trying %s", tiling, smaller)
            tiling = smaller


def _smaller(decoder: Decoder, shape: torch.Size, tiling: Tiling) -> Tiling:
    """The tiling that needs half the memory, or as little as possible."""
    return choose_tiling(decoder, shape, needed_bytes(decoder, shape, tiling) / 2)


def memory_budget() -> float:
    """The bytes that decoding may take.

    They do not depend on what else is in memory, because other tiles would give other last bits.
    """
    return min(MOST_BYTES, memory_bytes() - SPARED_BYTES)


def choose_tiling(decoder: Decoder, shape: torch.Size, budget: float) -> Tiling:
    """The tiling of latents (THW) with the least work that takes at most `budget` bytes.

    If there is none, the one that takes the least memory.
    """
    tiles = decoder.tiles
    possible = map(_possible_counts, shape, tiles.shortest, tiles.overlaps)
    tilings = [Tiling.of(shape, (t, h, w), tiles) for t, h, w in itertools.product(*possible)]
    size = {tiling: needed_bytes(decoder, shape, tiling) for tiling in tilings}
    fitting = [tiling for tiling in tilings if size[tiling] <= budget]
    if not fitting:
        return min(tilings, key=lambda tiling: (size[tiling], tiling.decoded))
    return min(fitting, key=lambda tiling: (tiling.decoded, size[tiling]))


def needed_bytes(decoder: Decoder, shape: torch.Size, tiling: Tiling) -> float:
    """The memory that decoding latents (THW) takes at its peak, without the weights: that of a
    tile, and the pixels of all tiles that begin at the same frame."""
    pixels = _pixels(decoder, tiling.size)
    channels: int = decoder.config.block_out_channels[0]
    maps = decoder.tiles.feature_maps * channels * decoder.dtype.itemsize
    tile = (maps + PIXEL_BYTES) * pixels + min(PIECES * PIECE_BYTES, maps * pixels)
    frames, *_ = tiling.size
    return tile + PIXEL_BYTES * _pixels(decoder, (frames, *shape[1:]))


def _pixels(decoder: Decoder, size: tuple[int, ...]) -> int:
    return math.prod(
        length * scale - lost for length, (scale, lost) in zip(size, _scales(decoder), strict=True)
    )


def _scales(decoder: Decoder) -> tuple[tuple[int, int], ...]:
    """Pixels per latent along T, H and W, and how many fewer there are of the first latent."""
    frames, side = (
        decoder.config.temporal_compression_ratio,
        decoder.config.spatial_compression_ratio,
    )
    return (frames, frames - 1), (side, 0), (side, 0)


def _possible_counts(length: int, shortest: int, overlap: int) -> list[int]:
    """The numbers of tiles into which an axis can be cut."""
    several = range(2, length)
    return [1, *(count for count in several if _size(length, count, overlap) >= shortest)]


def _size(length: int, count: int, overlap: int) -> int:
    """The size of tiles that cover an axis and overlap by `overlap`."""
    return math.ceil((length + (count - 1) * overlap) / count)


@torch.no_grad()
def decode_tiles(
    decoder: Decoder,
    latents: torch.Tensor,
    tiling: Tiling,
    report: Report = nothing,
) -> Iterator[torch.Tensor]:
    """The frames (CHW) of latents (CTHW). Where tiles overlap, one fades into the next.

    Frames come as soon as no later tile has a part in them, so only those of the tiles that begin
    at the same frame are in memory.
    """
    scales = _scales(decoder)
    time, *sides = map(_segments, latents.shape[1:], tiling.counts, tiling.size, scales)
    height, width = (axis[-1].pixels.stop for axis in sides)
    colours: int = decoder.config.out_channels
    pixels = torch.zeros(colours, 0, height, width)
    made, of = itertools.count(1), math.prod(tiling.counts)
    for t, later in itertools.zip_longest(time, time[1:]):
        more = t.pixels.stop - t.pixels.start - pixels.shape[1]
        pixels = torch.cat((pixels, torch.zeros(colours, more, height, width)), dim=1)
        for h, w in itertools.product(*sides):
            tile = decoder(latents[:, t.latents, h.latents, w.latents]).float()
            tile *= t.weights[:, None, None] * h.weights[:, None] * w.weights
            pixels[:, :, h.pixels, w.pixels] += tile
            report(next(made), of)
        finished = pixels.shape[1] if later is None else later.pixels.start - t.pixels.start
        yield from pixels[:, :finished].unbind(1)
        pixels = pixels[:, finished:].clone()


@dataclass(frozen=True)
class _Segment:
    """The part of one axis that a tile covers, and its weight at each pixel there."""

    latents: slice
    pixels: slice
    weights: torch.Tensor


def _segments(length: int, count: int, size: int, scales: tuple[int, int]) -> list[_Segment]:
    """Tiles spread evenly over an axis of `length` latents.

    A tile weighs less towards an edge inside the clip, because it does not see beyond it, and
    nothing in its outermost latent there. At each pixel the weights add up to 1.
    """
    scale, lost = scales
    starts = [(length - size) * i // max(count - 1, 1) for i in range(count)]
    spans = [slice(scale * start, scale * (start + size) - lost) for start in starts]
    end, outermost = spans[-1].stop, scale - lost
    places = torch.arange(end)
    unlimited = torch.full_like(places, end)
    weights = torch.stack(
        [
            torch.minimum(
                places - span.start + 1 - outermost if span.start > 0 else unlimited,
                span.stop - places - outermost if span.stop < end else unlimited,
            ).clamp(min=0)
            for span in spans
        ]
    )
    weights = weights / weights.sum(0)
    return [
        _Segment(slice(start, start + size), span, row[span])
        for start, span, row in zip(starts, spans, weights, strict=True)
    ]
