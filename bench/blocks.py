"""Compares our int8 blocks with plain diffusers, at the dimensions of the 13B model.

    python -m bench.blocks --tokens 4800 --json

times one double and one single block with random weights, and the matrix products and the attention
in them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.transformer_hunyuan_video import (
    HunyuanVideoRotaryPosEmbed,
    HunyuanVideoSingleTransformerBlock,
    HunyuanVideoTransformerBlock,
)

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.blocks import Int8Blocks, Modulation
from hunyuan_runner.engine.kernels import Epilogue, Kernels, Levels, load_kernels
from hunyuan_runner.engine.measure import Bench
from hunyuan_runner.engine.quantize import modulation_names, pack_linear, quantized_blocks
from hunyuan_runner.machine.host import usable_cores

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

TEMPLATE = """\
## Blocks of the 13B model, {tokens} tokens

`python -m bench.blocks --tokens {tokens}`: one double and one single block with random weights,
{tokens} video and {text} text tokens, {threads} threads; medians of {repeats} interleaved runs.

| | seconds | times ours |
|---|---|---|
| plain diffusers, fp32 | {plain_fp32_s:.2f} | {fp32_ratio:.1f} |
| plain diffusers, bf16 | {plain_bf16_s:.2f} | {bf16_ratio:.1f} |
| ours, int8 ({instructions}) | {ours_s:.2f} | |
| ours, as predicted by a runner's benchmark | {predicted_s:.2f} | {predicted_ratio:.2f} |

| in the same run | GFLOP/s |
|---|---|
| ours, as a whole | {ours_gflops:.0f} |
| matrix products, torch, fp32 | {gemm_fp32_gflops:.0f} |
| matrix products, torch, bf16 | {gemm_bf16_gflops:.0f} |
| matrix products, oneDNN, int8 | {gemm_int8_onednn_gflops:.0f} |
| matrix products, ours, int8 | {gemm_int8_gflops:.0f} |
| attention, ours | {attention_gflops:.0f} |

