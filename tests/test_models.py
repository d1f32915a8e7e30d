"""Every model of the catalogue, from its folder to a clip: the table in docs/models.md.

Each is tested on its double; the demo model is its own.
"""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from hunyuan_runner.catalogue import MODELS, Model, family_in, unknown_settings
from hunyuan_runner.cli import commands
from hunyuan_runner.engine.components import Components
from hunyuan_runner.engine.messages import (
    Event,
    Finished,
    Generate,
    Preview,
    Resumed,
    StageStarted,
    StepFinished,
    TileFinished,
)
from hunyuan_runner.engine.pipeline import VideoPipeline
from hunyuan_runner.engine.process import EngineDied, EngineProcess
from hunyuan_runner.engine.quantize import quantize
from hunyuan_runner.families.configuration import TRANSFORMER
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision
from hunyuan_runner.models.checking import problems_of
from hunyuan_runner.models.folder import components as components_in
from hunyuan_runner.params import GenerationParams, GenerationRequest, Stage
from hunyuan_runner.quoting.memory import peak_bytes
from hunyuan_runner.settings import Settings
from hunyuan_runner.weights import verify_weights, weight_files
from tests import doubles
from tests.lockstep import LockstepEngine
from tests.matrix import CHECKS, PROVEN, proves

# Where the engine is killed: at one stage or after one step, of one model at every one.
CUES: dict[str, tuple[Stage | int, ...]] = {
    "hunyuanvideo15": (Stage.LOADING, Stage.ENCODING, 2, Stage.DECODING),
}
LEAST_PSNR = 30.0  # dB, of int8

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=list(MODELS.values()), ids=list(MODELS))
def model(request: pytest.FixtureRequest) -> Model:
    chosen: Model = request.param
    return chosen


@pytest.fixture(scope="module")
def models_dir(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    doubles.save(model, folder / model.id)
    return folder


@pytest.fixture(scope="module")
def folder(models_dir: Path, model: Model) -> Path:
    return models_dir / model.id


def clip_of(model: Model) -> GenerationParams:
    """A checkpoint of it is larger than a pipe's buffer, and its frames take a while to decode: so
    a signal arrives before the child goes on."""
    request = GenerationRequest(
        prompt='A sign says "Hello" on the grass' + " and on the grass" * 60,
        width=128,
        height=128,
        num_frames=17,
        num_inference_steps=4,
        step_cache="off",
        seed=1,
    )
    return request.resolve(model.id, model.presets)


@dataclass
class Seen:
    """The events of a render whose engine is killed at one of them: at a stage or after a step."""

    engine: EngineProcess
    cue: Stage | int | None = None
    events: list[Event] = field(default_factory=list)
    checkpoint: bytes | None = None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        match event:
            case StepFinished(step, checkpoint):
                self.checkpoint = checkpoint
                self._kill_at(step)
            case StageStarted(stage):
                self._kill_at(stage)

    def _kill_at(self, place: Stage | int) -> None:
        if place == self.cue:
            assert self.engine.pid is not None
            os.kill(self.engine.pid, signal.SIGKILL)

    @property
    def resumed_at(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, Resumed)]


@dataclass
class Rendered:
    """A clip that was rendered undisturbed, resumed after each kill, and after a draft."""

    interrupted: list[Seen]
    undisturbed: Seen
    frames: np.ndarray
    resumed: np.ndarray
    resumed_at: list[int]
    after_draft: np.ndarray
    draft: np.ndarray
    peak_bytes: int


