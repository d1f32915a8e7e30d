"""Which precision is chosen, and that clips come out in it, resumed or not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.int8 import load_int8_or_fp32
from hunyuan_runner.engine.messages import Event, Generate, Resumed, StepFinished
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.machine import building
from hunyuan_runner.machine.instructions import Instructions, WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision, choose
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.settings import WantedPrecision
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


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8])
def test_a_resumed_clip_is_bit_identical_in_every_precision(
    models_dir: Path, tmp_path: Path, precision: Precision
) -> None:
    params = tiny.params(negative_prompt="red", true_cfg_scale=2.0)
    whole, checkpoints = render(models_dir / "tiny", tmp_path, precision, params)
    for checkpoint in (checkpoints[0], checkpoints[2]):
        resumed, _ = render(models_dir / "tiny", tmp_path, precision, params, checkpoint)
        assert np.array_equal(resumed, whole)


def render(
    model_dir: Path,
    folder: Path,
    precision: Precision,
    params: GenerationParams,
    checkpoint: bytes | None = None,
) -> tuple[np.ndarray, list[bytes]]:
    """The frames and the checkpoints, of components that are loaded anew, as after a kill."""
    kernels, frames = WantedKernels(folder / "kernels"), folder / "frames.npy"
    components = Components(model_dir, precision, threads=1, kernels=kernels)
    events: list[Event] = []
    request = Generate(1, params, model_dir, precision, checkpoint, None, 0, frames)
    VideoPipeline(components, folder / "prompts").generate(request, events.append)
    assert isinstance(events[0], Resumed) is (checkpoint is not None)
    checkpoints = [event.checkpoint for event in events if isinstance(event, StepFinished)]
    return np.load(frames), checkpoints


def test_kernels_that_cannot_be_built_leave_float32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setattr(building, "PREBUILT", tmp_path / "none")
    loaded = load_int8_or_fp32(
        tmp_path, 1, WantedKernels(tmp_path / "kernels"), lambda dtype: f"in {dtype}"
    )
    assert loaded == ("in torch.float32", Precision.FP32)
