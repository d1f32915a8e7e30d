"""Compares our int8 blocks with plain diffusers, at the dimensions of the 13B model.

    python -m bench.blocks --tokens 4800 --json

times one double and one single block with random weights, for each instruction set that this CPU
has, and the matrix products and the attention in them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.transformer_hunyuan_video import (
    HunyuanVideoRotaryPosEmbed,
    HunyuanVideoSingleTransformerBlock,
    HunyuanVideoTransformerBlock,
)
from torch.nn import functional

from bench import KERNELS_DIR
from bench.operations import Fastest
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.blocks import Int8Blocks, Modulation
from hunyuan_runner.engine.kernels import FORMS, Epilogue, Kernels, Levels, load_kernels
from hunyuan_runner.engine.measure import Bench
from hunyuan_runner.engine.quantize import modulation_names, pack_linear, quantized_blocks
from hunyuan_runner.machine.building import INSTRUCTION_FLAGS, build, library_name
from hunyuan_runner.machine.host import cpu_flags, usable_cores
from hunyuan_runner.machine.instructions import (
    Attention,
    Instructions,
    WantedKernels,
    available,
    paths,
)

PEAK_SOURCE = Path(__file__).with_name("peak.cpp")
PEAK_ROUNDS = 5_000_000
LINEAR = 3  # products of linear layers, in peak.cpp
PATIENCE_SECONDS = 30.0  # what takes longer is not repeated
ENOUGH_SECONDS, ENOUGH_RUNS = 3.0, 50  # of what is repeated for its fastest run
HEADS, HEAD_WIDTH, MLP_RATIO = 24, 128, 4.0
WIDTH = HEADS * HEAD_WIDTH
TEXT_TOKENS = 64
GEMM_ROWS = 4800
LATENT_WIDTH = 40  # tokens per row of a frame, for the rotary embedding
CONFIG = {
    "num_layers": 1,
    "num_single_layers": 1,
    "num_attention_heads": HEADS,
    "attention_head_dim": HEAD_WIDTH,
}

COMMAND = "python -m bench.blocks"
TEMPLATE = """\
## Blocks of the 13B model, {tokens} tokens

`{command}`: one double and one single block with random weights,
{tokens} video and {text} text tokens, {threads} threads; medians of {repeats} interleaved runs, or
one of what takes longer than {patience:.0f} s.{in_a_row}

