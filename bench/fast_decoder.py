"""Compares the fast decoder with the VAE of the 13B model, at real dimensions, with random weights.

Both decode in turns. The VAE gets a small clip, as it takes minutes for a large one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from bench.vae import decoder_kernels, real_decoder
from hunyuan_runner.catalogue import MODELS, TAEHV, TAEHV_1_5
from hunyuan_runner.engine.decoder import dtype_here
from hunyuan_runner.engine.taehv import FastDecoder
from hunyuan_runner.machine.host import cpu_name, usable_cores
from tests import double_taehv

ROUNDS = 3
SMALL, LARGE = (2, 12, 16), (2, 60, 80)  # latents (THW): 128x96 and 640x480, 5 frames
PIXELS = 640 * 480 * 61
# What these latents are of 640x480, 61 frames. The VAE makes one frame of the first of them and
# four of the others; the fast decoder has the same work with each.
VAE_SHARE = 128 * 96 * 5 / PIXELS
FAST_SHARE = 2 / 16

TEMPLATE = """\
## The fast decoder

`python -m bench fast_decoder`: {threads} threads of {cpu}, random weights, medians of {rounds}
turns. Measured with 5 frames, of 128x96 for the VAE and 640x480 for the others.

| | for 640x480, 61 frames | GFLOP/s |
|---|---|---|
{rows}
"""

Run = Callable[[], object]


@torch.no_grad()
def run() -> str:
    torch.set_num_threads(usable_cores())
    kernels = decoder_kernels()
    vae = real_decoder()
    flops = MODELS["hunyuanvideo"].architecture.decode_flops_per_pixel
    small, large, halved = (
        torch.randn(channels, frames, height // scale, width // scale)
        for (frames, height, width), channels, scale in (
            (SMALL, 16, 1),
            (LARGE, 16, 1),
            (LARGE, 32, 2),
        )
    )
    taehv, taehv15 = double_taehv.weights(16, 1), double_taehv.weights(32, 2)
    dtype = dtype_here()
    runs: dict[str, tuple[Run, float, float]] = {"the VAE": (lambda: vae(small), VAE_SHARE, flops)}
    for name, weights, latents, decoder in (
        ("`taehv`", taehv, large, TAEHV),
        ("`taehv1_5`", taehv15, halved, TAEHV_1_5),
    ):
        for how, using in (("", kernels), (", without our kernels", None)):
            if how and kernels is None:
                continue
            fast = FastDecoder(weights, dtype, using)
            runs[name + how] = (
                lambda fast=fast, latents=latents: [*fast(latents)],  # type: ignore[misc]
                FAST_SHARE,
                decoder.flops_per_pixel,
            )
    took: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, (decode, _, _) in runs.items():
            started = time.perf_counter()
            decode()
            took[name].append(time.perf_counter() - started)
    rows = []
    for name, (_, share, flops_per_pixel) in runs.items():
        seconds = statistics.median(took[name]) / share
        rows.append(
            f"| {name} | {seconds:.0f} s | {flops_per_pixel * PIXELS / seconds / 1e9:.0f} |"
        )
    return TEMPLATE.format(
        threads=usable_cores(), cpu=cpu_name(), rounds=ROUNDS, rows="\n".join(rows)
    )
