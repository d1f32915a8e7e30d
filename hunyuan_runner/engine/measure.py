"""A short benchmark: how much of each kind of work of a model this machine computes per second.

    python -m hunyuan_runner.engine.measure THREADS KERNELS SET ATTENTION
        MODEL PRECISION FOLDER PART …

measures parts of MODEL, whose configurations are in FOLDER: those of MEASURED_PARTS. As soon as one
is measured, it prints its fields of Rates as JSON, in a line. It times the engine's own code, with
random weights: a transformer block, attention, the VAE's decoder, and a layer of the text encoder.
KERNELS is the folder of the int8 kernels; SET and ATTENTION are the instruction set and the form of
attention that are wanted of them, or empty.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from diffusers.models.transformers.transformer_hunyuan_video import (
    HunyuanVideoSingleTransformerBlock,
)
from torch.nn import functional

from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.engine.blocks import Int8Blocks, Modulation, SingleBlock
from hunyuan_runner.engine.hunyuan.transformer import UnmaskedAttention
from hunyuan_runner.engine.implementation import implementation_of
from hunyuan_runner.engine.kernels import Kernels, PackedLinear, load_kernels
from hunyuan_runner.engine.loading import DTYPES
from hunyuan_runner.engine.on_disk import PIECE, LinearOnDisk
from hunyuan_runner.engine.quantize import pack_linear
from hunyuan_runner.machine.building import KernelsUnavailable
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.parent import die_with
from hunyuan_runner.machine.precision import LARGE_PARAMETERS, Precision, text_encoder_precision
from hunyuan_runner.quoting.estimate import MEASURED_PARTS

NICENESS = 10  # like the engine's
ENOUGH_SECONDS = 1.5  # for timing some things in turns
LEAST_SHARE = 0.1  # of the time grows with the work
FEW_TOKENS, TOKENS, ATTENDED_TOKENS = 32, 544, 2048
TEXT_TOKENS = 16  # included in each of these
BLOCKS_IN_A_ROW = 4
PROMPT_TOKENS = 128
LARGE_TEXT, SMALL_TEXT = (8192, 4096), (256, 128)  # outputs and inputs of a layer
WEIGHT_DEVIATION = 0.02
LARGE_CHANNELS = 64
# Latents (T, H, W, of 8x8 pixels) to decode with the VAE of a small and of a large model: a tiny
# clip, and the first of the others that does not take too long. The feature maps of (3, 12, 12) fit
# in caches, so it decodes a quarter faster than real clips. CPUs on which that matters are fast
# enough for more.
LATENTS = ((3, 12, 16), (9, 16, 24))
LARGE_LATENTS = ((1, 10, 10), (2, 24, 24), (3, 12, 12))
TOO_LONG_SECONDS = 15

Run = Callable[[], object]
Shape = tuple[int, int, int]


class Bench:
    """Times one model, whose configurations are in `folder`, in one precision."""

    def __init__(
        self, model: Model, folder: Path, kernels: Kernels | None, dtype: torch.dtype
    ) -> None:
        """With `kernels`, blocks are computed in int8; without, by diffusers in `dtype`."""
        self._family = model.family
        self._architecture = model.architecture
        self._folder = folder
        self._kernels = kernels
        self._dtype = dtype
        # int8 blocks share buffers that are allocated once for all; plain blocks do not.
        self._blocks_in_a_row = 1 if kernels is None else BLOCKS_IN_A_ROW

    def transforming(self) -> tuple[float, float, float]:
        """FLOP/s of linear layers, FLOP/s of attention, and the fixed seconds of a block."""
        architecture = self._architecture
        flops_per_token = architecture.step_flops_per_token / architecture.blocks
        flops_per_pair = architecture.step_flops_per_token_pair / architecture.blocks
        blocks = self.blocks()
        attention_seconds, *block_seconds = typical_seconds(
            self.attention(ATTENDED_TOKENS), blocks(FEW_TOKENS), blocks(TOKENS)
        )
        attention_rate = flops_per_pair * ATTENDED_TOKENS**2 / attention_seconds
        few, many = (
            seconds / self._blocks_in_a_row - flops_per_pair * tokens**2 / attention_rate
            for seconds, tokens in zip(block_seconds, (FEW_TOKENS, TOKENS), strict=True)
        )
        token_seconds, start_seconds = _line(FEW_TOKENS, few, TOKENS, many)
        return flops_per_token / token_seconds, attention_rate, start_seconds

    def blocks(self) -> Callable[[int], Run]:
        """A function from the number of tokens to a run of some single blocks in a row."""
        heads, width = self._architecture.heads, self._architecture.width
        module = self._int8_blocks() if self._kernels is not None else self._plain_block()
        dtype = torch.float32 if self._kernels is not None else self._dtype

        def run(tokens: int) -> Run:
            video = torch.randn(1, tokens - TEXT_TOKENS, width, dtype=dtype)
            text = torch.randn(1, TEXT_TOKENS, width, dtype=dtype)
            temb = torch.randn(1, width, dtype=dtype)
            rotary = torch.randn(2, tokens - TEXT_TOKENS, width // heads).unbind()
            return lambda: module(video, text, temb, None, rotary)

        return run

    def attention(self, tokens: int) -> Run:
        """A run of attention from all tokens to all tokens, as in a block."""
        heads = self._architecture.heads
        width = self._architecture.width // heads
        if (kernels := self._kernels) is None:
            shape = (3, 1, tokens, heads, width)
            query, key, value = torch.randn(shape, dtype=self._dtype).transpose(2, 3)
            return lambda: functional.scaled_dot_product_attention(query, key, value)
        qkv = torch.randn(tokens, 3 * heads * width).bfloat16()
        packed, ones = kernels.packed_heads(tokens, heads, width), torch.ones(width)
        kernels.pack_qkv(qkv, ones, ones, None, 0, packed)
        out = torch.empty(tokens, heads * width, dtype=torch.bfloat16)
        return lambda: kernels.attention(qkv, packed, out)

    def _plain_block(self) -> torch.nn.Module:
        heads, width = self._architecture.heads, self._architecture.width
        with torch.device("meta"):
            module = HunyuanVideoSingleTransformerBlock(
                heads, width // heads, self._architecture.mlp_ratio
            )
        module.attn.set_processor(UnmaskedAttention())
        return _filled(module.to(self._dtype))

    def _int8_blocks(self) -> torch.nn.Module:
        assert self._kernels is not None
        width, heads = self._architecture.width, self._architecture.heads
        mlp = int(width * self._architecture.mlp_ratio)
        ones = torch.ones(width // heads)
        block = SingleBlock(
            to_qkv=_random_linear(width, 3 * width),
            norm_q=ones,
            norm_k=ones,
            mlp_in=_random_linear(width, mlp),
            attention_out=_random_linear(width, width),
            mlp_out=_random_linear(mlp, width),
        )
        modulation = (torch.full((3 * width, width), 0.01), torch.zeros(3 * width))
        blocks, layers = [block] * BLOCKS_IN_A_ROW, [lambda: modulation] * BLOCKS_IN_A_ROW
        return Int8Blocks(self._kernels, [], blocks, Modulation(layers), heads)

    def decoding(self, threads: int, kernels: WantedKernels) -> tuple[float, float]:
        """FLOP/s, and the fixed seconds of a clip."""
        implementation = implementation_of(self._family)
        with torch.device("meta"):
            vae = implementation.blank_vae(self._folder)
        decoder = implementation.decoder(_filled(vae), threads, kernels)
        side = self._family.pixels_per_latent
        large = self._architecture.vae_channels[0] >= LARGE_CHANNELS
        tiny, *clips = LARGE_LATENTS if large else LATENTS

        def flops(shape: Shape) -> float:
            frames, height, width = shape
            pixels = (self._family.frames_per_latent * (frames - 1) + 1) * 8 * height * 8 * width
            return self._architecture.decode_flops_per_pixel * pixels

        def run(shape: Shape) -> Run:
            frames, height, width = shape
            size = (frames, 8 * height // side, 8 * width // side)
            latents = torch.randn(decoder.config.latent_channels, *size)
            return lambda: decoder(latents)

        run(tiny)()
        tiny_rate = flops(tiny) / _seconds(run(tiny))
        clip = affordable(clips, lambda shape: flops(shape) / tiny_rate)
        few, many = typical_seconds(run(tiny), run(clip))
        flop_seconds, start_seconds = _line(flops(tiny), few, flops(clip), many)
        return 1 / flop_seconds, start_seconds

    def encoding(self) -> tuple[float]:
        """FLOP/s of a linear layer of the text encoder, whose weights the system has in memory."""
        parameters = self._architecture.text_layer_parameters
        outputs, inputs = LARGE_TEXT if parameters > LARGE_PARAMETERS else SMALL_TEXT
        dtype = DTYPES[text_encoder_precision(parameters, cpu_flags())]
        weight = (torch.randn(outputs, inputs) * WEIGHT_DEVIATION).bfloat16()
        layer = LinearOnDisk(lambda: weight, None, torch.empty(PIECE, dtype=dtype))
        x = torch.randn(PROMPT_TOKENS, inputs, dtype=dtype)
        (seconds,) = typical_seconds(lambda: layer(x))
        return (2 * PROMPT_TOKENS * weight.numel() / seconds,)


def affordable(clips: Sequence[Shape], seconds: Callable[[Shape], float]) -> Shape:
    """The first that does not take too long, or the last if all do."""
    return next((clip for clip in clips if seconds(clip) < TOO_LONG_SECONDS), clips[-1])


def typical_seconds(*runs: Run) -> list[float]:
    """The median of each. They take turns, as other processes disturb for a while."""
    for run in runs:
        run()
    rounds: list[list[float]] = []
    started = time.perf_counter()
    while not rounds or time.perf_counter() - started < ENOUGH_SECONDS:
        rounds.append([_seconds(run) for run in runs])
    return [statistics.median(times) for times in zip(*rounds, strict=True)]


def _seconds(run: Run) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _line(little: float, little_seconds: float, much: float, seconds: float) -> tuple[float, float]:
    """Seconds per unit of work, and fixed seconds. Neither is negative."""
    slope = (seconds - little_seconds) / (much - little)
    slope = max(slope, LEAST_SHARE * abs(seconds) / much)  # times are noisy
    return slope, max(0.0, little_seconds - slope * little)


# Weights are random: if all were the same, a CPU would draw less power and run faster.
def _filled(module: torch.nn.Module) -> torch.nn.Module:
    """A module on the meta device, moved to the CPU with random weights."""
    module = module.to_empty(device="cpu")
    for parameter in module.parameters():
        parameter.normal_(std=WEIGHT_DEVIATION)
    return module


def _random_linear(inputs: int, outputs: int) -> PackedLinear:
    return pack_linear(torch.randn(outputs, inputs) * WEIGHT_DEVIATION, torch.zeros(outputs))


@torch.no_grad()
def measure(
    model: str,
    precision: Precision,
    folder: Path,
    threads: int,
    kernels: WantedKernels,
    parts: Iterable[str] = MEASURED_PARTS,
) -> Iterator[dict[str, float]]:
    """Fields of Rates for a model whose files are in `folder`, part by part: each takes seconds."""
    bench = _bench(MODELS[model], precision, folder, threads, kernels)
    measured: dict[str, Callable[[], tuple[float, ...]]] = {
        "transformer": bench.transforming,
        "decoder": partial(bench.decoding, threads, kernels),
        "text encoder": bench.encoding,
    }
    for part in parts:
        yield dict(zip(MEASURED_PARTS[part], measured[part](), strict=True))


def _bench(
    model: Model, precision: Precision, folder: Path, threads: int, kernels: WantedKernels
) -> Bench:
    if precision is not Precision.INT8:
        return Bench(model, folder, None, DTYPES[precision])
    try:
        return Bench(model, folder, load_kernels(kernels, threads), torch.float32)
    except KernelsUnavailable:  # the engine uses fp32 then
        return Bench(model, folder, None, torch.float32)


def main(
    threads: str,
    kernels: str,
    instructions: str,
    attention: str,
    model: str,
    precision: str,
    folder: str,
    *parts: str,
) -> None:
    die_with(os.getppid())
    os.nice(NICENESS)
    torch.set_num_threads(int(threads))
    wanted = WantedKernels.of_arguments(kernels, instructions, attention)
    places = (Path(folder), int(threads), wanted)
    for rates in measure(model, Precision(precision), *places, parts):
        print(json.dumps(rates), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