@pytest.fixture(scope="module")
def rendered(
    model: Model, models_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rendered]:
    """In the engine's process, in fp32 with one thread."""
    settings = Settings(
        data_dir=tmp_path_factory.mktemp("data"), models_dir=models_dir, threads=1, precision="fp32"
    )
    engine = LockstepEngine(settings, tmp_path_factory.mktemp("scratch"))
    clip = clip_of(model)

    def frames(seen: Seen, checkpoint: bytes | None = None, draft_after: int | None = None) -> Any:
        path = engine.generate(clip, checkpoint, seen, lambda: None, draft_after).frames
        loaded = np.load(path)
        path.unlink()
        return loaded

    try:
        checkpoint, resumed_at, interrupted = None, [], []
        for cue in CUES.get(model.id, (2,)):
            killed = Seen(engine, cue)
            with pytest.raises(EngineDied):
                frames(killed, checkpoint)
            checkpoint = killed.checkpoint
            resumed_at += killed.resumed_at
            interrupted.append(killed)
        last, undisturbed, draft = Seen(engine), Seen(engine), Seen(engine)
        yield Rendered(
            resumed=frames(last, checkpoint),
            resumed_at=resumed_at + last.resumed_at,
            interrupted=interrupted,
            undisturbed=undisturbed,
            frames=frames(undisturbed),
            draft=frames(draft, draft_after=3),
            after_draft=frames(Seen(engine), draft.checkpoint),
            peak_bytes=peak_of(engine),
        )
    finally:
        engine.close()


