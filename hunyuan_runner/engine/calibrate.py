"""A short benchmark: what this machine computes per second of each kind of work of a model.

    python -m hunyuan_runner.engine.calibrate THREADS MODEL:PRECISION …

prints estimate.Rates by argument, as JSON. What is timed are the model's own parts, one of each and
with no weights to load: a transformer block, attention, the convolutions of the VAE.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch
from diffusers.models.transformers.transformer_hunyuan_video import (
    HunyuanVideoSingleTransformerBlock,
)
from torch.nn import functional

from hunyuan_runner.catalogue import MODELS, Architecture
from hunyuan_runner.engine.precision import Precision
from hunyuan_runner.estimate import MEASURED_SPREAD, Rates

NICENESS = 10  # as the engine's
ENOUGH_SECONDS = 0.2  # of timing one thing
LEAST_SHARE = 0.1  # of the time that grows with the work
FEW_TOKENS, TOKENS, ATTENDED_TOKENS = 32, 544, 2048
TEXT_TOKENS = 16  # of each of these
LARGE_CHANNELS = 64

DTYPES = {
    Precision.FP32: torch.float32,
    Precision.BF16: torch.bfloat16,
    Precision.INT8: torch.bfloat16,
}

Run = Callable[[], object]


def measure(architecture: Architecture, precision: Precision) -> Rates:
    """Takes some seconds."""
    flops_per_token = architecture.step_flops_per_token / architecture.blocks
    flops_per_pair = architecture.step_flops_per_token_pair / architecture.blocks
    attention_seconds = best_seconds(attention(architecture, precision, ATTENDED_TOKENS))
    attention_rate = flops_per_pair * ATTENDED_TOKENS**2 / attention_seconds
    few, many = (
        best_seconds(block(architecture, precision, tokens))
        - flops_per_pair * tokens**2 / attention_rate
        for tokens in (FEW_TOKENS, TOKENS)
    )
    token_seconds, block_seconds = _line(FEW_TOKENS, few, TOKENS, many)
    flop_seconds, decode_seconds = _decoding(architecture, precision)
    return Rates(
        linears=flops_per_token / token_seconds,
        attention=attention_rate,
        convolutions=1 / flop_seconds,
        block_seconds=block_seconds,
        decode_seconds=decode_seconds,
        spread=MEASURED_SPREAD,
    )


def _line(little: float, little_seconds: float, much: float, seconds: float) -> tuple[float, float]:
    """Seconds per unit of work, and however little of it there is; neither less than nothing."""
    slope = (seconds - little_seconds) / (much - little)
    slope = max(slope, LEAST_SHARE * abs(seconds) / much)  # what is timed is noisy
    return slope, max(0.0, little_seconds - slope * little)


def best_seconds(run: Run) -> float:
    """The quickest of a few runs, or of the first two where they take long."""
    run()
    times: list[float] = []
    while sum(times) < ENOUGH_SECONDS:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return min(times)


def block(architecture: Architecture, precision: Precision, tokens: int) -> Run:
    """A single block of the transformer, on so many tokens in all."""
    dtype, width = DTYPES[precision], architecture.width
    with torch.device("meta"):
        module = HunyuanVideoSingleTransformerBlock(
            architecture.heads, width // architecture.heads, architecture.mlp_ratio
        )
    module = module.to(dtype).to_empty(device="cpu")
    for parameter in module.parameters():
        parameter.fill_(0.01)
    video = torch.randn(1, tokens - TEXT_TOKENS, width, dtype=dtype)
    text = torch.randn(1, TEXT_TOKENS, width, dtype=dtype)
    modulation = torch.randn(1, width, dtype=dtype)
    rotation = torch.randn(2, tokens - TEXT_TOKENS, width // architecture.heads).unbind()
    return lambda: module(video, text, modulation, _mask(tokens), rotation)


def attention(architecture: Architecture, precision: Precision, tokens: int) -> Run:
    """Of all tokens to all tokens, as in a block."""
    shape = (3, 1, tokens, architecture.heads, architecture.width // architecture.heads)
    query, key, value = torch.randn(shape, dtype=DTYPES[precision]).transpose(2, 3)
    return lambda: functional.scaled_dot_product_attention(query, key, value, _mask(tokens))


def _mask(tokens: int) -> torch.Tensor:
    return torch.ones(1, 1, 1, tokens, dtype=torch.bool)


def convolutions(channels: int, precision: Precision, shape: tuple[int, int, int]) -> Run:
    """Half a residual block of the VAE, on `shape` = T, H, W positions."""
    dtype = DTYPES[precision]
    x = torch.randn(1, channels, *shape, dtype=dtype)
    weights = torch.full((channels, channels, 3, 3, 3), 0.01, dtype=dtype)
    ones = torch.ones(channels, dtype=dtype)

    def run() -> torch.Tensor:
        active = functional.silu(functional.group_norm(x, 1, ones, ones))
        padded = functional.pad(active, (1, 1, 1, 1, 2, 0), mode="replicate")
        convolved: torch.Tensor = functional.conv3d(padded, weights)
        return convolved

    return run


def _decoding(architecture: Architecture, precision: Precision) -> tuple[float, float]:
    """Seconds per FLOP, and for a clip however small.

    Small convolutions are the slower ones: torch computes them otherwise.
    """
    large = architecture.vae_channels[0] >= LARGE_CHANNELS
    small, shape = ((5, 16, 16), (5, 48, 48)) if large else ((5, 64, 64), (33, 128, 192))
    little, little_seconds = _level_seconds(architecture.vae_channels, precision, small)
    much, seconds = _level_seconds(architecture.vae_channels, precision, shape)
    flop_seconds, constant = _line(little, little_seconds, much, seconds)
    decoders = architecture.decode_flops_per_pixel * math.prod(shape) / much  # of such levels
    return flop_seconds, constant * decoders


def _level_seconds(
    vae_channels: Sequence[int], precision: Precision, shape: tuple[int, int, int]
) -> tuple[float, float]:
    """FLOP and seconds of one convolution on each level of the decoder: each has half the width and
    height of the one before, and from the third on, half the frames."""
    frames, height, width = shape
    flops = seconds = 0.0
    for level, channels in enumerate(vae_channels):
        inner = ((frames - 1 >> max(0, level - 1)) + 1, height >> level, width >> level)
        flops += 2 * 27 * channels**2 * math.prod(inner)
        seconds += best_seconds(convolutions(channels, precision, inner))
    return flops, seconds


@torch.no_grad()
def main(threads: str, *wanted: str) -> None:
    os.nice(NICENESS)
    torch.set_num_threads(int(threads))
    measured = {}
    for name in wanted:
        model_id, _, precision = name.partition(":")
        rates = measure(MODELS[model_id].architecture, Precision(precision))
        measured[name] = asdict(rates)
    print(json.dumps(measured))


if __name__ == "__main__":
    main(*sys.argv[1:])
