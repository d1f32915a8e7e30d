"""Latents to pixels, in as few tiles as memory allows."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch

from hunyuan_runner.engine.decoder import PIECE_BYTES, Decoder
from hunyuan_runner.host import available_memory_bytes

logger = logging.getLogger(__name__)

MOST_BYTES = 5e9  # more would save few FLOPs
SPARED_BYTES = 0.5e9  # of what is available, for everybody else
OVERLAPS = (2, 4, 4)  # of neighbours along T, H and W, in latents
SHORTEST = (4, 10, 10)  # tiles along T, H and W, in latents
FEATURE_MAPS = 3.5  # of full size and the fewest channels, alive at the decoder's peak
PIECES = 6  # of decoder.PIECE_BYTES, at the same time
PIXEL_BYTES = 3 * 4


def _nothing(part: int, parts: int) -> None:
    pass


@dataclass(frozen=True)
class Tiling:
    """How many tiles there are along T, H and W of the latents, and how large each of them is."""

    parts: tuple[int, int, int]
    size: tuple[int, int, int]

    @classmethod
    def of(cls, shape: torch.Size, parts: tuple[int, int, int]) -> Self:
        """Latents (CTHW) cut into so many parts along T, H and W."""
        frames, height, width = map(_size, shape[1:], parts, OVERLAPS)
        return cls(parts, (frames, height, width))

    @property
    def decoded(self) -> int:
        """Latent positions to decode, those where tiles overlap once for each."""
        return math.prod(self.parts) * math.prod(self.size)


@torch.no_grad()
def decode(
    decoder: Decoder,
    latents: torch.Tensor,
    attempt: int = 0,
    report: Callable[[int, int], None] = _nothing,
) -> torch.Tensor:
    """Decode the pipeline's latents (NCTHW, N = 1) into pixels in -1..1 (NCTHW).

    Takes the tiles with the fewest FLOPs in the memory at hand, or in half of it for every
    `attempt` made before, and goes on to smaller ones where memory runs out. `report` is told how
    many tiles of how many are done.
    """
    latents = latents[0] / decoder.config.scaling_factor
    budget = memory_budget() / 2**attempt
    while True:
        tiling = choose_tiling(decoder, latents.shape, budget)
        try:
            return decode_tiles(decoder, latents, tiling, report)[None]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or peak_bytes(decoder, latents.shape, tiling) > budget:
                raise
            logger.warning("Out of memory decoding with %s: going on with smaller tiles", tiling)
            budget /= 2


def is_out_of_memory(error: BaseException) -> bool:
    """torch reports a failed allocation on the CPU as a plain RuntimeError."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def memory_budget() -> float:
    """The bytes that decoding may take here and now."""
    return min(MOST_BYTES, available_memory_bytes() - SPARED_BYTES)


def choose_tiling(decoder: Decoder, shape: torch.Size, budget: float) -> Tiling:
    """The tiling of latents (CTHW) that decodes least within `budget` bytes.

    Where none stays within it, the one that takes least memory.
    """
    tilings = [
        Tiling.of(shape, (t, h, w))
        for t, h, w in itertools.product(*map(_possible_parts, shape[1:], SHORTEST, OVERLAPS))
    ]
    peaks = {tiling: peak_bytes(decoder, shape, tiling) for tiling in tilings}
    fitting = [tiling for tiling in tilings if peaks[tiling] <= budget]
    if not fitting:
        return min(tilings, key=lambda tiling: (peaks[tiling], tiling.decoded))
    return min(fitting, key=lambda tiling: (tiling.decoded, peaks[tiling]))


def peak_bytes(decoder: Decoder, shape: torch.Size, tiling: Tiling) -> float:
    """What decoding latents (CTHW) in these tiles takes, beyond the weights."""
    channels = decoder.config.block_out_channels[0]
    pixel_bytes: float = FEATURE_MAPS * channels * decoder.dtype.itemsize + PIXEL_BYTES
    tile, clip = _pixels(decoder, tiling.size), _pixels(decoder, shape[1:])
    return pixel_bytes * tile + PIXEL_BYTES * clip + PIECES * PIECE_BYTES


def _pixels(decoder: Decoder, size: tuple[int, ...]) -> int:
    return math.prod(
        length * scale - lost for length, (scale, lost) in zip(size, _scales(decoder), strict=True)
    )


def _scales(decoder: Decoder) -> tuple[tuple[int, int], ...]:
    """Pixels per latent along T, H and W, and how many fewer the first latent frame stands for."""
    frames, side = (
        decoder.config.temporal_compression_ratio,
        decoder.config.spatial_compression_ratio,
    )
    return (frames, frames - 1), (side, 0), (side, 0)


def _possible_parts(length: int, shortest: int, overlap: int) -> list[int]:
    """In how many tiles an axis can be cut."""
    several = range(2, length)
    return [1, *(parts for parts in several if _size(length, parts, overlap) >= shortest)]


def _size(length: int, parts: int, overlap: int) -> int:
    """Of tiles that cover an axis and overlap their neighbours so far."""
    return math.ceil((length + (parts - 1) * overlap) / parts)


def decode_tiles(
    decoder: Decoder,
    latents: torch.Tensor,
    tiling: Tiling,
    report: Callable[[int, int], None] = _nothing,
) -> torch.Tensor:
    """The pixels (CTHW) of latents (CTHW); where tiles overlap, one fades into the next."""
    scales = _scales(decoder)
    size = [
        length * scale - lost
        for length, (scale, lost) in zip(latents.shape[1:], scales, strict=True)
    ]
    pixels = torch.zeros(decoder.config.out_channels, *size)
    axes = map(_segments, latents.shape[1:], tiling.parts, tiling.size, scales)
    for done, (t, h, w) in enumerate(itertools.product(*axes), start=1):
        tile = decoder(latents[:, t.latents, h.latents, w.latents]).float()
        tile *= t.weights[:, None, None] * h.weights[:, None] * w.weights
        pixels[:, t.pixels, h.pixels, w.pixels] += tile
        report(done, math.prod(tiling.parts))
    return pixels


@dataclass(frozen=True)
class _Segment:
    """What a tile takes up of one axis, and how much it counts at each pixel there."""

    latents: slice
    pixels: slice
    weights: torch.Tensor


def _segments(length: int, parts: int, size: int, scales: tuple[int, int]) -> list[_Segment]:
    """Tiles spread evenly over an axis of `length` latents.

    A tile counts the less the closer it comes to an edge inside the clip, where it lacks what lies
    beyond; at each pixel all of them add up to 1.
    """
    scale, lost = scales
    starts = [(length - size) * i // max(parts - 1, 1) for i in range(parts)]
    spans = [slice(scale * start, scale * (start + size) - lost) for start in starts]
    end = spans[-1].stop
    places = torch.arange(end)
    unlimited = torch.full_like(places, end)
    weights = torch.stack(
        [
            torch.minimum(
                places - span.start + 1 if span.start > 0 else unlimited,
                span.stop - places if span.stop < end else unlimited,
            ).clamp(min=0)
            for span in spans
        ]
    )
    weights = weights / weights.sum(0)
    return [
        _Segment(slice(start, start + size), span, row[span])
        for start, span, row in zip(starts, spans, weights, strict=True)
    ]