| | seconds | fp32 / this | bf16 / this | undisturbed, s | fp32 / this | bf16 / this \
| products, GFLOP/s | attention, GFLOP/s | error |
|---|---|---|---|---|---|---|---|---|---|
| plain diffusers, fp32 | {fp32_s:.2f} | | | {fp32_undisturbed_s:.2f} | | \
| {fp32_gflops:.0f} | {sdpa_gflops:.0f} | |
| plain diffusers, bf16 | {bf16_s:.2f} | | | {bf16_undisturbed_s:.2f} | | \
| {bf16_gflops:.0f} | | |
{paths}
Undisturbed: the sum of the fastest that each operation was in any of the runs. "Products" are those
of a linear layer, int8 in ours{onednn}. In brackets: the share of what products in registers alone
reach in the same minute, each the fastest of its runs. The error is relative to fp32. A runner's
benchmark predicts {predicted_s:.2f} s for the first of ours.{held}{narrow}
"""
IN_A_ROW = """
Ours is the mean of {pairs} pairs in a row: all blocks of a model share buffers, whose memory is new
at each step."""
ONEDNN = " (oneDNN's reach {gflops:.0f})"
HELD = """
Held to AVX2 (`ATEN_CPU_CAPABILITY=avx2`, `ONEDNN_MAX_CPU_ISA=AVX2`), plain fp32 takes
{seconds:.2f} s."""
NARROW = """
avx-vnni is that of CPUs without AVX-512: the same instructions on 256 bits and 16 registers, in
the encoding that this CPU has."""
PATH = """\
| {instructions}, attention in {attention} | {seconds:.2f} | {fp32_ratio:.1f} | {bf16_ratio:.1f} | \
{undisturbed_s:.2f} | {fp32_undisturbed_ratio:.1f} | {bf16_undisturbed_ratio:.1f} | \
{products_gflops:.0f} ({products_share:.0%}) | {attention_gflops:.0f} ({attention_share:.0%}) | \
{error:.4f} |
"""


Clip = tuple[torch.Tensor, torch.Tensor]  # video and text


@dataclass(frozen=True)
class PathResult:
    """Our blocks with one instruction set and form of attention."""

    instructions: str
    attention: str
    seconds: float
    undisturbed_s: float
    products_gflops: float
    products_peak_gflops: float  # in registers alone
    attention_gflops: float
    attention_peak_gflops: float
    error: float


@dataclass(frozen=True)
class Result:
    """Seconds are medians, undisturbed those of `Fastest`, and GFLOP/s the most of a few runs, with
    a multiplication and an addition as two."""

    tokens: int
    threads: int
    only: Instructions | None
    pairs: int
    patience: float
    fp32_s: float
    bf16_s: float
    fp32_undisturbed_s: float
    bf16_undisturbed_s: float
    held_to_avx2_s: float | None
    predicted_s: float
    fp32_gflops: float
    bf16_gflops: float
    sdpa_gflops: float
    onednn_gflops: float | None  # without VNNI, it is a reference that nobody would use
    paths: list[PathResult]


class PlainBlocks(torch.nn.Module):
    """A double and a single block of diffusers."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer_blocks = torch.nn.ModuleList(
            [HunyuanVideoTransformerBlock(HEADS, HEAD_WIDTH, MLP_RATIO)]
        )
        self.single_transformer_blocks = torch.nn.ModuleList(
            [HunyuanVideoSingleTransformerBlock(HEADS, HEAD_WIDTH, MLP_RATIO)]
        )

    def forward(
        self, video: torch.Tensor, text: torch.Tensor, *rest: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        for block in (*self.transformer_blocks, *self.single_transformer_blocks):
            video, text = block(video, text, *rest)
        return video, text


@torch.no_grad()
def measure(
    tokens: int,
    threads: int,
    repeats: int,
    only: Instructions | None = None,
    form: Attention | None = None,
    pairs: int = 1,
    patience: float = PATIENCE_SECONDS,
) -> Result:
    """With `only`, the other instruction sets are left out, with `form` those of attention. Ours
    runs `pairs` of blocks in a row, and the seconds are those of one. What takes longer than
    `patience` (in seconds) is not repeated."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    paths = _paths(threads, only, form)
    plain = PlainBlocks().eval()
    ours = [quantized(plain, kernels, pairs) for kernels in paths]
    clip = inputs(tokens)
    exact = plain(*clip)
    errors = [_relative_error(quantized(plain, kernels)(*clip), exact) for kernels in paths]
    half = tuple(
        x.bfloat16() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in clip
    )
    length = tokens + TEXT_TOKENS
    linear_flops, attention_flops = _flops(length)
    runner = Bench(MODELS["hunyuanvideo"], Path(), paths[0], torch.float32)
    for blocks in ours:  # or their first runs would have operations that later ones have not
        blocks.modulation.prepare(clip[2])
    times = defaultdict(list)  # type: dict[str, list[float]]
    undisturbed = defaultdict(Fastest)  # type: dict[str, Fastest]

    def in_turn(name: str, run: Callable[[], Clip]) -> None:
        if times[name] and times[name][0] > patience:
            return
        start = time.perf_counter()
        undisturbed[name].run(run)
        times[name].append(time.perf_counter() - start)

    for _ in range(repeats):
        linears, attention, block_seconds = runner.transforming()
        times["predicted"].append(
            linear_flops / linears + attention_flops / attention + 2 * block_seconds
        )
        in_turn("fp32", partial(plain.float(), *clip))
        in_turn("bf16", partial(plain.bfloat16(), *half))
        for kernels, blocks in zip(paths, ours, strict=True):
            in_turn(_name(kernels), partial(blocks, *clip))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return Result(
        tokens=tokens,
        threads=threads,
        only=only,
        pairs=pairs,
        patience=patience,
        fp32_s=seconds["fp32"],
        bf16_s=seconds["bf16"],
        fp32_undisturbed_s=undisturbed["fp32"].seconds,
        bf16_undisturbed_s=undisturbed["bf16"].seconds,
        held_to_avx2_s=None if only else _held_to_avx2(tokens, threads, repeats),
        predicted_s=seconds["predicted"],
        sdpa_gflops=_sdpa(length),
        **_torch_products(),
        onednn_gflops=_onednn_products(),
        paths=[
            PathResult(
                instructions=kernels.instructions,
                attention=kernels.attention_form,
                seconds=seconds[_name(kernels)] / pairs,
                undisturbed_s=undisturbed[_name(kernels)].seconds / pairs,
                products_gflops=_products(kernels),
                products_peak_gflops=_peak(kernels, LINEAR, threads),
                attention_gflops=_attention(kernels, length),
                attention_peak_gflops=_attention_peak(kernels, threads),
                error=error,
            )
            for kernels, error in zip(paths, errors, strict=True)
        ],
    )


def run() -> str:
    return "\n".join(
        describe(measure(tokens, usable_cores(), 3), 3, f"{COMMAND} --tokens {tokens}")
        for tokens in (4800, 19200)
    )


def flops(tokens: int) -> float:
    """What a double and a single block need for so many video tokens."""
    return sum(_flops(tokens + TEXT_TOKENS))


def _flops(length: int) -> tuple[float, float]:
    """Those of the linear layers and of attention."""
    return 2 * 12 * 2 * WIDTH**2 * length, 2 * 4 * WIDTH * length**2


def describe(result: Result, repeats: int, command: str) -> str:
    paths = (
        PATH.format(
            **asdict(path),
            fp32_ratio=result.fp32_s / path.seconds,
            bf16_ratio=result.bf16_s / path.seconds,
            fp32_undisturbed_ratio=result.fp32_undisturbed_s / path.undisturbed_s,
            bf16_undisturbed_ratio=result.bf16_undisturbed_s / path.undisturbed_s,
            products_share=path.products_gflops / path.products_peak_gflops,
            attention_share=path.attention_gflops / path.attention_peak_gflops,
        )
        for path in result.paths
    )
    held, onednn = result.held_to_avx2_s, result.onednn_gflops
    return TEMPLATE.format(
        **asdict(result) | {"paths": "".join(paths)},
        command=command,
        in_a_row=IN_A_ROW.format(pairs=result.pairs) if result.pairs > 1 else "",
        text=TEXT_TOKENS,
        repeats=repeats,
        onednn="" if onednn is None else ONEDNN.format(gflops=onednn),
        held="" if held is None else HELD.format(seconds=held),
        narrow=NARROW if result.only is None and _narrow_only_here() else "",
    )


def _paths(threads: int, only: Instructions | None, form: Attention | None) -> list[Kernels]:
    """Kernels for each instruction set, or one, with each form of attention that it has, or one."""
    kernels = [
        load_kernels(WantedKernels(KERNELS_DIR, instructions, attention), threads)
        for instructions, attention in _chosen(only, form)
    ]
    if only is None and _narrow_only_here():
        library = KERNELS_DIR / f"narrow-{library_name(Instructions.AVX512)}"
        build(library, _flags(Instructions.AVX_VNNI))
        kernels += [
            Kernels(library, Instructions.AVX_VNNI, attention, threads)
            for attention in (Attention.INT16, Attention.INT8)
            if form in (None, attention)
        ]
    return kernels


def _chosen(
    only: Instructions | None, form: Attention | None
) -> list[tuple[Instructions, Attention]]:
    """This CPU's paths with these instructions and this form of attention; None stands for all."""
    return [
        (instructions, attention)
        for instructions, attention in paths(cpu_flags())
        if only in (None, instructions) and form in (None, attention)
    ]


def _narrow_only_here() -> bool:
    """Whether this CPU has the instructions of AVX-VNNI, but in the encoding of AVX-512 alone."""
    here = available(cpu_flags())
    return Instructions.AVX512 in here and Instructions.AVX_VNNI not in here


def _flags(instructions: Instructions) -> tuple[str, ...]:
    if instructions is Instructions.AVX_VNNI and _narrow_only_here():
        return (*INSTRUCTION_FLAGS[Instructions.AVX512], "-DNARROW_VECTORS")
    return INSTRUCTION_FLAGS[instructions]


def _name(kernels: Kernels) -> str:
    return f"{kernels.instructions} {kernels.attention_form}"


@torch.no_grad()
def plain_seconds(tokens: int, threads: int, repeats: int) -> float:
    """The median of plain diffusers in fp32."""
    torch.set_num_threads(threads)
    plain, clip = PlainBlocks().eval(), inputs(tokens)
    times: list[float] = []
    while len(times) < repeats and sum(times) < PATIENCE_SECONDS:
        times.append(_seconds(lambda: plain(*clip)))
    return statistics.median(times)


def _held_to_avx2(tokens: int, threads: int, repeats: int) -> float | None:
    """The same in a process that may use no more than AVX2; None if this one may not either."""
    if Instructions.AVX512 not in available(cpu_flags()):
        return None
    code = f"import bench.blocks as b; print(b.plain_seconds({tokens}, {threads}, {repeats}))"
    held = {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    }
    command = [sys.executable, "-c", code]
    environment = os.environ | held
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def quantized(plain: PlainBlocks, kernels: Kernels, pairs: int = 1) -> Int8Blocks:
    """`pairs` of a double and a single block, each with its own copy of the weights of `plain`."""
    state = plain.state_dict()
    double, single = zip(*(quantized_blocks(state, CONFIG) for _ in range(pairs)), strict=True)
    *of_double, of_single = modulation_names(CONFIG)
    layers = [
        lambda name=name: (state[f"{name}.weight"], state[f"{name}.bias"])
        for name in of_double * pairs + [of_single] * pairs
    ]
    return Int8Blocks(kernels, double, single, Modulation(layers), HEADS)


def inputs(tokens: int) -> tuple[Any, ...]:
    """The inputs of the blocks, as in HunyuanVideoTransformer3DModel.forward."""
    rope = HunyuanVideoRotaryPosEmbed(2, 1, [16, 56, 56])
    rows = -(-tokens // LATENT_WIDTH)
    cosine, sine = rope(torch.zeros(1, 1, 1, 2 * rows, 2 * LATENT_WIDTH))
    return (
        torch.randn(1, tokens, WIDTH),
        torch.randn(1, TEXT_TOKENS, WIDTH),
        torch.randn(1, WIDTH),
        torch.ones(1, 1, 1, tokens + TEXT_TOKENS, dtype=torch.bool),
        (cosine[:tokens].contiguous(), sine[:tokens].contiguous()),
    )


def _torch_products() -> dict[str, float]:
    x, weight = torch.randn(GEMM_ROWS, WIDTH), torch.randn(4 * WIDTH, WIDTH)
    half, half_weight = x.bfloat16(), weight.bfloat16()
    flops = 2 * x.numel() * weight.shape[0]
    return {
        "fp32_gflops": _gflops(flops, lambda: x @ weight.T),
        "bf16_gflops": _gflops(flops, lambda: half @ half_weight.T),
    }


def _onednn_products() -> float | None:
    if not set(available(cpu_flags())) - {Instructions.AVX2}:
        return None
    ints = torch.randint(0, 255, (GEMM_ROWS, WIDTH), dtype=torch.uint8)
    weight = torch.randint(-127, 127, (4 * WIDTH, WIDTH), dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    scales, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int64)
    return _gflops(
        2 * ints.numel() * len(weight),
        lambda: torch.ops.onednn.qlinear_pointwise(
            ints, 1.0, 128, packed, scales, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
        ),
    )


def _products(kernels: Kernels) -> float:
    x = torch.randn(GEMM_ROWS, WIDTH).bfloat16()
    layer = pack_linear(torch.randn(4 * WIDTH, WIDTH), None)
    levels = Levels(torch.empty(x.shape, dtype=torch.uint8), torch.empty(GEMM_ROWS), GEMM_ROWS)
    kernels.quantize(x, levels)
    out = torch.empty(GEMM_ROWS, layer.outputs, dtype=torch.bfloat16)
    flops = 2 * x.numel() * layer.outputs
    return _gflops(flops, lambda: kernels.linear(levels, layer, out, Epilogue.STORE))


def _attention_peak(kernels: Kernels, threads: int) -> float:
    if kernels.attention_form is not Attention.INT8:
        return _peak(kernels, FORMS[kernels.attention_form], threads)
    # the products with keys are int16, and as many with values are int8
    forms = FORMS[Attention.INT16], FORMS[Attention.INT8]
    return statistics.harmonic_mean([_peak(kernels, form, threads) for form in forms])


def _peak(kernels: Kernels, factors: int, threads: int) -> float:
    """GFLOP/s of products in registers: of a form of attention (FORMS), or LINEAR."""
    library = _peak_library(_flags(kernels.instructions))
    arguments = ctypes.c_int64(factors), ctypes.c_int64(PEAK_ROUNDS)
    operations = library.hy_peak_operations(*arguments) * threads
    return _gflops(operations, lambda: library.hy_peak(*arguments, ctypes.c_int64(threads)))


@cache
def _peak_library(flags: tuple[str, ...]) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "peak.so"
        build(file, flags, PEAK_SOURCE)
        library = ctypes.CDLL(str(file))
    library.hy_peak_operations.restype = ctypes.c_double
    return library


def _sdpa(length: int) -> float:
    query, key, value = torch.randn(3, 1, HEADS, length, HEAD_WIDTH)
    attend = functional.scaled_dot_product_attention
    return _gflops(4 * length**2 * WIDTH, lambda: attend(query, key, value))


def _attention(kernels: Kernels, length: int) -> float:
    packed = kernels.packed_heads(length, HEADS, HEAD_WIDTH)
    qkv = torch.randn(length, 3 * WIDTH).bfloat16()
    ones = torch.ones(HEAD_WIDTH)
    kernels.pack_qkv(qkv, ones, ones, None, 0, packed)
    out = torch.empty(length, WIDTH, dtype=torch.bfloat16)
    return _gflops(4 * length**2 * WIDTH, lambda: kernels.attention(qkv, packed, out))


def _gflops(flops: float, work: Callable[[], object]) -> float:
    times = [_seconds(work)]
    while len(times) < ENOUGH_RUNS and sum(times) < ENOUGH_SECONDS:
        times.append(_seconds(work))
    return flops / min(times) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _relative_error(got: Clip, reference: Clip) -> float:
    expected = torch.cat(reference, 1)
    return float((torch.cat(got, 1).float() - expected).norm() / expected.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog=COMMAND)
    parser.add_argument("--tokens", type=int, default=4800, help="video tokens")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--instructions",
        type=Instructions,
        choices=[*available(cpu_flags())],
        help="the only instruction set to measure (default: all that this CPU has)",
    )
    parser.add_argument(
        "--attention",
        type=Attention,
        choices=[*Attention],
        help="the only form of attention to measure (default: all)",
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=1,
        help="a double and a single block of ours, so often in a row (default: 1)",
    )
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE_SECONDS,
        help="seconds; what takes longer is not repeated (default: %(default).0f)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    only, form = arguments.instructions, arguments.attention
    if not _chosen(only, form):
        parser.error("this CPU has no such instructions with such attention")
    result = measure(
        arguments.tokens,
        arguments.threads,
        arguments.repeats,
        only,
        form,
        arguments.pairs,
        arguments.patience,
    )
    command = " ".join([COMMAND, *sys.argv[1:]])
    print(
        json.dumps(asdict(result))
        if arguments.json
        else describe(result, arguments.repeats, command)
    )


if __name__ == "__main__":
    main()
