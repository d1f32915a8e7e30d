"""What a machine reports about itself, and how it is measured."""

from __future__ import annotations

import json
import math
import sys
from itertools import count
from pathlib import Path

import psutil
import pytest
import torch

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine import measure as benchmark
from hunyuan_runner.jobs import measuring
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.quoting.estimate import GUESS_SPREAD, MEASURED_SPREAD, Rates
from hunyuan_runner.quoting.profile import MEASURED_FILE, Profile, keep_measured, load_measured
from hunyuan_runner.settings import BUNDLED_MODELS, Settings

DEMO = MODELS["demo"]
RATES = Rates(1e9, 2e9, 3e9, block_seconds=0.001, decode_seconds=0.1, spread=MEASURED_SPREAD)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, threads=1)


def test_an_unmeasured_machine_guesses(settings: Settings) -> None:
    demo = Profile.of_this_machine(settings).models["demo"]
    assert demo.installed
    assert demo.precision is Precision.FP32
    assert demo.reason == "the model is small"
    assert demo.rates.spread == GUESS_SPREAD
    assert not Profile.of_this_machine(settings).models["hunyuanvideo"].installed


def test_a_profile_comes_through_json_as_it_was(settings: Settings) -> None:
    profile = Profile.of_this_machine(settings)
    assert Profile.of_json(json.dumps(profile.as_json())) == profile


def test_what_was_measured_is_gone_by_on_the_same_machine_alone(settings: Settings) -> None:
    keep_measured(settings, {"192/8 in fp32": RATES})
    measured = Profile.of_this_machine(settings).models["demo"]
    assert measured.rates == RATES
    more_threads = settings.model_copy(update={"threads": 2})
    guessed = Profile.of_this_machine(more_threads).models["demo"]
    assert guessed.rates.spread == GUESS_SPREAD
    assert guessed.basis != measured.basis


@pytest.mark.parametrize("text", ["", "{}", '{"machine": 1}', '{"machine": null, "rates": 3}'])
def test_a_damaged_file_is_no_obstacle(settings: Settings, text: str) -> None:
    (settings.data_dir / MEASURED_FILE).write_text(text)
    assert load_measured(settings) == {}


@pytest.mark.slow
def test_the_machine_is_measured_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TIMEOUT_SECONDS", 600)  # others may want the cores
    measuring.measure_machine(settings, lambda: False)
    (rates,) = load_measured(settings).values()
    assert min(rates.linears, rates.attention, rates.convolutions) > 1e6
    written = (settings.data_dir / MEASURED_FILE).stat().st_mtime_ns
    measuring.measure_machine(settings, lambda: False)
    assert (settings.data_dir / MEASURED_FILE).stat().st_mtime_ns == written


def test_a_worker_that_has_something_better_to_do_measures_no_longer(settings: Settings) -> None:
    asked, others = count(), psutil.Process().children()
    with pytest.raises(measuring.Interrupted):
        measuring.measure_machine(settings, lambda: next(asked) > 2)
    assert psutil.Process().children() == others
    assert load_measured(settings) == {}


def test_a_benchmark_that_fails_leaves_the_guesses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    measuring.measure_machine(settings, lambda: False)
    assert "could not be measured" in caplog.text
    assert Profile.of_this_machine(settings).models["demo"].rates.spread == GUESS_SPREAD


@pytest.mark.slow
@pytest.mark.parametrize("precision", list(Precision))
@torch.no_grad()
def test_every_kind_of_work_can_be_timed(precision: Precision, tmp_path: Path) -> None:
    rates = benchmark.measure(
        "demo", precision, BUNDLED_MODELS / "demo", 1, WantedKernels(tmp_path)
    )
    assert min(rates.linears, rates.attention, rates.convolutions) > 0
    assert rates.block_seconds >= 0


@pytest.mark.parametrize(
    ("seconds_per_latent", "measured"),
    [(0.001, (2, 24, 24)), (0.03, (3, 12, 12)), (9, (3, 12, 12))],
)
def test_a_slow_machine_decodes_less_to_be_measured(
    seconds_per_latent: float, measured: tuple[int, int, int]
) -> None:
    _, *clips = benchmark.LARGE_LATENTS
    assert (
        benchmark.affordable(clips, lambda shape: seconds_per_latent * math.prod(shape)) == measured
    )
