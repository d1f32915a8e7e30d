"""The engine's child process: real kills, real stops, real frames, a tiny model."""

from __future__ import annotations

import errno
import io
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import safetensors.torch
import torch
from diffusers import AutoencoderKLHunyuanVideo
from PIL import Image

from hunyuan_runner.engine import vae
from hunyuan_runner.engine.decoder import Decoder, dtype_here
from hunyuan_runner.engine.exhaustion import is_out_of_memory
from hunyuan_runner.engine.frames import cropped
from hunyuan_runner.engine.messages import (
    Event,
    Preview,
    Resumed,
    StageStarted,
    StepFinished,
    TileFinished,
)
from hunyuan_runner.engine.process import (
    EngineDied,
    EngineProcess,
    EngineStalled,
    GenerationFailed,
)
from hunyuan_runner.engine.sealed import DIGEST_BYTES
from hunyuan_runner.engine.stop import Deadline, Stop, Stopped
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.schedule import StepCache
from hunyuan_runner.settings import Settings
from tests import tiny
from tests.lockstep import LockstepEngine

Frames = npt.NDArray[np.uint8]

# Seconds in which the child stops even where other processes, which go first, want its core.
PATIENCE = 60.0


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / "tiny")
    tiny.save_model(folder / "other", seed=1)
    return folder


@pytest.fixture(scope="module")
def engine(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """One engine for all tests, which must not affect each other."""
    scratch = tmp_path_factory.mktemp("scratch")
    data_dir = tmp_path_factory.mktemp("data")
    settings = Settings(
        data_dir=data_dir, models_dir=models_dir, threads=1, cancel_grace_seconds=PATIENCE
    )
    engine = LockstepEngine(settings, scratch)
    yield engine
    engine.close()
    assert not list(scratch.iterdir())


def render(
    engine: EngineProcess,
    params: GenerationParams,
    checkpoint: bytes | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Frames:
    path = engine.generate(params, checkpoint, on_event, lambda: None).frames
    frames: Frames = np.load(path)
    path.unlink()
    return frames


class Witness:
    """Keeps the events of a generation, and acts once when one like `cue` comes by."""

    def __init__(
        self,
        cue: Callable[[Event], bool] = lambda event: False,
        action: Callable[[], None] = lambda: None,
    ) -> None:
        self.events: list[Event] = []
        self.cued = False
        self._cue = cue
        self._action = action

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if not self.cued and self._cue(event):
            self.cued = True
            self._action()

    @property
    def checkpoint(self) -> bytes | None:
        checkpoints = [e.checkpoint for e in self.events if isinstance(e, StepFinished)]
        return checkpoints[-1] if checkpoints else None

    @property
    def steps(self) -> list[int]:
        return [event.step for event in self.events if isinstance(event, StepFinished)]

    @property
    def stages(self) -> list[Stage]:
        return [event.stage for event in self.events if isinstance(event, StageStarted)]


def at_step(step: int) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, StepFinished) and event.step == step


def at_stage(stage: Stage) -> Callable[[Event], bool]:
    return lambda event: event == StageStarted(stage)


def send_signal(engine: EngineProcess, number: signal.Signals) -> Callable[[], None]:
    def send() -> None:
        assert engine.pid is not None
        os.kill(engine.pid, number)

    return send


@pytest.mark.parametrize(
    ("changes", "cue"),
    [
        pytest.param({}, at_step(3), id="in-the-middle"),
        pytest.param({}, at_stage(Stage.DECODING), id="while-decoding"),
        pytest.param(
            {"negative_prompt": "a dog", "true_cfg_scale": 3.0}, at_step(2), id="negative-prompt"
        ),
        pytest.param({"step_cache": "balanced"}, at_step(3), id="step-cache"),
    ],
)
def test_a_clip_whose_engine_was_killed_resumes_bit_identical(
    engine: EngineProcess, changes: dict[str, object], cue: Callable[[Event], bool]
) -> None:
    params = tiny.params(num_inference_steps=5, **changes)
    undisturbed = render(engine, params)

    first = Witness(cue, send_signal(engine, signal.SIGKILL))
    with pytest.raises(EngineDied):
        render(engine, params, on_event=first)
    second = Witness()
    resumed = render(engine, params, first.checkpoint, second)

    assert np.array_equal(resumed, undisturbed)
    assert Resumed(first.steps[-1]) in second.events
    assert second.steps == list(range(first.steps[-1] + 1, 6))
    assert second.stages[0] is Stage.LOADING
    assert Stage.ENCODING not in second.stages


def test_a_clip_killed_after_every_single_step_is_still_bit_identical(
    engine: EngineProcess,
) -> None:
    params = tiny.params(num_inference_steps=3)
    undisturbed = render(engine, params)
    checkpoint = None
    for step in (1, 2):
        witness = Witness(at_step(step), send_signal(engine, signal.SIGKILL))
        with pytest.raises(EngineDied):
            render(engine, params, checkpoint, witness)
        checkpoint = witness.checkpoint
    assert np.array_equal(render(engine, params, checkpoint), undisturbed)


@pytest.mark.parametrize("guidance", [{}, {"negative_prompt": "a dog", "true_cfg_scale": 3.0}])
@pytest.mark.parametrize("step_cache", get_args(StepCache))
def test_from_whichever_step_a_clip_goes_on_it_is_bit_identical(
    engine: EngineProcess, step_cache: StepCache, guidance: dict[str, object]
) -> None:
    params = tiny.params(num_inference_steps=8, num_frames=5, step_cache=step_cache, **guidance)
    witness = Witness()
    whole = render(engine, params, on_event=witness)
    for event in witness.events:
        if isinstance(event, StepFinished):
            assert np.array_equal(render(engine, params, event.checkpoint), whole), event.step


def test_a_clip_with_predicted_steps_is_another(engine: EngineProcess) -> None:
    exact, cached = (render(engine, tiny.params(step_cache=mode)) for mode in ("off", "balanced"))
    assert not np.array_equal(exact, cached)


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(
    engine: EngineProcess,
) -> None:
    first = render(engine, tiny.params(seed=7))
    other = render(engine, tiny.params(seed=8, width=96))
    again = render(engine, tiny.params(seed=7))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other[:, :, 16:80])


