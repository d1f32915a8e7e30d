"""How much memory a clip takes at its peak, by the largest of its stages."""

from __future__ import annotations

from hunyuan_runner.catalogue import Architecture, Model
from hunyuan_runner.engine.precision import (
    BYTES_PER_PARAMETER,
    SMALL_PARAMETERS,
    Precision,
)
from hunyuan_runner.params import GenerationParams

PROCESS_BYTES = 1e9  # of the engine with its libraries, before any weights
RESERVE_BYTES = 1e9  # for the system, the front and the runner

# What the VAE needs of a machine: tiles of 160x160 pixels and 16 frames with their overlap. The
# engine takes larger ones where there is room.
TILE_SIDE, TILE_FRAMES = 192, 24
TILE_FEATURE_MAPS = 10  # full-size feature maps alive at the decoder's peak
TILE_ATTENTION_BYTES = 9  # per pair of positions in the middle block's causal mask, at its peak
LATENT_PIXELS = 8 * 8 * 4  # of a tile, per position in its middle block

FRAME_BYTES = 3 * (4 + 4 + 1)  # per pixel: float32 in tiles, float32 as a whole, uint8


def peak_bytes(params: GenerationParams, model: Model, precision: Precision) -> int:
    """Of the engine's process. The text encoders are let go before the transformer is loaded."""
    architecture = model.architecture
    transformer = transformer_bytes(model, precision)
    encoding = architecture.text_encoder_bytes
    denoising = transformer + _activation_bytes(params, architecture, precision)
    decoding = transformer + architecture.vae_bytes + _decode_bytes(params, architecture, precision)
    return int(PROCESS_BYTES + max(encoding, denoising, decoding))


def transformer_bytes(model: Model, precision: Precision) -> float:
    """Of its weights; in int8 those outside the blocks, about one in fifty, take two bytes."""
    overhead = 1.02 if precision is Precision.INT8 else 1.0
    return model.parameters * BYTES_PER_PARAMETER[precision] * overhead


def fits(model: Model, needed_bytes: int, memory_bytes: int) -> bool:
    """Whether a machine can hold it. A small model always fits: it leaves room to its clip."""
    small = model.parameters < SMALL_PARAMETERS
    return small or needed_bytes <= available_bytes(memory_bytes)


def available_bytes(memory_bytes: int) -> int:
    """What a clip may take on a machine with so much memory."""
    return max(0, int(memory_bytes - RESERVE_BYTES))


def _activation_bytes(
    params: GenerationParams, architecture: Architecture, precision: Precision
) -> float:
    """Alive at once in a single block: what comes in, normed, query, key and value, attention's
    result, the MLP's, and the two last in one."""
    widths = 7 + 2 * architecture.mlp_ratio
    return params.tokens * architecture.width * widths * _float_bytes(precision)


def _decode_bytes(
    params: GenerationParams, architecture: Architecture, precision: Precision
) -> float:
    width, height, frames = params.generated_width, params.generated_height, params.num_frames
    tile = min(width, TILE_SIDE) * min(height, TILE_SIDE) * min(frames, TILE_FRAMES)
    features = TILE_FEATURE_MAPS * architecture.vae_channels[0] * _float_bytes(precision) * tile
    attention = TILE_ATTENTION_BYTES * (tile / LATENT_PIXELS) ** 2 * architecture.vae_attention
    return features + attention + FRAME_BYTES * width * height * frames


def _float_bytes(precision: Precision) -> int:
    """Of what is no weight: int8 is for products alone."""
    return 4 if precision is Precision.FP32 else 2
