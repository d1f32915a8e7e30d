"""Decoding: the same pixels as diffusers' decoder, in tiles that fit in memory."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLHunyuanVideo

from demo_model.scenes import Scene, draw
from hunyuan_runner.engine import decoder as decoding
from hunyuan_runner.engine import vae
from hunyuan_runner.engine.decoder import Decoder
from hunyuan_runner.engine.kernels import Kernels, load_kernels
from hunyuan_runner.engine.vae import Tiling, choose_tiling, needed_bytes
from hunyuan_runner.machine.host import available_memory_bytes, cpu_flags, memory_bytes
from hunyuan_runner.machine.instructions import Instructions, WantedKernels, available
from hunyuan_runner.settings import BUNDLED_MODELS

LEVEL = 2 / 255  # of the 8 bits that a frame's values are stored in
STANDARD = torch.Size((16, 60, 80))  # latents of 640x480, 61 frames


def small_autoencoder() -> AutoencoderKLHunyuanVideo:
    """A decoder with attention and blocks that change the number of channels, like a real one."""
    torch.manual_seed(0)
    autoencoder = AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
    )
    autoencoder.use_framewise_decoding = False
    return autoencoder


@pytest.fixture(scope="module")
def real() -> Decoder:
    """The 13B model's decoder, of the right shapes but without weights."""
    with torch.device("meta"):
        return Decoder(AutoencoderKLHunyuanVideo().to(torch.bfloat16))