def test_a_negative_prompt_changes_the_clip(engine: EngineProcess) -> None:
    plain = render(engine, tiny.params())
    guided = render(engine, tiny.params(negative_prompt="a dog", true_cfg_scale=3.0))
    assert not np.array_equal(plain, guided)


def test_another_size_is_the_centre_of_the_next_size_the_model_can_do(
    engine: EngineProcess,
) -> None:
    odd = render(engine, tiny.params(width=100, height=70))
    aligned = render(engine, tiny.params(width=112, height=80))
    assert odd.shape == (9, 70, 100, 3)
    assert odd.dtype == np.uint8
    assert np.array_equal(odd, aligned[:, 5:75, 6:106])


def test_events_come_in_the_order_of_the_work(engine: EngineProcess) -> None:
    render(engine, tiny.params())
    witness = Witness()
    render(engine, tiny.params(model="other"), on_event=witness)

    events = [event for event in witness.events if not isinstance(event, Preview)]
    assert [e.step if isinstance(e, StepFinished) else e for e in events] == [
        StageStarted(Stage.LOADING),
        StageStarted(Stage.ENCODING),
        StageStarted(Stage.DENOISING),
        *[1, 2, 3, 4],
        StageStarted(Stage.DECODING),
        TileFinished(1, 1),
    ]


def test_a_preview_is_a_jpeg_of_the_size_asked_for(engine: EngineProcess) -> None:
    witness = Witness()
    render(engine, tiny.params(width=100, height=70), on_event=witness)
    preview = next(event for event in witness.events if isinstance(event, Preview))
    with Image.open(io.BytesIO(preview.image)) as image:
        assert image.format == "JPEG"
        assert image.size == (100, 70)


def test_another_model_is_loaded_in_place_of_the_first(engine: EngineProcess) -> None:
    witness = Witness()
    first = render(engine, tiny.params())
    pid = engine.pid
    other = render(engine, tiny.params(model="other"), on_event=witness)
    assert engine.pid == pid
    assert witness.stages[0] is Stage.LOADING
    assert not np.array_equal(first, other)
    assert np.array_equal(render(engine, tiny.params()), first)


def test_an_engine_says_which_model_it_holds(engine: EngineProcess) -> None:
    held: dict[Event, str | None] = {}

    def look(event: Event) -> None:
        if isinstance(event, StageStarted):
            held[event] = engine.model

    render(engine, tiny.params())
    assert engine.model == "tiny"
    render(engine, tiny.params(model="other"), on_event=look)
    assert held[StageStarted(Stage.LOADING)] is None
    assert held[StageStarted(Stage.DENOISING)] == engine.model == "other"
    engine.unload()
    assert engine.model is None


