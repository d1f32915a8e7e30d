"""Clips, drafts and previews of the fast decoder, by an engine in its own process."""

from __future__ import annotations

import io
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.catalogue import MODELS, TAEHV
from hunyuan_runner.engine.components import Components, FastDecoderUnusable
from hunyuan_runner.engine.decoder import dtype_here, kernels_for
from hunyuan_runner.engine.frames import cropped
from hunyuan_runner.engine.messages import Event, Finished, Preview, StepFinished, TileFinished
from hunyuan_runner.engine.process import EngineDied, EngineProcess, GenerationFailed
from hunyuan_runner.engine.sealed import DIGEST_BYTES
from hunyuan_runner.engine.taehv import FastDecoder
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.database import now_ms
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.patience import Patience
from hunyuan_runner.jobs.rendering import Rendering
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.manifest import Manifest
from hunyuan_runner.media import read_tags
from hunyuan_runner.params import EstimateRequest, GenerationParams, GenerationRequest
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import video_key
from hunyuan_runner.studio.rendering import _templates as TEMPLATES
from hunyuan_runner.studio.routes import compose, machine
from hunyuan_runner.weights import DOWNLOAD_NOTE
from tests import double_taehv, tiny
from tests.lockstep import LockstepEngine

MODEL = "hunyuanvideo"
SMALL = (16, 16, 16, 16)  # channels


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the fast decoder."""
    folder = tmp_path_factory.mktemp("models")
    tiny.save_model(folder / MODEL)
    weights = TAEHV.file_in(folder)
    weights.parent.mkdir()
    double_taehv.save_decoder(weights, latent_channels=4, channels=SMALL)
    return folder


@pytest.fixture(scope="module")
def engine(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    data_dir, scratch = (tmp_path_factory.mktemp(name) for name in ("data", "scratch"))
    settings = Settings(data_dir=data_dir, models_dir=models_dir, threads=1, precision="fp32")
    engine = LockstepEngine(settings, scratch)
    yield engine
    engine.close()
    assert not list(scratch.iterdir())


def params(decoder: str, **changes: object) -> GenerationParams:
    return tiny.params(model=MODEL, decoder=decoder, **changes)


class Clip:
    """What an engine made, and the events on the way."""

    def __init__(
        self,
        engine: EngineProcess,
        clip: GenerationParams,
        checkpoint: bytes | None = None,
        draft_after: int | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self.events: list[Event] = []
        self.checkpoint = checkpoint

        def note(event: Event) -> None:
            self.events.append(event)
            if isinstance(event, StepFinished):
                self.checkpoint = event.checkpoint
            on_event(event)

        self.finished: Finished | None = None
        try:
            self.finished = engine.generate(clip, checkpoint, note, lambda: None, draft_after)
        except EngineDied:
            return
        self.frames = np.load(self.finished.frames)
        self.finished.frames.unlink()


def decoded(models_dir: Path, checkpoint: bytes | None, name: str) -> np.ndarray:
    """What the fast decoder makes of these latents of a checkpoint, here."""
    assert checkpoint is not None
    latents = safetensors.torch.load(checkpoint[:-DIGEST_BYTES])[name]
    dtype = dtype_here()
    kernels = None  # so what the engine's make in float32 is compared with torch
    if dtype is torch.bfloat16:
        kernels = kernels_for(dtype, 1, WantedKernels(models_dir / "kernels"))
    decoder = FastDecoder.load(TAEHV.file_in(models_dir), dtype, kernels)
    return np.stack([cropped(frame, 64, 64) for frame in decoder(latents[0])])


def test_the_request_decides_which_decoder_makes_the_clip(
    engine: EngineProcess, models_dir: Path
) -> None:
    fast, full = (Clip(engine, params(decoder)) for decoder in ("fast", "full"))
    assert fast.finished is not None
    assert full.finished is not None
    assert (fast.finished.decoder, full.finished.decoder) == ("fast", "full")
    assert fast.frames.shape == full.frames.shape == (9, 64, 64, 3)
    expected = decoded(models_dir, fast.checkpoint, "latents")
    assert np.abs(fast.frames.astype(int) - expected).max() <= 1
    assert np.abs(full.frames.astype(int) - expected).mean() > 10
    tiles = [event for event in fast.events if isinstance(event, TileFinished)]
    assert tiles == [TileFinished(1, 3), TileFinished(2, 3), TileFinished(3, 3)]


def test_a_clip_whose_engine_is_killed_while_it_decodes_is_the_same(engine: EngineProcess) -> None:
    def kill(event: Event) -> None:
        if event == TileFinished(2, 3):
            assert engine.pid is not None
            os.kill(engine.pid, signal.SIGKILL)

    clip = params("fast", seed=5)
    died = Clip(engine, clip, on_event=kill)
    assert died.finished is None
    resumed = Clip(engine, clip, died.checkpoint)
    assert not any(isinstance(event, StepFinished) for event in resumed.events)
    assert np.array_equal(resumed.frames, Clip(engine, clip).frames)


def test_drafts_and_previews_are_made_with_it_where_it_is_installed(
    engine: EngineProcess, models_dir: Path
) -> None:
    draft = Clip(engine, params("full"), draft_after=3)
    assert draft.finished is not None
    assert draft.finished.decoder == "fast"
    expected = decoded(models_dir, draft.checkpoint, "expected")
    assert np.abs(draft.frames.astype(int) - expected).max() <= 1

    whole = Clip(engine, params("full"), draft.checkpoint)
    assert whole.finished is not None
    assert whole.finished.decoder == "full"
    assert np.array_equal(whole.frames, Clip(engine, params("full")).frames)


def test_a_preview_is_of_the_middle_of_the_clip(engine: EngineProcess, models_dir: Path) -> None:
    clip = params("full", seed=9)
    rendered = Clip(engine, clip)
    (first, *_) = [event.image for event in rendered.events if isinstance(event, Preview)]
    image = np.asarray(Image.open(io.BytesIO(first)), dtype=int)
    expected = decoded(models_dir, Clip(engine, clip, draft_after=1).checkpoint, "expected")
    middle = expected[4]  # the last of the second of three latents, which has frames 1 to 4
    assert image.shape == middle.shape
    assert np.corrcoef(image.ravel(), middle.ravel())[0, 1] > 0.95


def altered(weights: Path) -> None:
    note = {"files": [{"path": weights.name, "digest": "0" * 64}]}
    (weights.parent / DOWNLOAD_NOTE).write_text(json.dumps(note))


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        pytest.param(Path.unlink, "No such file", id="missing"),
        pytest.param(lambda path: path.write_bytes(b"weights"), "header", id="broken"),
        pytest.param(
            lambda path: double_taehv.save_decoder(path, 16, channels=SMALL),
            "is of another model",
            id="of-another-model",
        ),
        pytest.param(altered, "has changed since it was downloaded", id="altered"),
    ],
)
def test_a_decoder_that_cannot_be_used_says_why(
    components: Components, tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    weights = tmp_path / TAEHV.weights.name
    double_taehv.save_decoder(weights, 4, channels=SMALL)
    spoil(weights)
    with pytest.raises(FastDecoderUnusable, match=problem):
        components.fast_decoder(weights)


@pytest.fixture(scope="module")
def components(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Components:
    kernels = WantedKernels(tmp_path_factory.mktemp("kernels"))
    return Components(models_dir / MODEL, Precision.FP32, torch.get_num_threads(), kernels)


def test_only_clips_that_need_a_decoder_fail_without_it(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MODEL).symlink_to(models_dir / MODEL)
    settings = Settings(data_dir=tmp_path, models_dir=tmp_path / "models", threads=1)
    engine = EngineProcess(settings.model_copy(update={"precision": "fp32"}), tmp_path / "scratch")
    try:
        with pytest.raises(GenerationFailed) as failure:
            Clip(engine, params("fast"))
        assert failure.value.code == "model_unavailable"
        assert failure.value.message.endswith("Fetch it: hunyuan models download taehv")
        draft = Clip(engine, params("full"), draft_after=2)
        assert draft.finished is not None
        assert draft.finished.decoder == "full"
    finally:
        engine.close()


@pytest.fixture
def backend(models_dir: Path, tmp_path: Path) -> Iterator[Backend]:
    backend = Backend.open(Settings(data_dir=tmp_path, models_dir=models_dir, calibrate=False))
    yield backend
    backend.jobs.close()


def test_a_quote_is_for_the_decoder_that_will_be_used(backend: Backend) -> None:
    quotes = {
        (preset, decoder): backend.estimate(
            EstimateRequest(model=MODEL, preset=preset, decoder=decoder)
        ).quote
        for preset in ("fast", "standard")
        for decoder in ("auto", "full", "fast")
    }
    assert {asked: quote.params.decoder for asked, quote in quotes.items()} == {
        ("fast", "auto"): "fast",
        ("fast", "full"): "full",
        ("fast", "fast"): "fast",
        ("standard", "auto"): "full",
        ("standard", "full"): "full",
        ("standard", "fast"): "fast",
    }
    full, fast = quotes["standard", "full"], quotes["standard", "fast"]
    assert fast.seconds.expected < full.seconds.expected
    job = backend.submit(GenerationRequest(prompt="a cat", model=MODEL, decoder="fast"))
    assert job.params.decoder == "fast"


def test_it_is_refused_where_it_is_not_installed(models_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / MODEL).symlink_to(models_dir / MODEL)
    settings = Settings(data_dir=tmp_path, models_dir=tmp_path / "models", calibrate=False)
    backend = Backend.open(settings)
    try:
        for model, hint in (
            (MODEL, "hunyuan models download taehv"),
            ("demo", "there is no fast decoder for demo"),
        ):
            with pytest.raises(ApiError, match=hint) as refusal:
                backend.estimate(EstimateRequest(model=model, decoder="fast"))
            assert (refusal.value.code, refusal.value.param) == ("no_fast_decoder", "decoder")
        quick = backend.estimate(EstimateRequest(model=MODEL, preset="fast", decoder="auto"))
        assert quick.quote.params.decoder == "full"
    finally:
        backend.jobs.close()


def test_the_page_has_the_choice_where_it_is_installed(backend: Backend) -> None:
    for model, installed in ((MODEL, True), ("demo", False)):
        shown = TEMPLATES.get_template("compose/of_model.html").render(
            root="/", **compose.context(backend, model)
        )
        assert ('name="decoder"' in shown) is installed


def test_the_page_says_how_to_install_it(backend: Backend, tmp_path: Path) -> None:
    profile = Profile.of_this_machine(backend.settings)
    lacking = replace(profile.models[MODEL], fast_decoder=False)
    commands = [
        {entry.model.id: entry.fast_decoder_command for entry in machine._entries(backend, profile)}
    ]
    Lease(backend.jobs.database, 60).renew(
        replace(profile, models={**profile.models, MODEL: lacking})
    )
    commands.append(
        {entry.model.id: entry.fast_decoder_command for entry in machine._entries(backend, profile)}
    )
    assert [each[MODEL] for each in commands] == [None, "hunyuan models download taehv"]
    assert [each["demo"] for each in commands] == [None, None]
    assert [each["hunyuanvideo15"] for each in commands] == [None, None]  # it is not installed


def test_the_clip_says_which_decoder_made_it(
    engine: EngineProcess, backend: Backend, tmp_path: Path
) -> None:
    made = {}
    for decoder in ("fast", "full"):
        job = backend.jobs.submit(params(decoder))
        claim = Claim.next(backend.jobs.database, "worker")
        assert claim is not None
        expected = backend.jobs.forecast().expect(claim.work, MODEL)
        patience = Patience(expected, claim.params, MODELS[MODEL], 60)
        Rendering(claim, engine, backend.storage, lambda: False, backend.settings, patience).run()
        claim.complete(now_ms())
        video = tmp_path / "clip.mp4"
        video.write_bytes(backend.storage.get(video_key(job.id)))
        tags = read_tags(video)
        manifest = Manifest.model_validate_json(tags["manifest"])
        made[decoder] = (tags["decoder"], manifest.decoder, manifest.params.decoder)
        weights = [name for name in manifest.model.weights if name.startswith("taehv/")]
        assert weights == (["taehv/taehv.safetensors"] if decoder == "fast" else [])
    assert made == {name: (name, name, name) for name in ("fast", "full")}


def test_the_demo_model_has_none() -> None:
    assert MODELS["demo"].fast_decoder is None
