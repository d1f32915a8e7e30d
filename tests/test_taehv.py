"""The fast decoder computes what TAEHV does, frame by frame."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hunyuan_runner.catalogue import TAEHV, TAEHV_1_5
from hunyuan_runner.catalogue import FastDecoder as Described
from hunyuan_runner.engine import taehv
from hunyuan_runner.engine.decoder import kernels_for
from hunyuan_runner.engine.taehv import FastDecoder
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import WantedKernels, available
from hunyuan_runner.quoting.memory import fast_decoder_bytes
from tests import double_taehv

KINDS = {"hunyuan": (16, 1), "hunyuan15": (32, 2)}  # latent channels and patch size
SMALL = (16, 16, 16, 16)  # channels, to be quick


def drawn(number: int, channels: int) -> torch.Tensor:
    """Latents (TCHW) of 5x7."""
    return torch.randn(number, channels, 5, 7, generator=torch.Generator().manual_seed(number))


def psnr(frames: torch.Tensor, expected: torch.Tensor) -> float:
    """In dB; both in -1..1."""
    return float(10 * torch.log10(4 / (frames - expected).square().mean()))


@pytest.mark.parametrize("piece_bytes", [24e6, 3e4], ids=["at-once", "in-strips"])
@pytest.mark.parametrize("num_latent_frames", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_decoder_computes_what_taehv_does(
    kind: str, num_latent_frames: int, piece_bytes: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taehv, "PIECE_BYTES", piece_bytes)
    weights = double_taehv.weights(*KINDS[kind])
    latents = drawn(num_latent_frames, KINDS[kind][0])
    expected = double_taehv.decoded(weights, latents)
    assert 0.2 < expected.std() < 0.9
    decoder = FastDecoder(weights, torch.float32)
    frames = torch.stack([*decoder(latents.transpose(0, 1))])
    side = 8 * KINDS[kind][1]
    assert frames.shape == (4 * num_latent_frames - 3, 3, 5 * side, 7 * side)
    torch.testing.assert_close(frames, expected, atol=1e-3, rtol=1e-3)


def test_frames_come_one_by_one_whatever_follows() -> None:
    """So that they can be written as they are made, and a longer clip begins as a shorter one."""
    decoder = FastDecoder(double_taehv.weights(4, channels=SMALL), torch.float32)
    latents = torch.randn(4, 4, 3, 3)
    made = decoder(latents)
    first = [next(made) for _ in range(5)]
    latents[:, 2:] = 0
    assert all(map(torch.equal, first, decoder(latents)))
    assert [tuple(frame.shape) for frame in made] == [(3, 24, 24)] * 8


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak")
def test_a_long_clip_takes_no_more_memory_than_a_short_one() -> None:
    decoder = FastDecoder(double_taehv.weights(4, channels=SMALL), torch.float32)

    def growth(num_latent_frames: int) -> float:
        """Of the most memory that this process ever had, in MB."""
        latents = torch.randn(4, num_latent_frames, 32, 32)
        Path("/proc/self/clear_refs").write_text("5")
        before = memory("VmHWM")
        for _ in decoder(latents):
            pass
        return memory("VmHWM") - before

    growth(2)
    assert growth(40) < growth(3) + 15  # all frames would be 123 MB


def memory(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(field)]
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(not available(cpu_flags()), reason="this CPU has no AVX2")
@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_in_int16_lose_nothing_one_sees(kind: str, tmp_path: Path) -> None:
    weights = double_taehv.weights(*KINDS[kind])
    latents = drawn(3, KINDS[kind][0])
    kernels = kernels_for(torch.float32, 1, WantedKernels(tmp_path))
    assert kernels is not None
    frames = torch.stack([*FastDecoder(weights, torch.float32, kernels)(latents.transpose(0, 1))])
    assert psnr(frames, double_taehv.decoded(weights, latents)) >= 55


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_loses_no_more_than_an_mp4(kind: str) -> None:
    weights = double_taehv.weights(*KINDS[kind])
    latents = drawn(3, KINDS[kind][0])
    frames = torch.stack([*FastDecoder(weights, torch.bfloat16)(latents.transpose(0, 1))])
    assert psnr(frames, double_taehv.decoded(weights, latents)) >= 40


def test_the_file_is_read_as_it_is_published(tmp_path: Path) -> None:
    path = tmp_path / "taehv1_5.safetensors"
    double_taehv.save_decoder(path, *KINDS["hunyuan15"])
    assert path.stat().st_size == 22_755_856
    decoder = FastDecoder.load(path, torch.float32)
    assert (decoder.latent_channels, decoder.frames_per_latent) == (32, 4)


def test_weights_of_another_network_are_refused() -> None:
    weights = double_taehv.weights(4, channels=SMALL)
    with pytest.raises(ValueError, match=r"unknown decoder\.4\.conv\.6\.weight"):
        FastDecoder(weights | {"decoder.4.conv.6.weight": torch.zeros(1)}, torch.float32)
    del weights["decoder.22.bias"]
    with pytest.raises(ValueError, match=r"lack decoder\.22\.bias"):
        FastDecoder(weights, torch.float32)


@pytest.mark.parametrize(
    ("described", "kind"), [(TAEHV, "hunyuan"), (TAEHV_1_5, "hunyuan15")], ids=KINDS
)
def test_the_catalogue_says_what_it_costs(described: Described, kind: str) -> None:
    channels, patch = KINDS[kind]
    weights = double_taehv.weights(channels, patch)
    numel = {name: values.numel() for name, values in weights.items() if ".weight" in name}
    flops = 2.0 * (numel["decoder.1.weight"] + 64 * 4 * numel["decoder.22.weight"])
    for number, positions in ((3, 1), (9, 4), (15, 16 * 2)):  # of each latent
        blocks = [
            numel[f"decoder.{number + block}.conv.{layer}.weight"]
            for block in range(3)
            for layer in (0, 2, 4)
        ]
        grow = weights[f"decoder.{number + 4}.conv.weight"].shape
        frames, conv = grow[0] // grow[1], numel[f"decoder.{number + 5}.weight"]
        # In place of 3x3 weights, there are 2x2 for each of four copies.
        flops += 2 * positions * (sum(blocks) + frames * conv / 9 * 16)
    pixels = 4 * (8 * patch) ** 2
    assert described.flops_per_pixel == pytest.approx(flops / pixels, rel=0.02)

    needed = FastDecoder(weights, torch.float32).needed_bytes(640 * 480)
    assert 0.9 * needed < fast_decoder_bytes(described, 640 * 480) < 1.3 * needed