def test_a_stop_between_steps_leaves_the_engine_usable(engine: EngineProcess) -> None:
    params = tiny.params(num_inference_steps=20)
    witness = Witness(at_step(2))
    render(engine, tiny.params())
    pid = engine.pid
    with pytest.raises(Stopped) as stopped:
        engine.generate(params, None, witness, lambda: Stop.SHUTDOWN if witness.cued else None)
    assert stopped.value.reason is Stop.SHUTDOWN
    assert len(witness.steps) < 20
    assert engine.pid == pid

    resumed = render(engine, params, witness.checkpoint)
    assert engine.pid == pid
    assert np.array_equal(resumed, render(engine, params))


def test_a_draft_shows_what_is_expected_and_the_clip_goes_on_unchanged(
    engine: EngineProcess,
) -> None:
    params = tiny.params(num_inference_steps=6)
    whole = render(engine, params)
    witness = Witness()
    path = engine.generate(params, None, witness, lambda: None, draft_after=4).frames
    draft = np.load(path)
    path.unlink()
    assert witness.steps == [1, 2, 3, 4]
    assert draft.shape == whole.shape
    assert not np.array_equal(draft, whole)
    assert np.array_equal(render(engine, params, witness.checkpoint), whole)

    # One whose engine died while it decoded the draft goes on with just that.
    again = engine.generate(params, witness.checkpoint, Witness(), lambda: None, draft_after=4)
    path = again.frames
    assert np.array_equal(np.load(path), draft)
    path.unlink()


def test_a_pause_waits_for_the_step_and_loses_none(engine: EngineProcess) -> None:
    params = tiny.params(num_inference_steps=8)
    witness = Witness(at_step(2))
    render(engine, params)
    pid = engine.pid
    with pytest.raises(Stopped):
        engine.generate(params, None, witness, lambda: Stop.PAUSE if witness.cued else None)
    assert engine.pid == pid
    assert 2 <= witness.steps[-1] < 8
    assert np.array_equal(render(engine, params, witness.checkpoint), render(engine, params))


def test_a_child_that_does_not_heed_a_stop_is_killed(models_dir: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, threads=1, cancel_grace_seconds=1)
    engine = LockstepEngine(settings, tmp_path)
    render(engine, tiny.params())
    pid = engine.pid
    witness = Witness(at_step(2), send_signal(engine, signal.SIGSTOP))
    with pytest.raises(Stopped):
        engine.generate(
            tiny.params(), None, witness, lambda: Stop.CLAIM_LOST if witness.cued else None
        )
    assert engine.pid is None
    render(engine, tiny.params())
    assert engine.pid not in (None, pid)
    engine.close()


def test_the_shortest_grace_counts_and_a_pause_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    deadline = Deadline(cancel_grace_seconds=5)
    deadline.heed(Stop.PAUSE)
    assert deadline.overdue_seconds == -math.inf
    deadline.heed(Stop.SHUTDOWN)
    now = 104.0
    deadline.heed(Stop.CLAIM_LOST)
    assert deadline.overdue_seconds == -1
    now = 106.0
    assert deadline.overdue_seconds == 1


@pytest.mark.parametrize("stage", [Stage.LOADING, Stage.DENOISING])
def test_a_child_that_hangs_is_ended_and_its_clip_goes_on(
    engine: EngineProcess, stage: Stage
) -> None:
    params = tiny.params(num_inference_steps=5)
    undisturbed = render(engine, params)
    render(engine, tiny.params(model="other"))
    pid = engine.pid
    cue = at_step(3) if stage is Stage.DENOISING else at_stage(stage)
    first = Witness(cue, send_signal(engine, signal.SIGSTOP))
    with pytest.raises(EngineStalled) as stall:
        engine.generate(
            params, None, first, lambda: None, patience=lambda: 0.5 if first.cued else math.inf
        )
    assert f"while {stage}" in str(stall.value)
    assert pid is not None
    assert not is_running(pid)
    assert np.array_equal(render(engine, params, first.checkpoint), undisturbed)


def test_a_child_that_hung_between_clips_does_not_hold_up_the_next(engine: EngineProcess) -> None:
    params = tiny.params(num_inference_steps=5)
    witness = Witness()
    whole = render(engine, params, on_event=witness)
    send_signal(engine, signal.SIGSTOP)()
    # What it is sent is more than the pipe takes, so that it would be waited for.
    with pytest.raises(EngineStalled, match="before it began"):
        engine.generate(params, witness.checkpoint, witness, lambda: None, patience=lambda: 0.5)
    assert np.array_equal(render(engine, params, witness.checkpoint), whole)