@torch.no_grad()
@pytest.mark.parametrize("piece_bytes", [24e6, 1e4], ids=["at-once", "in-pieces"])
@pytest.mark.parametrize("num_latent_frames", [1, 2, 6])
def test_the_decoder_computes_what_diffusers_does(
    num_latent_frames: int, piece_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(decoding, "STATISTICS_ROWS", 100)
    autoencoder = small_autoencoder()
    latents = torch.randn(1, 4, num_latent_frames, 5, 7)
    expected = autoencoder.decode(latents, return_dict=False)[0][0]
    torch.testing.assert_close(Decoder(autoencoder)(latents[0]), expected, atol=1e-4, rtol=1e-3)


def test_statistics_over_many_values_stay_exact() -> None:
    values = 1 + torch.randn(300_000, 2)
    mean, variance = decoding._moments(values, groups=1)
    expected = torch.var_mean(values.double(), unbiased=False)
    for found, right in zip((variance, mean), expected, strict=True):
        assert found.tolist() == pytest.approx([float(right)] * 2, rel=1e-5)


def test_a_clip_that_fits_in_memory_is_one_tile(real: Decoder) -> None:
    assert choose_tiling(real, STANDARD, 1e12) == Tiling((1, 1, 1), (16, 60, 80))


@pytest.mark.parametrize("gigabytes", [8, 4, 2, 1, 0.5])
def test_tiles_stay_within_the_memory(real: Decoder, gigabytes: float) -> None:
    tiling = choose_tiling(real, STANDARD, gigabytes * 1e9)
    assert needed_bytes(real, STANDARD, tiling) <= gigabytes * 1e9


def test_less_memory_costs_more_decoding(real: Decoder) -> None:
    decoded = [choose_tiling(real, STANDARD, size * 1e9).decoded for size in (20, 8, 4, 2, 1, 0.5)]
    assert decoded == sorted(decoded)


def test_the_tiles_of_the_standard_clip_overlap_by_little(real: Decoder) -> None:
    assert choose_tiling(real, STANDARD, 4.5e9).decoded <= 1.15 * STANDARD.numel()


def test_where_nothing_fits_the_smallest_tiles_are_tried(real: Decoder) -> None:
    smallest = choose_tiling(real, STANDARD, 0)
    assert all(a >= b for a, b in zip(smallest.size, real.tiles.shortest, strict=True))
    assert needed_bytes(real, STANDARD, smallest) < 0.5e9


def test_the_memory_at_hand_is_no_more_than_the_machine_has() -> None:
    assert 0 < available_memory_bytes() <= memory_bytes()


@pytest.fixture(scope="module")
def demo() -> AutoencoderKLHunyuanVideo:
    autoencoder = AutoencoderKLHunyuanVideo.from_pretrained(BUNDLED_MODELS / "demo" / "vae")
    autoencoder.use_framewise_decoding = False
    return autoencoder


@pytest.fixture(scope="module")
@torch.no_grad()
def latents(demo: AutoencoderKLHunyuanVideo) -> torch.Tensor:
    """CTHW of a clip of a cat, 128x96, 17 frames."""
    clip = draw(Scene("cat", colour="orange"), np.random.default_rng(0), 128, 96, 17)
    pixels = torch.from_numpy(clip).float()[None] * 2 - 1
    mean: torch.Tensor = demo.encode(pixels).latent_dist.mean[0]
    return mean


@pytest.fixture(scope="module")
@torch.no_grad()
def whole(demo: AutoencoderKLHunyuanVideo, latents: torch.Tensor) -> torch.Tensor:
    """The pixels that diffusers decodes from them, without tiles."""
    pixels: torch.Tensor = demo.decode(latents[None], return_dict=False)[0][0]
    return pixels


@torch.no_grad()
def in_tiles(decoder: Decoder, latents: torch.Tensor, counts: tuple[int, int, int]) -> torch.Tensor:
    """The pixels (CTHW) of latents (CTHW)."""
    tiling = Tiling.of(latents.shape[1:], counts, Decoder.tiles)
    return torch.stack([*vae.decode_tiles(decoder, latents, tiling)], dim=1)


def psnr(pixels: torch.Tensor, expected: torch.Tensor) -> float:
    """In dB; both in -1..1."""
    error = (pixels.clamp(-1, 1) - expected.clamp(-1, 1)).square().mean()
    return float(10 * torch.log10(4 / error))


@torch.no_grad()
@pytest.mark.parametrize(
    "counts",
    [(1, 2, 3), (2, 1, 1), (2, 2, 2)],
    ids=lambda counts: "x".join(map(str, counts)),
)
def test_nobody_sees_where_tiles_meet(
    counts: tuple[int, int, int],
    demo: AutoencoderKLHunyuanVideo,
    latents: torch.Tensor,
    whole: torch.Tensor,
) -> None:
    tiled = in_tiles(Decoder(demo), latents, counts)
    assert psnr(tiled, whole) >= 44
    for axis in (1, 2, 3):
        other_axes = [other for other in range(4) if other != axis]
        jumps, edges = (
            torch.diff(x, dim=axis).abs().mean(other_axes) for x in (tiled - whole, whole)
        )
        # An edge of the picture, such as the horizon, hides what is small beside it.
        assert (jumps - edges / 20).max() < LEVEL


def test_frames_come_as_soon_as_no_later_tile_has_a_part_in_them(
    demo: AutoencoderKLHunyuanVideo, latents: torch.Tensor
) -> None:
    reports: list[tuple[int, int]] = []
    tiling = Tiling.of(latents.shape[1:], (2, 1, 2), Decoder.tiles)
    frames = vae.decode_tiles(Decoder(demo), latents, tiling, lambda *done: reports.append(done))
    begun = [next(frames)]
    assert reports == [(1, 4), (2, 4)]
    while len(reports) == 2:
        begun.append(next(frames))
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    first, second = 0, latents.shape[1] - tiling.size[0]  # latents where tiles begin along time
    assert len(begun) == 4 * (second - first) + 1
    assert len(begun) + len([*frames]) == 17


def test_a_long_clip_is_decoded_in_the_tiles_of_a_short_one(real: Decoder) -> None:
    """Its finished frames are not in memory."""
    clips = [torch.Size((length, 60, 80)) for length in (33, 330)]
    short, long = (choose_tiling(real, clip, 2e9) for clip in clips)
    assert needed_bytes(real, clips[1], long) <= 2e9
    assert long.decoded / short.decoded == pytest.approx(10, rel=0.1)


@torch.no_grad()
def test_the_demo_model_loses_nothing_one_sees_in_bf16(
    latents: torch.Tensor, whole: torch.Tensor
) -> None:
    autoencoder = AutoencoderKLHunyuanVideo.from_pretrained(
        BUNDLED_MODELS / "demo" / "vae", dtype=torch.bfloat16
    )
    assert psnr(in_tiles(Decoder(autoencoder), latents, (1, 2, 2)), whole) >= 40


@torch.no_grad()
@pytest.mark.skipif(not available(cpu_flags()), reason="this CPU has no AVX2")
def test_convolutions_in_int16_lose_less_than_bf16(tmp_path: Path) -> None:
    torch.manual_seed(0)
    autoencoder = AutoencoderKLHunyuanVideo(
        block_out_channels=(64, 64, 128, 128), layers_per_block=1
    )
    kernels = decoding.kernels_for(torch.float32, 1, WantedKernels(tmp_path))
    assert kernels is not None
    latents = torch.randn(16, 2, 5, 6)
    expected = Decoder(autoencoder)(latents)
    in_int16 = Decoder(autoencoder, kernels)(latents)
    assert not torch.equal(in_int16, expected)
    assert psnr(in_int16, expected) >= 55
    in_bf16 = Decoder(autoencoder.bfloat16())(latents).float()
    assert psnr(in_int16, expected) > psnr(in_bf16, expected) + 6


@torch.no_grad()
@pytest.mark.skipif(
    Instructions.AVX512_BF16 not in available(cpu_flags()), reason="this CPU has no AVX-512 BF16"
)
def test_our_convolutions_in_bf16_are_as_exact_as_those_of_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convolve, convolved = Kernels.convolve, []

    def noted(*given: Any) -> None:
        convolve(*given)
        convolved.append(given)

    monkeypatch.setattr(Kernels, "convolve", noted)
    torch.manual_seed(0)
    autoencoder = AutoencoderKLHunyuanVideo(
        block_out_channels=(64, 64, 128, 128), layers_per_block=1
    )
    latents = torch.randn(16, 2, 5, 6)
    expected = Decoder(autoencoder)(latents)
    autoencoder.bfloat16()
    kernels = load_kernels(WantedKernels(tmp_path, Instructions.AVX512_BF16), 1)
    ours, torchs = Decoder(autoencoder, kernels)(latents), Decoder(autoencoder)(latents)
    assert convolved  # those of torch add in the same order, which may give the same bits
    assert psnr(ours.float(), expected) > psnr(torchs.float(), expected) - 0.5


def test_no_kernels_are_built_for_bf16_without_amx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "cpu_flags", lambda: Instructions.AVX512_BF16.flags)
    monkeypatch.setattr(decoding, "load_kernels", lambda *_: pytest.fail("they are not needed"))
    assert decoding.kernels_for(torch.bfloat16, 1, WantedKernels(tmp_path)) is None


