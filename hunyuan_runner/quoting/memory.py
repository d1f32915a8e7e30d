"""How much memory a clip takes at its peak: that of its largest stage."""

from __future__ import annotations

from hunyuan_runner.catalogue import Architecture, Model
from hunyuan_runner.machine.precision import (
    BYTES_PER_PARAMETER,
    SMALL_PARAMETERS,
    Precision,
)
from hunyuan_runner.params import GenerationParams

PROCESS_BYTES = 1e9  # of the engine with its libraries, before any weights
RESERVE_BYTES = 1e9  # for the system, the front and the runner

# The smallest tiles of the VAE: 13 frames of 80x80 pixels. The engine uses larger ones if there is
# room; the formula is that of engine/vae.py.
TILE_PIXELS = 13 * 80 * 80
# At its peak the decoder holds so many feature maps of full size with the fewest channels, and so
# many pieces of PIECE_BYTES. 640x480, 9 frames, 128 channels in bf16 took 1 % more than that.
FEATURE_MAPS = 3
PIECES = 7
PIECE_BYTES = 24e6  # malloc maps larger ones anew each time, and the page faults cost more
FLOAT_BYTES = 4
FRAME_BYTES = 3 * (4 + 4 + 1)  # per pixel: float32 in tiles, float32 as a whole, uint8


def peak_bytes(params: GenerationParams, model: Model, precision: Precision) -> int:
    """What the engine's process takes if memory is short; otherwise it takes more.

    The text encoders are released before the transformer is loaded.
    """
    architecture = model.architecture
    transformer = transformer_bytes(model, precision)
    encoding = architecture.text_encoder_bytes
    denoising = transformer + _activation_bytes(params, architecture, precision)
    decoding = transformer + _decode_bytes(params, architecture)
    return int(PROCESS_BYTES + architecture.vae_bytes + max(encoding, denoising, decoding))


def transformer_bytes(model: Model, precision: Precision) -> float:
    """What its weights take. In int8 those outside the blocks are float32, and the blocks'
    modulation is computed ahead and stays on the disk."""
    if precision is not Precision.INT8:
        return model.parameters * BYTES_PER_PARAMETER[precision]
    blocks = model.architecture.block_parameters
    rest = model.parameters - blocks - model.architecture.modulation_parameters
    return blocks + rest * BYTES_PER_PARAMETER[Precision.FP32]


def fits(model: Model, needed_bytes: int, memory_bytes: int) -> bool:
    """Whether a machine can hold the clip. A small model always fits: it leaves enough room."""
    small = model.parameters < SMALL_PARAMETERS
    return small or needed_bytes <= available_bytes(memory_bytes)


def available_bytes(memory_bytes: int) -> int:
    """What a clip may take on a machine with so much memory."""
    return max(0, int(memory_bytes - RESERVE_BYTES))


def _activation_bytes(
    params: GenerationParams, architecture: Architecture, precision: Precision
) -> float:
    """What is in memory at once in a single block.

    In int8: the residual stream and its copy, levels, query, key and value (twice), the results of
    attention and the MLP; see engine/blocks.py. Otherwise: the input, the normed input, query, key
    and value, the results of attention and the MLP, and these two concatenated.
    """
    if precision is Precision.INT8:
        bytes_per_width = 4 + 4 + architecture.mlp_ratio + 6 + 6 + 2 + 2 * architecture.mlp_ratio
    else:
        bytes_per_width = (7 + 2 * architecture.mlp_ratio) * BYTES_PER_PARAMETER[precision]
    return params.tokens * architecture.width * bytes_per_width


def _decode_bytes(params: GenerationParams, architecture: Architecture) -> float:
    width, height, frames = params.generated_width, params.generated_height, params.num_frames
    pixel_bytes = FEATURE_MAPS * architecture.vae_channels[0] * FLOAT_BYTES + 12
    return pixel_bytes * TILE_PIXELS + PIECES * PIECE_BYTES + FRAME_BYTES * width * height * frames
