"""One job from claim to published clip: runs the engine, keeps checkpoints, stores the files."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from hunyuan_runner import media
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.messages import (
    Event,
    Finished,
    OnEvent,
    Preview,
    Resumed,
    StageStarted,
    StepFinished,
    TileFinished,
)
from hunyuan_runner.engine.process import EngineDied, EngineStalled, GenerationFailed
from hunyuan_runner.engine.stop import Deadline, Stop, Stopped
from hunyuan_runner.frame_file import FrameFile
from hunyuan_runner.jobs.claim import Claim, ClaimLost
from hunyuan_runner.jobs.legs import in_words
from hunyuan_runner.jobs.patience import Patience
from hunyuan_runner.jobs.perseverance import persevere
from hunyuan_runner.machine.host import package_versions
from hunyuan_runner.manifest import TAG, Manifest, PublishedManifest
from hunyuan_runner.params import Decoder, GenerationParams, Stage
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import (
    ANIMATION,
    DRAFT,
    SPRITESHEET,
    THUMBNAIL,
    VIDEO,
    ClipFile,
    checkpoint_key,
    manifest_key,
    preview_key,
)
from hunyuan_runner.storage.protocol import ObjectNotFound, Storage
from hunyuan_runner.tracing import NO_SPAN, Span

CLAIM_CHECK_SECONDS = 1.0
WAIT_TICK_SECONDS = 0.1
NAMED_IN_FILES = ("hunyuan-runner", "diffusers", "torch")

# The names of the spans of stages.
SPANS = {
    Stage.LOADING: "load",
    Stage.ENCODING: "encode",
    Stage.DENOISING: "denoise",
    Stage.DECODING: "decode",
    Stage.PUBLISHING: "publish",
}

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


class Renderer(Protocol):
    """What a worker needs of an engine. engine.process.EngineProcess is the real one."""

    @property
    def model(self) -> str | None:
        """The id of the model that it holds in memory, if it does."""
        ...

    def generate(
        self,
        params: GenerationParams,
        checkpoint: bytes | None,
        on_event: OnEvent,
        stop_requested: Callable[[], Stop | None],
        draft_after: int | None = None,
        patience: Callable[[], float] = ...,
    ) -> Finished:
        """See EngineProcess.generate. The caller deletes the file with the frames."""
        ...

    def unload(self) -> None:
        """Give back the memory of the model. Called again and again while there is no job."""
        ...

    def close(self) -> None:
        """End the engine at once."""
        ...


class Rendering:
    """The work on one claimed job, and the time that its stages took."""

    def __init__(
        self,
        claim: Claim,
        renderer: Renderer,
        storage: Storage,
        is_stopping: Callable[[], bool],
        settings: Settings,
        patience: Patience,
        span: Span = NO_SPAN,
    ) -> None:
        self._claim = claim
        self._renderer = renderer
        self._storage = storage
        self._is_stopping = is_stopping
        self._max_failed_starts = settings.max_failed_starts
        self._publish_patience = settings.publish_patience_seconds
        self._model_dir = settings.model_dir(claim.params.model)
        self._models_dir = settings.models_dir
        self._claim_checked_at = time.monotonic()
        self._stop: Stop | None = None  # as the job's row had it
        self._deadline = Deadline(settings.cancel_grace_seconds)
        self._patience = patience
        self._span = span  # of the attempt
        self._stage_span = NO_SPAN
        self._latest: bytes | None = None  # checkpoint of this run, even if it could not be stored
        self._stopwatch = _Stopwatch(claim.params.computed_steps)

    def run(self) -> None:
        """Render and publish the clip, or the requested draft. The claim is open when this returns.

        Raises GenerationFailed if the job cannot succeed, ClaimLost if another run or worker has
        it, Stopped if it is to be left unfinished.
        """
        try:
            self._finish(self._render())
            self._stopwatch.enter(None)
        finally:
            self._stage_span.end()

    def _finish(self, finished: Finished) -> None:
        """Publish the frames, then delete them."""
        self._patience.publish()
        try:
            if (step := self._claim.draft_after) is not None:
                self._persevere(lambda: self._publish_draft(finished, step))
            else:
                self._persevere(lambda: self._publish(finished))
        finally:
            finished.frames.unlink(missing_ok=True)

    @property
    def seconds_by_stage(self) -> dict[Stage, float]:
        """Seconds of the stages that ran from beginning to end."""
        return self._stopwatch.seconds

    def _render(self) -> Finished:
        failed_starts = self._claim.failed_starts
        code, cause = EngineDied.code, "The worker ended together with the engine."
        while failed_starts <= self._max_failed_starts:
            try:
                return self._persevere(self._generate)
            except EngineDied as death:
                logger.warning("job %s: %s", self._claim.job_id, death)
                code, cause = death.code, str(death)
                self._span.event("engine died", code=code)
                if isinstance(death, EngineStalled):
                    self._patience.double()
            failed_starts = self._claim.count_engine_death(code)
        raise GenerationFailed(
            code,
            f"Gave up after {self._max_failed_starts} starts in a row without a new step. {cause}",
        )

    def _generate(self) -> Finished:
        self._patience.begin()
        try:
            return self._renderer.generate(
                self._claim.params,
                self._checkpoint(),
                self._on_event,
                self._stop_requested,
                self._claim.draft_after,
                lambda: self._patience.seconds,
            )
        except GenerationFailed as failure:
            if failure.code == "disk_full":  # it may pass
                raise OSError(errno.ENOSPC, failure.message) from failure
            raise

    def _persevere(self, attempt: Callable[[], Result]) -> Result:
        return persevere(attempt, self._wait, self._publish_patience)

    def _wait(self, seconds: float) -> None:
        """Raises Stopped as soon as a stop is requested: there is no step to wait for."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            if (stop := self._stop_requested()) is not None:
                raise Stopped(stop)
            time.sleep(WAIT_TICK_SECONDS)

    def _check_deadline(self) -> None:
        """Called for each published frame. Raises Stopped when the grace of a stop is over."""
        if (stop := self._stop_requested()) is not None:
            self._deadline.heed(stop)
            if self._deadline.overdue_seconds > 0:
                raise Stopped(stop)

    def _checkpoint(self) -> bytes | None:
        if self._latest is not None:
            return self._latest
        try:
            return self._storage.get(checkpoint_key(self._claim.job_id))
        except ObjectNotFound:
            self._claim.start_over()
            return None

    def _on_event(self, event: Event) -> None:
        try:
            self._note(event)
        except ClaimLost:
            self._stop = Stop.CLAIM_LOST  # raised here, it would end the engine

    def _note(self, event: Event) -> None:
        self._patience.heed(event)
        job_id = self._claim.job_id
        match event:
            case StageStarted(Stage.DECODING) | TileFinished() if self._claim.draft_after:
                pass  # the draft is decoded, but the clip is still being denoised
            case StageStarted(stage):
                self._enter(stage)
            case Resumed(step):
                self._span.event("resumed", step=step)
                self._claim.resume_from(step)
                self._stopwatch.resume_from(step)
            case StepFinished(step, checkpoint):
                self._latest = checkpoint
                self._keep(checkpoint_key(job_id), checkpoint)
                self._stage_span.event("step", step=step)
                seconds = self._stopwatch.finish_step(step)
                expected = self._patience.expected_step_seconds
                denoising = self._stopwatch.seconds.get(Stage.DENOISING)
                self._claim.finish_step(step, seconds, expected, denoising)
            case TileFinished(tile, tiles):
                self._stage_span.event("tile", tile=tile, tiles=tiles)
                self._claim.finish_tile(tile, tiles)
            case Preview(image):
                self._keep(preview_key(job_id), image)
                self._claim.show_preview()

    def _enter(self, stage: Stage) -> None:
        self._stage_span.end()
        self._stage_span = self._span.child(SPANS[stage])
        if stage is Stage.DECODING:
            self._claim.decode()
        else:
            self._claim.enter(stage)
        self._stopwatch.enter(stage)

    def _keep(self, key: str, data: bytes) -> None:
        """Store it if possible: an older checkpoint is better than a failed job."""
        try:
            self._storage.put(key, data)
        except Exception:
            logger.warning("could not store %s; rendering continues", key, exc_info=True)

    def _stop_requested(self) -> Stop | None:
        """Why this job is to stop, if it is. The row is read every CLAIM_CHECK_SECONDS."""
        if self._is_stopping():
            return Stop.SHUTDOWN
        now = time.monotonic()
        is_due = now - self._claim_checked_at >= CLAIM_CHECK_SECONDS
        if is_due and self._stop is not Stop.CLAIM_LOST:
            self._claim_checked_at = now
            self._stop = self._claim.stop_requested()
        return self._stop

    def _publish_draft(self, finished: Finished, step: int) -> None:
        params = self._claim.params
        tags = file_tags(params, finished.decoder)
        tags |= {"draft": f"after {step} of {params.num_inference_steps} steps"}
        with TemporaryDirectory(dir=finished.frames.parent) as folder:
            shown = FrameFile(finished.frames, self._check_deadline)
            clip = media.publish(shown, params.fps, tags, Path(folder))
            self._put(DRAFT, clip.video)

    def _publish(self, finished: Finished) -> None:
        self._enter(Stage.PUBLISHING)
        job_id, params = self._claim.job_id, self._claim.params
        fast_decoder = None
        if finished.decoder == "fast":
            fast_decoder = MODELS[params.model].fast_decoder_in(self._models_dir)
        manifest = Manifest.of(
            params,
            self._model_dir,
            finished.precision,
            finished.threads,
            finished.instructions,
            finished.attention,
            finished.decoder,
            fast_decoder,
            continued=self._continued(),
        )
        tags = file_tags(params, finished.decoder) | {TAG: manifest.model_dump_json()}
        with TemporaryDirectory(dir=finished.frames.parent) as folder:
            frames = FrameFile(finished.frames, self._check_deadline)
            clip = media.publish(frames, params.fps, tags, Path(folder))
            published = PublishedManifest.about(manifest, clip.video)
            self._storage.put(manifest_key(job_id), published.model_dump_json().encode())
            self._put(THUMBNAIL, clip.thumbnail)
            self._put(ANIMATION, clip.animation)
            self._put(SPRITESHEET, clip.spritesheet)
            self._put(VIDEO, clip.video)

    def _continued(self) -> str | None:
        legs, params = self._claim.legs, self._claim.params
        if len(legs) < 2:
            return None
        return in_words(legs, params.model, params.num_inference_steps)

    def _put(self, file: ClipFile, path: Path) -> None:
        job_id = self._claim.job_id
        self._storage.put(file.key(job_id), path, file.headers(job_id))