def test_a_child_that_hangs_where_a_clip_is_to_pause_is_ended(engine: EngineProcess) -> None:
    witness = Witness(at_step(2), send_signal(engine, signal.SIGSTOP))
    with pytest.raises(Stopped):
        engine.generate(
            tiny.params(),
            None,
            witness,
            lambda: Stop.PAUSE if witness.cued else None,
            patience=lambda: 0.5 if witness.cued else math.inf,
        )
    assert engine.pid is None


def test_time_in_which_nobody_listened_is_no_silence(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when the machine was suspended, or all of its processes frozen."""
    now = time.monotonic
    jumps = count()
    monkeypatch.setattr(time, "monotonic", lambda: now() + 3600 * next(jumps))
    render(engine, tiny.params())
    engine.generate(
        tiny.params(), None, lambda event: None, lambda: None, patience=lambda: 60
    ).frames.unlink()


@pytest.mark.parametrize(
    ("stage", "number"),
    [(Stage.LOADING, signal.SIGKILL), (Stage.DECODING, signal.SIGTERM)],
)
def test_a_dead_child_is_noticed_with_its_exit_code_and_stage(
    engine: EngineProcess, stage: Stage, number: signal.Signals
) -> None:
    render(engine, tiny.params())
    witness = Witness(at_stage(stage), send_signal(engine, number))
    with pytest.raises(EngineDied) as death:
        render(engine, tiny.params(model="other"), on_event=witness)
    assert death.value.exit_code == -number
    assert death.value.stage is stage
    assert number.name in str(death.value)
    assert f"while {stage}" in str(death.value)
    assert engine.pid is None


@pytest.mark.parametrize(
    "cue",
    [
        pytest.param(at_stage(Stage.LOADING), id="loading"),
        pytest.param(at_step(3), id="decoding"),  # what comes before lies in memory by then
    ],
)
def test_a_child_that_gets_no_memory_is_replaced_as_if_it_had_been_killed(
    engine: EngineProcess, cue: Callable[[Event], bool]
) -> None:
    """Whether the lack of memory is an error of torch's or ends the process."""
    params = tiny.params(width=128, height=128, num_frames=17)
    render(engine, tiny.params(model="other"))
    pid = engine.pid

    def take_its_memory() -> None:
        assert pid is not None
        psutil.Process(pid).rlimit(psutil.RLIMIT_AS, (1, 1))

    first = Witness(cue, take_its_memory)
    with pytest.raises(EngineDied):
        render(engine, params, on_event=first)
    assert engine.pid is None
    assert render(engine, params, first.checkpoint).shape == (17, 128, 128, 3)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate"
                     " memory: you tried to allocate 9 bytes. Error code 12"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("unable to mmap 64 bytes from file: Cannot allocate memory (12)"),
        OSError(errno.ENOMEM, "whatever the language of this machine says"),
    ],
    ids=["python", "torch", "c++", "mmap", "errno"],
)  # fmt: skip
def test_a_lack_of_memory_is_recognised_by_the_error_or_its_cause(error: Exception) -> None:
    wrapped = ValueError("the model cannot be loaded")
    wrapped.__cause__ = error
    assert is_out_of_memory(error)
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize("error", [ValueError("a bad prompt"), OSError(errno.ENOSPC, "full")])
def test_another_error_is_no_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_a_child_that_died_between_jobs_is_replaced_unnoticed(engine: EngineProcess) -> None:
    before = render(engine, tiny.params())
    send_signal(engine, signal.SIGKILL)()
    while engine.pid is not None:
        time.sleep(0.01)
    assert np.array_equal(render(engine, tiny.params()), before)


def test_what_the_listener_raises_ends_the_child_and_comes_through(
    engine: EngineProcess,
) -> None:
    def refuse(event: Event) -> None:
        raise ValueError("not mine any more")

    with pytest.raises(ValueError, match="not mine"):
        render(engine, tiny.params(), on_event=refuse)
    assert engine.pid is None
    render(engine, tiny.params())


def test_each_further_death_while_decoding_asks_for_smaller_tiles(
    engine: EngineProcess, models_dir: Path
) -> None:
    params = tiny.params(num_frames=37)
    witness = Witness()
    whole = render(engine, params, on_event=witness)
    for _ in range(3):
        killer = Witness(at_stage(Stage.DECODING), send_signal(engine, signal.SIGKILL))
        with pytest.raises(EngineDied):
            render(engine, params, witness.checkpoint, killer)
    tiled = render(engine, params, witness.checkpoint)
    assert not np.array_equal(tiled, whole)
    expected = decode(models_dir / "tiny", witness.checkpoint, attempt=2)
    assert np.abs(tiled.astype(int) - expected).max() <= 1


