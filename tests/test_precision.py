"""Which precision is chosen, and that clips come out in it, resumed or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hunyuan_runner.engine.int8 import load_int8_or_fp32
from hunyuan_runner.engine.messages import Event, StepFinished
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.machine import building
from hunyuan_runner.machine.instructions import Instructions, WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision, choose
from hunyuan_runner.settings import Settings, WantedPrecision
from tests import tiny

BIG = 12.8e9
GB = 2**30
ZEN4 = Cpu(Instructions.AVX512_BF16.flags, 32 * GB, has_kernels=True)
CASCADE_LAKE = Cpu(Instructions.AVX512.flags, 32 * GB, has_kernels=True)
ALDER_LAKE = Cpu(Instructions.AVX_VNNI.flags, 32 * GB, has_kernels=True)
ZEN3 = Cpu(Instructions.AVX2.flags, 32 * GB, has_kernels=True)
GRAVITON2 = Cpu(Instructions.NEON_DOTPROD.flags, 32 * GB, has_kernels=True)
GRAVITON3 = Cpu(Instructions.NEON_I8MM.flags | {"bf16"}, 32 * GB, has_kernels=True)
ARM = Cpu(frozenset({"asimd"}), 64 * GB, has_kernels=False)
SMALL_ARM = Cpu(frozenset({"asimd"}), 32 * GB, has_kernels=False)
NO_COMPILER = Cpu(ZEN4.flags, 32 * GB, has_kernels=False)


@pytest.mark.parametrize(
    ("wanted", "parameters", "cpu", "precision", "reason"),
    [
        ("auto", BIG, ZEN4, "int8", "VNNI"),
        ("auto", BIG, CASCADE_LAKE, "int8", "AVX-512 VNNI"),
        ("auto", BIG, ALDER_LAKE, "int8", "AVX-VNNI"),
        ("auto", BIG, ZEN3, "int8", "AVX2"),
        ("auto", BIG, NO_COMPILER, "bf16", "install g\\+\\+"),
        ("auto", BIG, GRAVITON2, "int8", "NEON dot products"),
        ("auto", BIG, GRAVITON3, "int8", "NEON I8MM"),
        ("auto", BIG, ARM, "fp32", "no NEON dot products.*no AVX-512 BF16"),
        ("auto", BIG, SMALL_ARM, "bf16", "would not fit"),
        ("auto", 5e6, ZEN4, "fp32", "small"),
        ("fp32", BIG, ZEN4, "fp32", "HUNYUAN_PRECISION"),
        ("bf16", BIG, ZEN3, "bf16", "HUNYUAN_PRECISION"),
        ("int8", 5e6, ZEN4, "int8", "HUNYUAN_PRECISION"),
        ("int8", BIG, ARM, "fp32", "int8 does not work: this CPU has no NEON"),
        ("int8", BIG, NO_COMPILER, "bf16", "int8 does not work: there is no C\\+\\+ compiler"),
    ],
)
def test_the_precision_is_the_wanted_one_or_the_best_that_works(
    wanted: WantedPrecision, parameters: float, cpu: Cpu, precision: str, reason: str
) -> None:
    choice = choose(wanted, parameters, cpu)
    assert choice.precision == precision
    assert re.search(reason, choice.reason)


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / "tiny")
    return folder


@pytest.fixture
def start_engine(models_dir: Path, tmp_path: Path) -> Callable[[WantedPrecision], EngineProcess]:
    def start(precision: WantedPrecision) -> EngineProcess:
        settings = Settings(
            models_dir=models_dir, data_dir=tmp_path, threads=1, precision=precision
        )
        return EngineProcess(settings, tmp_path / "scratch")

    return start


def ignore(_: Event) -> None:
    pass


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_resumed_clip_is_bit_identical_in_every_precision(
    start_engine: Callable[[WantedPrecision], EngineProcess], precision: WantedPrecision
) -> None:
    params = tiny.params(negative_prompt="red", true_cfg_scale=2.0)
    engine = start_engine(precision)
    checkpoints: list[bytes] = []

    def keep(event: Event) -> None:
        if isinstance(event, StepFinished):
            checkpoints.append(event.checkpoint)

    whole = np.load(engine.generate(params, None, keep, lambda: None).frames)
    for checkpoint in (checkpoints[0], checkpoints[2]):
        engine.close()
        engine = start_engine(precision)  # as after a kill: nothing is left in memory
        resumed = engine.generate(params, checkpoint, ignore, lambda: None)
        assert np.array_equal(np.load(resumed.frames), whole)
    engine.close()


@pytest.mark.skipif(
    Cpu.here().obstacle(Precision.INT8) is not None, reason="no int8 kernels on this machine"
)
def test_clips_in_int8_say_so_and_resemble_those_in_float32(
    start_engine: Callable[[WantedPrecision], EngineProcess],
) -> None:
    frames = {}
    wanted: tuple[WantedPrecision, ...] = ("fp32", "int8")
    for precision in wanted:
        engine = start_engine(precision)
        finished = engine.generate(tiny.params(), None, ignore, lambda: None)
        assert finished.precision == precision
        frames[precision] = np.load(finished.frames).astype(float)
        engine.close()
    error = np.mean((frames["int8"] - frames["fp32"]) ** 2)
    assert 10 * np.log10(255**2 / error) > 30


def test_kernels_that_cannot_be_built_leave_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(building, "PREBUILT", tmp_path / "none")
    loaded = load_int8_or_fp32(
        tmp_path, 1, WantedKernels(tmp_path / "kernels"), lambda dtype: f"in {dtype}"
    )
    assert loaded == ("in torch.float32", Precision.FP32)


@pytest.mark.slow
@pytest.mark.skipif(
    Cpu.here().obstacle(Precision.INT8) is not None, reason="no int8 kernels on this machine"
)
def test_the_int8_form_alone_renders_what_the_original_does(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "tiny"
    tiny.save_model(folder)
    settings = Settings(
        models_dir=tmp_path / "models", data_dir=tmp_path, threads=1, precision="int8"
    )
    frames = []
    for _ in range(2):
        engine = EngineProcess(settings, tmp_path / "scratch")
        finished = engine.generate(tiny.params(), None, ignore, lambda: None)
        frames.append(np.load(finished.frames))
        engine.close()
        if (folder / "transformer").exists():
            quantize(folder, lambda done, of: None)
            (folder / "transformer").rename(tmp_path / "gone")
    assert np.array_equal(*frames)