Relative error of ours, compared with fp32: {rel_err:.4f}.
"""


@dataclass(frozen=True)
class Result:
    """Seconds are medians; GFLOP/s count a multiplication and an addition as two."""

    tokens: int
    threads: int
    instructions: str
    plain_fp32_s: float
    plain_bf16_s: float
    ours_s: float
    predicted_s: float
    ours_gflops: float
    gemm_fp32_gflops: float
    gemm_bf16_gflops: float
    gemm_int8_gflops: float
    gemm_int8_onednn_gflops: float
    attention_gflops: float
    rel_err: float


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
def measure(tokens: int, threads: int, repeats: int) -> Result:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    kernels = _kernels(threads)
    plain = PlainBlocks().eval()
    ours = _quantized(plain, kernels)
    inputs = _inputs(tokens)
    half = tuple(
        x.bfloat16() if isinstance(x, torch.Tensor) and x.is_floating_point() else x for x in inputs
    )
    reference = plain(*inputs)
    got = ours(*inputs)
    rel_err = _relative_error(torch.cat(got, 1), torch.cat(reference, 1))
    del reference, got
    length = tokens + TEXT_TOKENS
    linear_flops, attention_flops = 2 * 12 * 2 * WIDTH**2 * length, 2 * 4 * WIDTH * length**2
    runner = Bench(MODELS["hunyuanvideo"], Path(), kernels, torch.float32)
    times = {"fp32": [], "bf16": [], "ours": [], "predicted": []}  # type: dict[str, list[float]]
    for _ in range(repeats):
        linears, attention, block_seconds = runner.transforming()
        times["predicted"].append(
            linear_flops / linears + attention_flops / attention + 2 * block_seconds
        )
        times["ours"].append(_seconds(lambda: ours(*inputs)))
        times["fp32"].append(_seconds(lambda: plain.float()(*inputs)))
        times["ours"].append(_seconds(lambda: ours(*inputs)))
        plain.bfloat16()
        times["bf16"].append(_seconds(lambda: plain(*half)))
        plain.float()
    seconds = {name: statistics.median(values) for name, values in times.items()}
    return Result(
        tokens=tokens,
        threads=threads,
        instructions=kernels.instructions.in_words,
        plain_fp32_s=seconds["fp32"],
        plain_bf16_s=seconds["bf16"],
        ours_s=seconds["ours"],
        predicted_s=seconds["predicted"],
        ours_gflops=(linear_flops + attention_flops) / seconds["ours"] / 1e9,
        **_gemms(kernels),
        attention_gflops=_attention(kernels, length),
        rel_err=rel_err,
    )


def run() -> str:
    return "\n".join(describe(measure(tokens, usable_cores(), 3), 3) for tokens in (4800, 19200))


def describe(result: Result, repeats: int) -> str:
    return TEMPLATE.format(
        **asdict(result),
        text=TEXT_TOKENS,
        repeats=repeats,
        fp32_ratio=result.plain_fp32_s / result.ours_s,
        bf16_ratio=result.plain_bf16_s / result.ours_s,
        predicted_ratio=result.predicted_s / result.ours_s,
    )


def _kernels(threads: int) -> Kernels:
    return load_kernels(Path(tempfile.gettempdir()) / "hunyuan-bench-kernels", threads)


def _quantized(plain: PlainBlocks, kernels: Kernels) -> Int8Blocks:
    state = plain.state_dict()
    double, single = quantized_blocks(state, CONFIG)
    layers = [
        lambda name=name: (state[f"{name}.weight"], state[f"{name}.bias"])
        for name in modulation_names(CONFIG)
    ]
    return Int8Blocks(kernels, [double], [single], Modulation(layers), HEADS)  # type: ignore[list-item]


def _inputs(tokens: int) -> tuple[Any, ...]:
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


def _gemms(kernels: Kernels) -> dict[str, float]:
    x, weight = torch.randn(GEMM_ROWS, WIDTH), torch.randn(4 * WIDTH, WIDTH)
    flops = 2 * x.numel() * weight.shape[0]
    found = {"gemm_fp32_gflops": _gflops(flops, lambda: x @ weight.T)}
    x, weight = x.bfloat16(), weight.bfloat16()
    found["gemm_bf16_gflops"] = _gflops(flops, lambda: x @ weight.T)
    layer = pack_linear(weight, None)
    levels = Levels(torch.empty(x.shape, dtype=torch.uint8), torch.empty(GEMM_ROWS), GEMM_ROWS)
    kernels.quantize(x, levels)
    out = torch.empty(GEMM_ROWS, layer.outputs, dtype=torch.bfloat16)
    found["gemm_int8_gflops"] = _gflops(
        flops, lambda: kernels.linear(levels, layer, out, Epilogue.STORE)
    )
    packed = torch.ops.onednn.qlinear_prepack(
        torch.randint(-127, 127, weight.shape, dtype=torch.int8), None
    )
    zeros = torch.zeros(layer.outputs, dtype=torch.int64)
    ints = torch.randint(0, 255, x.shape, dtype=torch.uint8)
    found["gemm_int8_onednn_gflops"] = _gflops(
        flops,
        lambda: torch.ops.onednn.qlinear_pointwise(
            ints, 1.0, 128, packed, layer.scale, zeros, None, 1.0, 0, torch.bfloat16, "none", [], ""
        ),
    )
    return found


def _attention(kernels: Kernels, length: int) -> float:
    packed = kernels.packed_heads(length, HEADS, HEAD_WIDTH)
    qkv = torch.randn(length, 3 * WIDTH).bfloat16()
    ones = torch.ones(HEAD_WIDTH)
    kernels.pack_qkv(qkv, ones, ones, None, 0, packed)
    out = torch.empty(length, WIDTH, dtype=torch.bfloat16)
    return _gflops(4 * length**2 * WIDTH, lambda: kernels.attention(qkv, packed, out))


def _gflops(flops: float, work: Callable[[], object]) -> float:
    return flops / statistics.median(_seconds(work) for _ in range(5)) / 1e9


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _relative_error(got: torch.Tensor, reference: torch.Tensor) -> float:
    return float((got.float() - reference).norm() / reference.norm())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.blocks")
    parser.add_argument("--tokens", type=int, default=4800, help="video tokens")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = measure(arguments.tokens, arguments.threads, arguments.repeats)
    print(json.dumps(asdict(result)) if arguments.json else describe(result, arguments.repeats))


if __name__ == "__main__":
    main()