@torch.no_grad()
@pytest.mark.skipif(not available(cpu_flags()), reason="this CPU has no AVX2")
def test_the_demo_model_loses_nothing_one_sees_in_int16(
    demo: AutoencoderKLHunyuanVideo, latents: torch.Tensor, whole: torch.Tensor, tmp_path: Path
) -> None:
    kernels = decoding.kernels_for(torch.float32, 1, WantedKernels(tmp_path))
    assert psnr(Decoder(demo, kernels)(latents), whole) >= 55


class Blank(Decoder):
    """Decodes to black at once, and runs out of memory with tiles of more latents than `limit`."""

    limit = 10**9
    error: Exception = MemoryError()

    def __call__(self, latents: torch.Tensor) -> torch.Tensor:
        if latents[0].numel() > self.limit:
            raise self.error
        _, frames, height, width = latents.shape
        return torch.full((3, 4 * frames - 3, 8 * height, 8 * width), -1.0)


LATENTS = torch.zeros(1, 4, 6, 16, 16)


@pytest.fixture
def blank() -> Blank:
    return Blank(small_autoencoder())


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
    ids=["python", "torch"],
)
def test_smaller_tiles_are_tried_when_memory_runs_out(
    blank: Blank, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[tuple[int, int]] = []
    blank.limit, blank.error = 1000, error
    with caplog.at_level(logging.WARNING):
        frames = vae.decode(blank, LATENTS, list, report=lambda *done: reports.append(done))
    torch.testing.assert_close(torch.stack(frames), torch.full((21, 3, 128, 128), -1.0))
    assert "Out of memory" in caplog.text
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_smallest_tiles_are_given_up(blank: Blank) -> None:
    blank.limit = 0
    with pytest.raises(MemoryError):
        vae.decode(blank, LATENTS, list)


def test_other_errors_are_not_taken_for_a_lack_of_memory(blank: Blank) -> None:
    blank.limit, blank.error = 1000, RuntimeError("shapes do not match")
    with pytest.raises(RuntimeError, match="shapes"):
        vae.decode(blank, LATENTS, list)


@pytest.mark.parametrize(("attempt", "tiles"), [(0, 1), (1, 4), (2, 8), (3, 8)])
def test_every_attempt_takes_smaller_tiles(blank: Blank, attempt: int, tiles: int) -> None:
    reports: list[tuple[int, int]] = []
    vae.decode(blank, LATENTS, list, attempt, lambda *done: reports.append(done))
    assert reports == [(tile, tiles) for tile in range(1, tiles + 1)]
