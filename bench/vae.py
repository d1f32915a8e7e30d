"""Compares our VAE decoder with plain diffusers, at its real dimensions, with random weights.

`python -m bench.vae --width 640 --height 480 --num-frames 9 --json` measures one size.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass

import torch
from diffusers import AutoencoderKLHunyuanVideo, HunyuanVideoPipeline

from bench import KERNELS_DIR
from hunyuan_runner.engine import vae
from hunyuan_runner.engine.decoder import Decoder, dtype_here, kernels_for
from hunyuan_runner.engine.kernels import Kernels
from hunyuan_runner.engine.vae import Tiling
from hunyuan_runner.machine.host import usable_cores
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.settings import BUNDLED_MODELS

LARGE_CLIP = (640, 480, 61)  # width, height, num_frames; decoded in several tiles

TEMPLATE = """\
## Decoding

`python -m bench.vae --width {width} --height {height} --num-frames {num_frames}`: latents to
pixels with the decoder of the 13B model, random weights, {threads} threads.

| | |
|---|---|
| plain diffusers, fp32, `enable_tiling()` | {plain_fp32_tiled_s:.1f} s |
| ours, {dtype} | {ours_s:.1f} s |
| memory of our process, at most | {peak_rss_gb:.2f} GB |
| PSNR of a demo clip decoded in tiles, compared with the whole in fp32 | {psnr_db:.1f} dB |
"""


@dataclass(frozen=True)
class Result:
    """The results of both decoders with the same latents and weights."""

    plain_fp32_tiled_s: float
    ours_s: float
    peak_rss_gb: float  # of our decoder, in a process of its own
    psnr_db: float  # of a demo clip tiled as LARGE_CLIP is, compared with the whole clip in fp32


def measure(width: int, height: int, num_frames: int) -> Result:
    # A forked process would begin with the memory of this one.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        ours_s, peak_rss_gb = pool.submit(_ours, width, height, num_frames).result()
    return Result(
        plain_fp32_tiled_s=_plain(width, height, num_frames),
        ours_s=ours_s,
        peak_rss_gb=peak_rss_gb,
        psnr_db=_psnr_of_demo(),
    )


def _ours(width: int, height: int, num_frames: int) -> tuple[float, float]:
    """Seconds and peak GB."""
    torch.set_num_threads(usable_cores())
    seconds = our_seconds(width, height, num_frames)
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


@torch.no_grad()
def our_seconds(width: int, height: int, num_frames: int) -> float:
    decoder = real_decoder()
    latents = random_latents(width, height, num_frames)
    start = time.perf_counter()
    vae.decode(decoder, latents, list)
    return time.perf_counter() - start


@torch.no_grad()
def _plain(width: int, height: int, num_frames: int) -> float:
    """Seconds."""
    torch.set_num_threads(usable_cores())
    autoencoder = _real_autoencoder()
    autoencoder.enable_tiling()
    latents = random_latents(width, height, num_frames)
    start = time.perf_counter()
    autoencoder.decode(latents / autoencoder.config.scaling_factor)
    return time.perf_counter() - start


def _real_autoencoder() -> AutoencoderKLHunyuanVideo:
    torch.manual_seed(0)
    return AutoencoderKLHunyuanVideo()


def real_decoder() -> Decoder:
    autoencoder = _real_autoencoder()
    del autoencoder.encoder
    autoencoder.to(dtype_here())
    return Decoder(autoencoder, decoder_kernels())


def decoder_kernels() -> Kernels | None:
    return kernels_for(dtype_here(), usable_cores(), WantedKernels(KERNELS_DIR))


def random_latents(width: int, height: int, num_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        1, 16, (num_frames - 1) // 4 + 1, height // 8, width // 8, generator=generator
    )


@torch.no_grad()
def _psnr_of_demo() -> float:
    pipeline = HunyuanVideoPipeline.from_pretrained(BUNDLED_MODELS / "demo", dtype=torch.float32)
    latents = pipeline(
        prompt="A cat walks on grass",
        width=192,
        height=128,
        num_frames=33,
        num_inference_steps=8,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
    ).frames
    latents = latents[0] / pipeline.vae.config.scaling_factor
    expected = _decoded(Decoder(pipeline.vae), latents, (1, 1, 1))
    real, large = real_decoder(), random_latents(*LARGE_CLIP).shape[2:]
    tiles = vae.choose_tiling(real, large, vae.memory_budget()).counts
    decoder = Decoder(pipeline.vae.to(dtype_here()), decoder_kernels())
    pixels = _decoded(decoder, latents, tiles)
    error = (pixels.clamp(-1, 1) - expected.clamp(-1, 1)).square().mean()
    return float(10 * torch.log10(4 / error))


def _decoded(decoder: Decoder, latents: torch.Tensor, counts: tuple[int, int, int]) -> torch.Tensor:
    """TCHW."""
    tiling = Tiling.of(latents.shape[1:], counts, Decoder.tiles)
    return torch.stack([*vae.decode_tiles(decoder, latents, tiling)])


def run() -> str:
    width, height, num_frames = 640, 480, 9
    result = measure(width, height, num_frames)
    return TEMPLATE.format(
        width=width,
        height=height,
        num_frames=num_frames,
        threads=usable_cores(),
        dtype=str(dtype_here()).removeprefix("torch."),
        **asdict(result),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.vae")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--num-frames", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    result = asdict(measure(arguments.width, arguments.height, arguments.num_frames))
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:20} {value:.2f}")


if __name__ == "__main__":
    main()
