"""Latents to pixels, in as few tiles as memory allows."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hunyuan_runner.engine.decoder import PIECE_BYTES, Decoder
from hunyuan_runner.host import available_memory_bytes

logger = logging.getLogger(__name__)

MOST_BYTES = 5e9  # more would save few FLOPs
SPARED_BYTES = 0.5e9  # of what is available, for everybody else
OVERLAPS = (2, 4, 4)  # of neighbours along T, H and W, in latents
SHORTEST = (4, 10, 10)  # tiles along T, H and W, in latents
FEATURE_MAPS = 3  # of full size and the fewest channels, alive at the decoder's peak
PIECES = 6  # of decoder.PIECE_BYTES, at the same time
PIXEL_BYTES = 3 * 4


def _nothing(part: int, parts: int) -> None:
    pass


@dataclass(frozen=True)
class Tiling:
    """How many tiles there are along T, H and W of the latents, and how large each of them is."""

    parts: tuple[int, int, int]
    size: tuple[int, int, int]

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
    budget = min(MOST_BYTES, available_memory_bytes() - SPARED_BYTES) / 2**attempt
    while True:
        tiling = choose_tiling(decoder, latents.shape, budget)
        try:
            return _decode(decoder, latents, tiling, report)[None]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error) or peak_bytes(decoder, latents.shape, tiling) > budget:
                raise
            logger.warning("Out of memory decoding with %s: going on with smaller tiles", tiling)
            budget /= 2


def is_out_of_memory(error: BaseException) -> bool:
    """torch reports a failed allocation on the CPU as a plain RuntimeError."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def choose_tiling(decoder: Decoder, shape: torch.Size, budget: float) -> Tiling:
    """The tiling of latents (CTHW) that decodes least within `budget` bytes.

    Where none stays within it, the one that takes least memory.
    """
    tilings = [
        Tiling(parts, (frames, height, width))
        for (t, frames), (h, height), (w, width) in itertools.product(
            *map(_cuts, shape[1:], SHORTEST, OVERLAPS)
        )
        for parts in [(t, h, w)]
    ]
    peaks = {tiling: peak_bytes(decoder, shape, tiling) for tiling in tilings}
    fitting = [tiling for tiling in tilings if peaks[tiling] <= budget]
    if not fitting:
        return min(tilings, key=lambda tiling: (peaks[tiling], tiling.decoded))
    return min(fitting, key=lambda tiling: (tiling.decoded, peaks[tiling]))


def peak_bytes(decoder: Decoder, shape: torch.Size, tiling: Tiling) -> float:
    """What decoding latents (CTHW) in these tiles takes, beyond the weights."""
    channels = decoder.config.block_out_channels[0]
    pixel_bytes = FEATURE_MAPS * channels * decoder.dtype.itemsize + PIXEL_BYTES
    tile, clip = _pixels(decoder, tiling.size), _pixels(decoder, shape[1:])
    return pixel_bytes * tile + PIXEL_BYTES * clip + PIECES * PIECE_BYTES


def _pixels(decoder: Decoder, size: tuple[int, ...]) -> int:
    frames, height, width = size
    spatial, temporal = _scales(decoder)
    return ((frames - 1) * temporal + 1) * height * width * spatial**2


def _scales(decoder: Decoder) -> tuple[int, int]:
    return decoder.config.spatial_compression_ratio, decoder.config.temporal_compression_ratio


def _cuts(length: int, shortest: int, overlap: int) -> Iterator[tuple[int, int]]:
    """In how many tiles, of what size, an axis can be cut."""
    yield 1, length
    for parts in range(2, length):
        size = math.ceil((length + (parts - 1) * overlap) / parts)
        if size < shortest:
            return
        yield parts, size


def _decode(
    decoder: Decoder,
    latents: torch.Tensor,
    tiling: Tiling,
    report: Callable[[int, int], None],
) -> torch.Tensor:
    """The pixels (CTHW) of latents (CTHW); where tiles overlap, one fades into the other."""
    frames, height, width = latents.shape[1:]
    spatial, temporal = _scales(decoder)
    axes = [
        _spans(length, parts, size)
        for length, parts, size in zip(latents.shape[1:], tiling.parts, tiling.size, strict=True)
    ]
    fades = [
        _fades([slice(temporal * s.start, temporal * (s.stop - 1) + 1) for s in axes[0]]),
        *(_fades([slice(spatial * s.start, spatial * s.stop) for s in spans]) for spans in axes[1:]),
    ]
    pixels = torch.zeros(
        decoder.config.out_channels,
        (frames - 1) * temporal + 1,
        height * spatial,
        width * spatial,
    )
    tiles = math.prod(tiling.parts)
    for done, ((t, h, w), (fade_t, fade_h, fade_w)) in enumerate(
        zip(itertools.product(*axes), itertools.product(*fades), strict=True), start=1
    ):
        tile = decoder(latents[:, t, h, w]).float()
        tile *= fade_t.weights[:, None, None] * fade_h.weights[:, None] * fade_w.weights
        pixels[:, fade_t.span, fade_h.span, fade_w.span] += tile
        report(done, tiles)
    return pixels


def _spans(length: int, parts: int, size: int) -> list[slice]:
    """Tiles spread evenly over an axis."""
    starts = [(length - size) * i // max(parts - 1, 1) for i in range(parts)]
    return [slice(start, start + size) for start in starts]


@dataclass(frozen=True)
class _Fade:
    """Where a tile lies on an axis of the pixels, and how much it counts at each place there."""

    span: slice
    weights: torch.Tensor


def _fades(spans: list[slice]) -> list[_Fade]:
    """Each tile counts less towards its edges inside the clip; at each place all together are 1."""
    length = spans[-1].stop
    places = torch.arange(length)
    weights = torch.zeros(len(spans), length)
    for span, row in zip(spans, weights, strict=True):
        before = places - span.start + 1 if span.start > 0 else torch.full_like(places, length)
        after = span.stop - places if span.stop < length else torch.full_like(places, length)
        row.copy_(torch.minimum(before, after).clamp(min=0))
    weights /= weights.sum(0)
    return [_Fade(span, row[span]) for span, row in zip(spans, weights, strict=True)]