def peak_of(engine: EngineProcess) -> int:
    """The most memory that the engine's process had at once, in bytes."""
    lines = Path(f"/proc/{engine.pid}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


def hunyuan(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(commands, list(arguments), env={"COLUMNS": "200"})
    return result.exit_code, result.output


@proves("found")
def test_it_is_found_under_its_own_file_names(model: Model, models_dir: Path, folder: Path) -> None:
    settings = Settings(models_dir=models_dir)
    assert settings.has_model(model.id)
    assert settings.model_dir(model.id) == folder
    assert family_in(folder) is model.family
    assert set(components_in(folder)) == set(model.family.components)
    assert unknown_settings(folder) == {}
    _, listing = hunyuan("models", "list", "--models-dir", str(models_dir))
    (line,) = [line for line in listing.splitlines() if line.split()[:1] == [model.id]]
    assert "not installed" not in line
    entries = {path.name for path in weight_files(folder / TRANSFORMER)}
    if model.transformer is not None:  # one file, as its authors name its weights
        assert entries == {"diffusion_pytorch_model.safetensors"}
    if model.id in ("fasthunyuan", "hunyuanvideo15"):
        assert len(entries) > 1


@proves("verified")
def test_a_changed_byte_of_any_weights_is_found(model: Model, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / model.id
    shutil.copytree(folder, copy)
    assert hunyuan("models", "verify", model.id, "--models-dir", str(tmp_path)) == (
        0,
        f"{model.id} is complete\n",
    )
    weights = [
        path
        for part in components_in(copy)
        for path in weight_files(copy / part)
        if (copy / part / "config.json").exists()
    ]
    assert {path.parent.name for path in weights} >= {"transformer", "vae", "text_encoder"}
    for path in weights:
        flip_the_last_byte(path)
    found = problems_of(copy)
    assert found.keys() == {str(path.relative_to(copy)) for path in weights}
    code, output = hunyuan("models", "verify", model.id, "--models-dir", str(tmp_path))
    assert code == 1
    assert all(problem in output for problem in found)


def flip_the_last_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([byte ^ 1]))


@proves("loaded")
def test_every_component_is_loaded(model: Model, folder: Path, tmp_path: Path) -> None:
    components = loaded(folder, Precision.FP32, tmp_path)
    transformer = components.transformer(lambda: None)
    assert components.precision is Precision.FP32
    assert components.text_encoders(lambda: None) is not None
    parameters = list(transformer.parameters())
    assert all(not parameter.is_meta for parameter in parameters)
    saved = doubles.in_small(model, folder).parameters
    assert sum(parameter.numel() for parameter in parameters) == pytest.approx(saved, rel=0.02)
    assert components.decoder.config.scaling_factor > 0


def loaded(folder: Path, precision: Precision, kernels: Path) -> Components:
    return Components(folder, precision, threads=1, kernels=WantedKernels(kernels))


@proves("rendered")
def test_the_engine_renders_a_clip(model: Model, rendered: Rendered) -> None:
    clip = clip_of(model)
    assert rendered.frames.shape == (clip.num_frames, clip.height, clip.width, 3)
    assert rendered.frames.std() > 1
    events = rendered.undisturbed.events
    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert stages[-2:] == [Stage.DENOISING, Stage.DECODING]
    # a render that was killed had encoded the prompt
    encoding = StageStarted(Stage.ENCODING)
    assert encoding not in events
    assert any(encoding in killed.events for killed in rendered.interrupted)
    steps = [event.step for event in events if isinstance(event, StepFinished)]
    assert steps == list(range(1, clip.num_inference_steps + 1))
    assert any(isinstance(event, Preview) for event in events)
    assert any(isinstance(event, TileFinished) for event in events)


@proves("resumed")
def test_a_clip_whose_engine_was_killed_is_bit_identical(model: Model, rendered: Rendered) -> None:
    assert rendered.resumed_at == ([2, 4] if model.id in CUES else [2])
    assert rendered.undisturbed.resumed_at == []
    assert np.array_equal(rendered.resumed, rendered.frames)
    assert not np.array_equal(rendered.draft, rendered.frames)
    assert np.array_equal(rendered.after_draft, rendered.frames)


@proves("memory")
def test_the_engine_stays_within_the_quote(model: Model, folder: Path, rendered: Rendered) -> None:
    quoted = peak_bytes(clip_of(model), doubles.in_small(model, folder), Precision.FP32)
    assert rendered.peak_bytes <= quoted


@proves("int8")
@pytest.mark.skipif(
    Cpu.here().obstacle(Precision.INT8) is not None, reason="no int8 kernels on this machine"
)
def test_the_int8_form_alone_renders_what_the_original_does_resumed_or_not(
    model: Model, folder: Path, rendered: Rendered, tmp_path: Path
) -> None:
    copy = tmp_path / model.id
    shutil.copytree(folder, copy)
    clip = clip_of(model)
    original, _, _ = in_int8(copy, clip)
    quantize(copy, lambda done, of: None)
    shutil.rmtree(copy / TRANSFORMER)
    assert problems_of(copy) == {}
    verify_weights(copy, quantized=True, note=tmp_path / "verified.json")
    saved, checkpoints, _ = in_int8(copy, clip)
    resumed, _, resumed_at = in_int8(copy, clip, checkpoints[1])
    assert resumed_at == [2]
    assert np.array_equal(saved, original)
    assert np.array_equal(resumed, original)
    error = np.mean((original.astype(float) - rendered.frames) ** 2)
    assert error > 0
    assert 10 * math.log10(255**2 / error) > LEAST_PSNR


def in_int8(
    folder: Path, clip: GenerationParams, checkpoint: bytes | None = None
) -> tuple[np.ndarray, list[bytes], list[int]]:
    """The frames, the checkpoints, and the step after which it went on, of components that are
    loaded anew."""
    frames = folder.parent / "frames.npy"
    events: list[Event] = []
    pipeline = VideoPipeline(
        loaded(folder, Precision.INT8, folder.parent / "kernels"), folder.parent / "prompts"
    )
    request = Generate(1, clip, folder, Precision.INT8, checkpoint, None, 0, frames)
    pipeline.generate(request, events.append)
    (finished,) = [event for event in events if isinstance(event, Finished)]
    assert finished.precision == Precision.INT8
    checkpoints = [event.checkpoint for event in events if isinstance(event, StepFinished)]
    resumed_at = [event.step for event in events if isinstance(event, Resumed)]
    return np.asarray(np.load(frames)), checkpoints, resumed_at


def test_every_cell_of_the_table_was_proven(request: pytest.FixtureRequest) -> None:
    here = [item for item in request.session.items if item.path == Path(__file__)]
    if len(here) < len(CHECKS) * len(MODELS) + 1:
        pytest.skip("only some tests of this file are run")
    unproven = {(check, model) for check in CHECKS for model in MODELS} - PROVEN
    if Cpu.here().obstacle(Precision.INT8) is not None:
        unproven -= {("int8", model) for model in MODELS}
    assert not unproven