def file_tags(params: GenerationParams, decoder: Decoder) -> dict[str, str]:
    """The MP4's tags about how it was made, and by which decoder."""
    versions = package_versions()
    return {
        "prompt": params.prompt,
        "seed": str(params.seed),
        "model": params.model,
        "steps": str(params.num_inference_steps),
        "decoder": decoder,
        "software": ", ".join(f"{name} {versions[name]}" for name in NAMED_IN_FILES),
    }


class _Stopwatch:
    """Times the stages of one attempt. Stages that were interrupted or resumed do not count."""

    def __init__(self, computed_steps: Sequence[int]) -> None:
        self.seconds: dict[Stage, float] = {}
        self._computed_steps = computed_steps
        self._first_step = 0
        self._stage: Stage | None = None
        self._entered_at = 0.0
        self._step_began_at = 0.0

    def enter(self, stage: Stage | None) -> None:
        now = self._step_began_at = time.monotonic()
        if self._stage is not None and self._stage is not Stage.DENOISING:
            self.seconds[self._stage] = now - self._entered_at
        self._stage = stage
        self._entered_at = now

    def resume_from(self, step: int) -> None:
        self._first_step = step

    def finish_step(self, step: int) -> float | None:
        """Scale the mean time of this attempt's computed steps to the whole clip.

        Returns the seconds that this step took, or None if it was predicted.
        """
        now = time.monotonic()
        seconds, self._step_began_at = now - self._step_began_at, now
        steps_seen = sum(self._first_step <= computed < step for computed in self._computed_steps)
        if steps_seen > 0:
            elapsed = now - self._entered_at
            self.seconds[Stage.DENOISING] = elapsed / steps_seen * len(self._computed_steps)
        return seconds if step - 1 in self._computed_steps else None
