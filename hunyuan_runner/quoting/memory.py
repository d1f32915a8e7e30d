"""How much memory a clip takes at its peak: that of its largest stage."""

from __future__ import annotations

from hunyuan_runner.catalogue import FastDecoder, Model
from hunyuan_runner.families.family import Architecture
from hunyuan_runner.machine.precision import (
    BYTES_PER_PARAMETER,
    LARGE_PARAMETERS,
    SMALL_PARAMETERS,
    Precision,
)
from hunyuan_runner.params import GenerationParams

PROCESS_BYTES = 1e9  # of the engine with its libraries, before any weights
RESERVE_BYTES = 1e9  # for the system, the front and the runner

ENCODING_BYTES = 0.5e9  # a linear layer of a large text encoder, and what it computes

PIECES = 7  # of PIECE_BYTES, which the VAE's decoder holds at its peak besides its feature maps
PIECE_BYTES = 24e6  # malloc maps larger ones anew each time, and the page faults cost more
FLOAT_BYTES = 4
PIXEL_BYTES = 3 * FLOAT_BYTES  # of what the decoder makes


def peak_bytes(params: GenerationParams, model: Model, precision: Precision) -> int:
    """What the engine's process takes if memory is short; otherwise it takes more.

    The text encoders are released before the transformer is loaded. They take the most where they
    are float32.
    """
    architecture = model.architecture
    transformer = transformer_bytes(model, precision)
    encoding = _encoding_bytes(architecture)
    denoising = transformer + _activation_bytes(params, model, precision)
    decoding = transformer + _decode_bytes(params, model)
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
    """Whether a machine can hold the clip."""
    limit = limit_bytes(model, memory_bytes)
    return limit is None or needed_bytes <= limit


def limit_bytes(model: Model, memory_bytes: int) -> int | None:
    """What a clip of the model may take on a machine with so much memory.

    None for a small model, which always fits: it leaves enough room.
    """
    return None if model.parameters < SMALL_PARAMETERS else available_bytes(memory_bytes)


def available_bytes(memory_bytes: int) -> int:
    """What a clip may take on a machine with so much memory."""
    return max(0, int(memory_bytes - RESERVE_BYTES))


def _encoding_bytes(architecture: Architecture) -> float:
    """The layers of a large text encoder stay on the disk, and are read one by one."""
    held = architecture.held_text_parameters * FLOAT_BYTES
    is_large = architecture.text_layer_parameters > LARGE_PARAMETERS
    return held + ENCODING_BYTES if is_large else held


def _activation_bytes(params: GenerationParams, model: Model, precision: Precision) -> float:
    """What is in memory at once in a single block.

    In int8: the residual stream and its copy, levels, query, key and value (twice), the results of
    attention and the MLP; see engine/blocks.py. Otherwise: the input, the normed input, query, key
    and value, the results of attention and the MLP, and these two concatenated.
    """
    architecture = model.architecture
    if precision is Precision.INT8:
        bytes_per_width = 4 + 4 + architecture.mlp_ratio + 6 + 6 + 2 + 2 * architecture.mlp_ratio
    else:
        bytes_per_width = (7 + 2 * architecture.mlp_ratio) * BYTES_PER_PARAMETER[precision]
    return model.family.tokens(params) * architecture.width * bytes_per_width


def _decode_bytes(params: GenerationParams, model: Model) -> float:
    """With the smallest tiles. The engine uses larger ones if there is room; the formula is that of
    engine/vae.py. It holds the pixels of the frames that it is working on, and writes them down."""
    family = model.family
    if params.decoder == "fast" and model.fast_decoder is not None:
        return fast_decoder_bytes(model.fast_decoder, family.generated_pixels(params))
    latent_frames, height, width = family.tiles.shortest
    frames = min(params.num_frames, family.frames_per_latent * (latent_frames - 1) + 1)
    tile_pixels = frames * height * width * family.pixels_per_latent**2
    maps = family.tiles.feature_maps * model.architecture.vae_channels[0] * FLOAT_BYTES
    pixels = family.generated_pixels(params) * frames
    return (maps + PIXEL_BYTES) * tile_pixels + PIECES * PIECE_BYTES + PIXEL_BYTES * pixels


def fast_decoder_bytes(decoder: FastDecoder, pixels: int) -> float:
    """What it takes at its peak, with its weights, for frames of so many pixels."""
    weights = decoder.parameters * BYTES_PER_PARAMETER[Precision.FP32]
    return weights + PIECES * PIECE_BYTES + decoder.bytes_per_pixel * pixels
