"""Latents to pixels, in tiles where the whole would not fit in memory."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKLHunyuanVideo

logger = logging.getLogger(__name__)

MEMORY_BUDGET = 6e9  # bytes the decoder may take for one tile
FEATURE_MAPS = 10  # full-size feature maps alive at the decoder's peak
ATTENTION_BYTES = 9  # per pair of positions in the middle block's causal mask, at its peak
OVERLAP = 4  # latent pixels, each way
OVERLAP_FRAMES = 1  # latent frames


@dataclass(frozen=True)
class Tiling:
    """The most pixels, each way, and frames a tile may advance by; its overlap comes on top."""

    pixels: float
    frames: float


# At 640x480, tiles that advance by 320x240 pixels cost 12 % more than the whole would; diffusers'
# default tiles, which overlap more and leave narrow rests, cost 120 % more.
TILINGS = (
    Tiling(math.inf, math.inf),
    Tiling(320, math.inf),
    Tiling(320, 32),
    Tiling(320, 16),
    Tiling(160, 16),
    Tiling(80, 8),
)


def decode(vae: AutoencoderKLHunyuanVideo, latents: torch.Tensor, attempt: int = 0) -> torch.Tensor:
    """Decode the pipeline's latents (NCTHW) into pixels in -1..1 (NCTHW).

    Begins with the largest tiles that should fit in memory, or `attempt` sizes below them, and goes
    on to smaller ones where memory runs out.
    """
    latents = latents.to(vae.dtype) / vae.config.scaling_factor
    smallest = len(TILINGS) - 1
    first = min(_largest_fitting(vae, latents.shape) + attempt, smallest)
    for tiling in TILINGS[first:smallest]:
        try:
            return _decode(vae, latents, tiling)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            logger.warning("Out of memory decoding with %s: going on with smaller tiles", tiling)
    return _decode(vae, latents, TILINGS[smallest])


def is_out_of_memory(error: BaseException) -> bool:
    """torch reports a failed allocation on the CPU as a plain RuntimeError."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _decode(vae: AutoencoderKLHunyuanVideo, latents: torch.Tensor, tiling: Tiling) -> torch.Tensor:
    frames, height, width = _strides(vae, latents.shape, tiling)
    spatial, temporal = vae.spatial_compression_ratio, vae.temporal_compression_ratio
    vae.use_framewise_decoding = frames < latents.shape[2]
    vae.enable_tiling(
        tile_sample_min_height=(height + OVERLAP) * spatial,
        tile_sample_min_width=(width + OVERLAP) * spatial,
        tile_sample_min_num_frames=(frames + OVERLAP_FRAMES) * temporal,
        tile_sample_stride_height=height * spatial,
        tile_sample_stride_width=width * spatial,
        tile_sample_stride_num_frames=frames * temporal,
    )
    pixels: torch.Tensor = vae.decode(latents, return_dict=False)[0]
    return pixels


def _largest_fitting(vae: AutoencoderKLHunyuanVideo, shape: torch.Size) -> int:
    """The index of the first of TILINGS whose tiles should stay within the memory budget."""
    sizes = (_peak_bytes(vae, shape, tiling) for tiling in TILINGS)
    return next((i for i, size in enumerate(sizes) if size <= MEMORY_BUDGET), len(TILINGS))


def _peak_bytes(vae: AutoencoderKLHunyuanVideo, shape: torch.Size, tiling: Tiling) -> float:
    strides = _strides(vae, shape, tiling)
    # diffusers gives all tiles but the first one latent frame more, to drop what it decodes to
    overlaps = (OVERLAP_FRAMES + 1, OVERLAP, OVERLAP)
    frames, height, width = map(min, shape[2:], map(sum, zip(strides, overlaps, strict=True)))
    positions = frames * height * width
    pixel_frames = positions * vae.temporal_compression_ratio * vae.spatial_compression_ratio**2
    features = FEATURE_MAPS * vae.config.block_out_channels[0] * vae.dtype.itemsize * pixel_frames
    attention = ATTENTION_BYTES * positions**2 if vae.config.mid_block_add_attention else 0
    return float(features + attention)


def _strides(
    vae: AutoencoderKLHunyuanVideo, shape: torch.Size, tiling: Tiling
) -> tuple[int, int, int]:
    """How far a tile advances along T, H and W of the latents: in equal parts, or at once."""
    frames, height, width = shape[2:]
    pixels = tiling.pixels / vae.spatial_compression_ratio
    return (
        _equal_part(frames, tiling.frames / vae.temporal_compression_ratio),
        _equal_part(height, pixels),
        _equal_part(width, pixels),
    )


def _equal_part(length: int, largest: float) -> int:
    parts = max(1, math.ceil(length / largest))
    return math.ceil(length / parts)
