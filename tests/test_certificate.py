"""The certificate of quality: its figures, what it compares with what, and that nothing is lost."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.certificate.__main__ import certify, parsed
from bench.certificate.likeness import Mean, bootstrap, likeness, psnr, ssim
from bench.certificate.tiers import EXACT, EXACT_PRECISIONS, TIERS, Impossible, make_plan
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.machine.precision import Cpu, Precision
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.settings import Settings
from tests.conftest import ROOT, START_SECONDS

GB = 10**9


def pictures(seed: int = 0) -> np.ndarray:
    """Two frames of 48x64 with sweeps of colour."""
    noise = np.random.default_rng(seed).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    return (np.cumsum(noise.astype(int), axis=2) % 256).astype(np.uint8)


def disturbed(clip: np.ndarray, deviation: float) -> np.ndarray:
    generator = np.random.default_rng(0)
    generator.integers(0, 256, clip.shape, dtype=np.uint8)  # those of pictures()
    return np.clip(clip + generator.normal(0, deviation, clip.shape), 0, 255).astype(np.uint8)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    """Its structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False) of
    the luma, where all of the window is in the picture, and its peak_signal_noise_ratio()."""
    clip, reference = disturbed(pictures(), 8), pictures()
    assert ssim(clip[:1], reference[:1]) == pytest.approx(0.9938128701839978)
    assert ssim(clip[1:], reference[1:]) == pytest.approx(0.9940385117368199)
    assert psnr(clip, reference) == pytest.approx(30.242232521849832)


def test_a_clip_is_least_like_the_reference_the_more_it_is_disturbed() -> None:
    reference = pictures()
    same, near, far = (likeness(disturbed(reference, noise), reference) for noise in (0, 4, 16))
    assert (same.psnr, same.ssim, same.flip, same.flicker) == (math.inf, 1, 0, 0)
    assert same.psnr > near.psnr > far.psnr
    assert same.ssim > near.ssim > far.ssim
    assert same.flip < near.flip < far.flip < 1
    assert same.flicker < near.flicker < far.flicker


def test_a_clip_of_another_colour_does_not_flicker() -> None:
    reference = pictures() // 2
    brighter = likeness(reference + 40, reference)
    assert brighter.flicker == 0
    assert brighter.psnr == pytest.approx(20 * math.log10(255 / 40))
    assert likeness(reference[:1], reference[:1]).flicker == 0  # a single frame
    with pytest.raises(ValueError, match="different sizes"):
        likeness(reference, reference[:1])


def test_intervals_hold_the_mean_and_shrink_with_the_number_of_prompts() -> None:
    generator = np.random.default_rng(1)
    widths = []
    for prompts in (5, 20, 80):
        values = generator.normal(40, 3, prompts).tolist()
        mean = Mean.of(values)
        assert mean.interval is not None
        assert mean.mean is not None
        low, high = mean.interval
        assert low < mean.mean < high
        assert mean.interval == bootstrap(values)  # every time
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] == pytest.approx(2 * 1.96 * 3 / math.sqrt(80), rel=0.25)


def test_clips_that_are_the_same_are_counted_and_not_averaged() -> None:
    assert Mean.of([math.inf, 40, 44]) == Mean(42, None, 1)
    assert Mean.of([math.inf] * 8) == Mean(None, None, 8)


def clip_of(model: str, **fields: object) -> GenerationParams:
    request = GenerationRequest.model_validate({"prompt": "a cat", "seed": 1, **EXACT, **fields})
    return request.resolve(model, MODELS[model].presets)


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    (tmp_path / "transformer").mkdir()
    return tmp_path


NAMES = [tier.name for tier in TIERS]


@pytest.mark.parametrize(("gigabytes", "precision"), [(80, "fp32"), (40, "bf16"), (20, None)])
def test_the_reference_is_the_best_precision_that_fits_into_memory(
    model_dir: Path, gigabytes: int, precision: str | None
) -> None:
    clip = clip_of("hunyuanvideo")
    if precision is None:
        with pytest.raises(Impossible, match=r"takes \d\d\.\d GB in fp32.*GB in bf16.*20\.0 GB"):
            make_plan(clip, model_dir, NAMES, memory=gigabytes * GB)
        return
    plan = make_plan(clip, model_dir, NAMES, memory=gigabytes * GB)
    assert plan.reference == precision
    assert plan.why.startswith("fp32 was not possible: ") is (precision == "bf16")
    assert {chosen.tier.name for chosen in plan.tiers} | set(plan.left_out) == set(NAMES)
    if precision == "bf16":
        assert plan.left_out["bf16"] == "it is the reference"


def test_tiers_that_this_cpu_or_clip_does_not_have_are_left_out_with_the_reason(
    model_dir: Path,
) -> None:
    clip = clip_of("demo", num_inference_steps=3)
    plan = make_plan(clip, model_dir, NAMES, memory=GB)
    assert plan.reference is Precision.FP32
    assert "of 3 steps" in plan.left_out["fast"]
    for precision in (Precision.BF16, Precision.INT8):
        assert plan.left_out.get(precision) == Cpu.here().obstacle(precision)
    assert plan.left_out["fast-decoder"] == "there is none for this model"
    plan = make_plan(clip_of("demo"), model_dir, NAMES, [Precision.BF16], memory=GB)
    assert plan.reference is Precision.BF16
    assert EXACT_PRECISIONS[0] is Precision.FP32


def test_the_fast_decoder_is_measured_where_it_is_installed(model_dir: Path) -> None:
    clip = clip_of("fasthunyuan")
    plan = make_plan(clip, model_dir, NAMES, memory=80 * GB)
    assert "hunyuan models download taehv" in plan.left_out["fast-decoder"]
    plan = make_plan(clip, model_dir, NAMES, memory=80 * GB, fast_decoder=model_dir / "taehv")
    (chosen,) = [chosen for chosen in plan.tiers if chosen.tier.name == "fast-decoder"]
    assert chosen.title == f"{chosen.precision}, decoder=fast"


def test_a_model_in_int8_only_has_no_reference(tmp_path: Path) -> None:
    with pytest.raises(Impossible, match="int8 only"):
        make_plan(clip_of("demo"), tmp_path, NAMES)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_with_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HUNYUAN_THREADS", "1")
    out = tmp_path / "certificate"
    size = ["--width", "64", "--height", "64", "--num-frames", "5", "--steps", "8"]
    arguments = ["demo", "--prompts", "2", "--tiers", "fast", *size, "--out", str(out)]
    command = [sys.executable, "-m", "bench.certificate", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    kill_within_a_clip(process, out / "clips")
    kept = {path: path.read_bytes() for path in (out / "clips").glob("*.npz")}
    assert 1 <= len(kept) < 4
    assert not (out / "certificate.md").exists()

    certify(parsed(arguments), "as above")
    assert not list((out / "clips").glob("*.checkpoint"))
    assert len(list((out / "clips").glob("*.npz"))) == 4
    assert all(path.read_bytes() == content for path, content in kept.items())
    page = (out / "certificate.md").read_text()
    assert "**fp32, step_cache=fast**: " in page
    assert "none for fewer than 5 prompts" in page
    assert "A cat walks on grass" in page
    figures = json.loads((out / "certificate.json").read_text())
    (psnrs, floor) = (
        [clip["psnr"] for clip in figures["tiers"][name]["clips"]] for name in ("fast", "mp4")
    )
    assert figures["tiers"]["fast"]["means"]["psnr"]["mean"] == pytest.approx(sum(psnrs) / 2)
    assert min(psnrs) > 25
    assert min(floor) > 25
    assert (out / "fast.webp").stat().st_size > 1000


def kill_within_a_clip(process: subprocess.Popen[bytes], clips: Path) -> None:
    """Kill it when a clip is finished and the next one has a checkpoint."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        process.send_signal(signal.SIGSTOP)
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        if list(clips.glob("*.npz")) and list(clips.glob("*.checkpoint")):
            process.kill()
            process.communicate()
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    pytest.fail("no clip was finished")


