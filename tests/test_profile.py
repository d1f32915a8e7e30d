"""What a machine reports about itself, and how it is measured."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine import measure as benchmark
from hunyuan_runner.jobs import measuring
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision
from hunyuan_runner.quoting.estimate import GUESS_SPREAD, MEASURED_PARTS, MEASURED_SPREAD
from hunyuan_runner.quoting.profile import (
    MEASURED_FILE,
    Profile,
    keep_measured,
    load_measured,
    missing_parts,
)
from hunyuan_runner.settings import BUNDLED_MODELS, Settings

DEMO = MODELS["demo"]
KEY = Profile.of_this_machine(Settings(precision="fp32", threads=1)).measured_key(DEMO.id)
TRANSFORMER = {"linears": 1e9, "attention": 2e9, "block_seconds": 0.001}
DECODER = {"convolutions": 3e9, "decode_seconds": 0.1}
TEXT_ENCODER = {"encoding": 4e9}
ALL = TRANSFORMER | DECODER | TEXT_ENCODER


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


def test_a_runner_of_a_version_that_did_not_know_a_model_has_it_not(settings: Settings) -> None:
    profile = Profile.of_this_machine(settings).as_json()
    del profile["models"]["hunyuanvideo15"], profile["kernels"], profile["instructions"]
    read = Profile.of_json(json.dumps(profile))
    assert not read.models["hunyuanvideo15"].installed
    assert read.models["demo"].installed
    assert read.models.keys() == MODELS.keys()


def test_what_was_measured_is_gone_by_on_the_same_machine_alone(settings: Settings) -> None:
    keep_measured(settings, KEY, ALL)
    measured = Profile.of_this_machine(settings).models["demo"].rates
    assert vars(measured) == ALL | {"spread": MEASURED_SPREAD}
    more_threads = settings.model_copy(update={"threads": 2})
    assert Profile.of_this_machine(more_threads).models["demo"].rates.spread == GUESS_SPREAD


def test_a_part_that_was_measured_is_gone_by_while_the_rest_is_guessed(settings: Settings) -> None:
    guessed = Profile.of_this_machine(settings).models["demo"].rates
    keep_measured(settings, KEY, TRANSFORMER)
    rates = Profile.of_this_machine(settings).models["demo"].rates
    assert vars(rates) == vars(guessed) | TRANSFORMER


def test_what_an_earlier_version_measured_is_read(settings: Settings) -> None:
    keep_measured(settings, KEY, ALL | {"spread": 0.3})
    assert load_measured(settings) == {KEY: ALL}


def test_what_a_version_for_a_single_machine_kept_is_passed_over(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    kept = {"machine": "a CPU, 1 threads", "rates": {"512/64 in fp32": ALL}}
    (settings.data_dir / MEASURED_FILE).write_text(json.dumps(kept))
    assert Profile.of_this_machine(settings).models["demo"].rates.spread == GUESS_SPREAD
    assert not caplog.records


def test_runners_that_share_a_data_folder_keep_what_each_measured(settings: Settings) -> None:
    other = settings.model_copy(update={"threads": 2})
    for runner, measured in ((settings, ALL), (other, ALL | {"linears": 5e9})):
        keep_measured(runner, Profile.of_this_machine(runner).measured_key("demo"), measured)
    for runner, linears in ((settings, 1e9), (other, 5e9)):
        assert Profile.of_this_machine(runner).models["demo"].rates.linears == linears
    assert [file.name for file in settings.data_dir.iterdir()] == [MEASURED_FILE]


@pytest.mark.skipif(
    Cpu.here().obstacle(Precision.INT8) is not None, reason="no int8 kernels on this machine"
)
def test_what_was_measured_with_one_form_of_attention_says_nothing_of_another(
    settings: Settings,
) -> None:
    int16, int8 = (
        settings.model_copy(update={"precision": "int8", "attention": form})
        for form in ("int16", "int8")
    )
    keep_measured(settings, Profile.of_this_machine(int16).measured_key("demo"), ALL)
    measured = Profile.of_this_machine(int16).models["demo"]
    assert vars(measured.rates) == ALL | {"spread": MEASURED_SPREAD}
    other = Profile.of_this_machine(int8)
    assert other.models["demo"].rates.spread == GUESS_SPREAD
    assert other.models["demo"].basis != measured.basis


@pytest.mark.skipif(
    Cpu.here().obstacle(Precision.INT8) is not None, reason="no int8 kernels on this machine"
)
def test_the_form_of_attention_changes_nothing_for_a_model_in_float32(settings: Settings) -> None:
    keys = {
        Profile.of_this_machine(settings.model_copy(update={"attention": form})).measured_key(
            "demo"
        )
        for form in ("int16", "int8")
    }
    assert len(keys) == 1


@pytest.mark.parametrize("text", ["", "{}", '{"machine": 1}', '{"machine": null, "rates": 3}'])
def test_a_damaged_file_is_no_obstacle(settings: Settings, text: str) -> None:
    (settings.data_dir / MEASURED_FILE).write_text(text)
    assert load_measured(settings) == {}


@pytest.mark.slow
def test_the_machine_is_measured_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "TIMEOUT_SECONDS", 600)  # others may want the cores
    measuring.measure_machine(settings, lambda: False)
    (rates,) = load_measured(settings).values()
    assert missing_parts(rates) == []
    assert min(rates["linears"], rates["attention"], rates["convolutions"]) > 1e6
    written = (settings.data_dir / MEASURED_FILE).stat().st_mtime_ns
    measuring.measure_machine(settings, lambda: False)
    assert (settings.data_dir / MEASURED_FILE).stat().st_mtime_ns == written


@pytest.mark.slow
def test_what_is_measured_when_a_job_comes_is_kept_and_the_rest_follows_later(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "TIMEOUT_SECONDS", 600)
    others = psutil.Process().children()
    with pytest.raises(measuring.Interrupted):
        measuring.measure_machine(settings, lambda: load_measured(settings) != {})
    assert psutil.Process().children() == others
    (first,) = load_measured(settings).values()
    assert len(missing_parts(first)) == len(MEASURED_PARTS) - 1
    measuring.measure_machine(settings, lambda: False)
    (both,) = load_measured(settings).values()
    assert missing_parts(both) == []
    assert first.items() < both.items()


def test_a_worker_that_has_something_better_to_do_measures_no_longer(settings: Settings) -> None:
    others = psutil.Process().children()
    with pytest.raises(measuring.Interrupted):
        measuring.measure_machine(settings, lambda: True)
    assert psutil.Process().children() == others
    assert load_measured(settings) == {}


def test_a_compiler_of_the_benchmark_ends_with_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job that interrupts it needs the cores."""
    benchmark, compiler = tmp_path / "benchmark", tmp_path / "compiler"
    benchmark.write_text(
        f"#!/bin/sh\nsleep 600 &\necho $! > {compiler}.new\nmv {compiler}.new {compiler}\nwait\n"
    )
    benchmark.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(benchmark))
    with pytest.raises(measuring.Interrupted):
        measuring.measure_machine(settings, compiler.exists)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(int(compiler.read_text())).wait(60)


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
    folder, kernels = BUNDLED_MODELS / "demo", WantedKernels(tmp_path)
    parts = list(benchmark.measure("demo", precision, folder, 1, kernels))
    assert [tuple(part) for part in parts] == list(MEASURED_PARTS.values())
    rates = parts[0] | parts[1]
    assert min(rates["linears"], rates["attention"], rates["convolutions"]) > 0
    assert rates["block_seconds"] >= 0


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