@torch.no_grad()
def decode(model_dir: Path, checkpoint: bytes | None, attempt: int) -> Frames:
    """The frames of a finished checkpoint, decoded here."""
    assert checkpoint is not None
    latents = safetensors.torch.load(checkpoint[:-DIGEST_BYTES])["latents"]
    autoencoder = AutoencoderKLHunyuanVideo.from_pretrained(model_dir / "vae").to(dtype_here())
    frames = vae.decode(Decoder(autoencoder), latents, list, attempt)
    return np.stack([cropped(frame, frame.shape[2], frame.shape[1]) for frame in frames])


def damaged(checkpoint: bytes) -> bytes:
    middle = len(checkpoint) // 2
    return checkpoint[:middle] + bytes([checkpoint[middle] ^ 1]) + checkpoint[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "changes"),
    [
        pytest.param(damaged, {}, id="one-bit-flipped"),
        pytest.param(lambda checkpoint: checkpoint[:-100], {}, id="truncated"),
        pytest.param(lambda checkpoint: b"", {}, id="empty"),
        pytest.param(lambda checkpoint: checkpoint, {"seed": 2}, id="of-other-params"),
        pytest.param(lambda checkpoint: checkpoint, {"model": "other"}, id="of-another-model"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_means_starting_over(
    engine: EngineProcess, spoil: Callable[[bytes], bytes], changes: dict[str, object]
) -> None:
    first, second = Witness(), Witness()
    render(engine, tiny.params(), on_event=first)
    assert first.checkpoint is not None
    params = tiny.params(**changes)
    frames = render(engine, params, spoil(first.checkpoint), second)
    assert second.steps == [1, 2, 3, 4]
    assert not any(isinstance(event, Resumed) for event in second.events)
    assert np.array_equal(frames, render(engine, params))


@pytest.mark.parametrize(
    "missing",
    [
        "",
        "model_index.json",
        "vae",
        "transformer/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "tokenizer/tokenizer.json",
    ],
    ids=lambda missing: missing or "everything",
)
def test_a_missing_or_incomplete_model_says_how_to_get_it(
    engine: EngineProcess, models_dir: Path, missing: str
) -> None:
    folder = models_dir / "incomplete"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models_dir / "tiny", folder)
    target = folder / missing
    shutil.rmtree(target) if target.is_dir() else target.unlink()

    with pytest.raises(GenerationFailed, match="hunyuan models download incomplete") as failure:
        render(engine, tiny.params(model="incomplete"))
    assert failure.value.code == "model_unavailable"


def test_a_half_downloaded_model_says_how_to_get_it(
    engine: EngineProcess, models_dir: Path
) -> None:
    folder = models_dir / "incomplete"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(models_dir / "tiny", folder)
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])

    with pytest.raises(GenerationFailed) as failure:
        render(engine, tiny.params(model="incomplete"))
    assert failure.value.code == "model_unavailable"


PARENT = """
import sys, time
from pathlib import Path
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.settings import Settings
from tests import tiny

models, scratch = map(Path, sys.argv[1:])
engine = EngineProcess(Settings(data_dir=scratch, models_dir=models, threads=1), scratch)
engine.generate(tiny.params(), None, lambda event: None, lambda: None)
print(engine.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_the_child_dies_with_its_parent(models_dir: Path, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(models_dir), str(tmp_path)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.communicate()
    while is_running(pid):
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    """Whether the process lives; a zombie waiting for its new parent to reap it does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_child_ends_when_the_pipe_does() -> None:
    ours, theirs = Pipe()
    with theirs:
        child = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "hunyuan_runner.engine.child",
                f"{theirs.fileno()}",
                "1",
                *WantedKernels(Path("kernels")).as_arguments(),
                "prompts",
                "verified-weights.json",
                "INFO",
                "text",
            ],
            pass_fds=[theirs.fileno()],
        )
    ours.close()
    assert child.wait() == 0


@pytest.mark.slow
def test_a_thread_that_ends_after_starting_a_job_does_not_take_the_child_with_it(
    models_dir: Path, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, models_dir=models_dir, threads=1)
    engine = EngineProcess(settings, tmp_path)
    thread = threading.Thread(target=render, args=(engine, tiny.params()))
    thread.start()
    thread.join()
    pid = engine.pid
    assert pid is not None
    render(engine, tiny.params())
    assert engine.pid == pid
    engine.close()
    assert engine.pid is None
    assert not is_running(pid)


def test_the_parent_side_imports_no_torch() -> None:
    code = "import sys, hunyuan_runner.engine.process; print(*sys.modules)"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert {"torch", "diffusers", "transformers"}.isdisjoint(output.split())