def test_what_is_asked_for_wrongly_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUNYUAN_MODELS_DIR", str(tmp_path))
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(tmp_path / "data"))
    for arguments, problem in (
        (["demo", "--num-frames", "6"], "num_frames"),
        (["demo", "--width", "1"], "width"),
        (["fasthunyuan"], "hunyuan models download fasthunyuan"),
    ):
        with pytest.raises(Impossible, match=problem):
            certify(parsed([*arguments, "--out", str(tmp_path / "out")]), "")
    for arguments, problem in (
        (["demo", "--prompts", str(tmp_path / "none.txt")], "one prompt a line"),
        (["demo", "--tiers", "int4"], "no tier int4"),
        (["demo", "--reference", "int8"], "fp32 or bf16"),
        (["demon"], "invalid choice"),
    ):
        with pytest.raises(SystemExit):
            parsed(arguments)
        assert problem in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert Settings().models_dir == tmp_path


def test_prompts_come_from_a_file_or_are_our_own(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("A cat\n\n  A dog \n")
    assert parsed(["demo", "--prompts", str(file)]).prompts("demo") == ["A cat", "A dog"]
    for model in ("demo", "hunyuanvideo"):
        ours = parsed([model, "--prompts", "100"]).prompts(model)
        assert len(ours) == 100
        assert len(set(ours)) > 20
