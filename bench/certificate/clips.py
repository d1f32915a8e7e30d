"""Renders clips through the engine's process, as the service does, and keeps each of them.

A clip is kept under a name that depends on all that made it, and so is the checkpoint of a clip
that is not finished. A run that was killed goes on after its last step.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np

from bench.certificate.likeness import Frames
from hunyuan_runner import __version__
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.checkpoint import model_fingerprint
from hunyuan_runner.engine.messages import Event, Resumed, StepFinished, TileFinished
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.machine.host import cpu_flags, cpu_name, engine_threads
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.kernels import choose_kernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.models.folder import components
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.prompts.tokens import encoding_digest
from hunyuan_runner.quoting.estimate import Expectation, Experience, Work, expect, progress
from hunyuan_runner.quoting.profile import load_measured, rates_of
from hunyuan_runner.settings import Settings
from hunyuan_runner.studio.wording import duration
from hunyuan_runner.weights import file_sha256

REPORT_SECONDS = 30  # between two lines about one clip


class NotComputedSo(Exception):
    """The engine computed a clip in another way than it was asked for."""


@dataclass(frozen=True)
class Job:
    """A clip to render, and what it is for, in words."""

    params: GenerationParams
    precision: Precision
    purpose: str


class Clips:
    """The clips in a folder."""

    def __init__(
        self, folder: Path, model_dir: Path, model: str, fast_decoder: Path | None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        # Without the int8 form, which is made of the original ones and may be added meanwhile.
        parts = model_fingerprint(model_dir, *(f"{part}/*" for part in components(model_dir)))
        readers = MODELS[model].family.readers
        self._model = f"{parts} {encoding_digest(model_dir, readers)}"
        self._fast_decoder = file_sha256(fast_decoder) if fast_decoder else None

    def has(self, job: Job) -> bool:
        return self._path(job).exists()

    def frames(self, job: Job) -> Frames:
        with np.load(self._path(job)) as kept:
            return np.asarray(kept["frames"])

    def made(self, job: Job) -> dict[str, Any]:
        """When, on which machine and with how many threads the clip was made."""
        with np.load(self._path(job)) as kept:
            return dict(json.loads(str(kept["made"])))

    def keep(self, job: Job, frames: Frames, made: dict[str, Any]) -> None:
        unfinished = self._path(job).with_suffix(".partial")
        with unfinished.open("wb") as file:
            np.savez_compressed(file, frames=frames, made=np.array(json.dumps(made)))
        unfinished.replace(self._path(job))
        self._checkpoint(job).unlink(missing_ok=True)

    def checkpoint(self, job: Job) -> bytes | None:
        """What the clip, which is not finished, goes on from."""
        path = self._checkpoint(job)
        return path.read_bytes() if path.exists() else None

    def keep_checkpoint(self, job: Job, checkpoint: bytes) -> None:
        unfinished = self._checkpoint(job).with_suffix(".partial")
        unfinished.write_bytes(checkpoint)
        unfinished.replace(self._checkpoint(job))

    def _path(self, job: Job) -> Path:
        made_by = {
            "version": __version__,
            "model": self._model,
            "precision": job.precision,
            "params": job.params.model_dump(),
            "fast_decoder": self._fast_decoder if job.params.decoder == "fast" else None,
        }
        digest = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:20]}.npz"

    def _checkpoint(self, job: Job) -> Path:
        return self._path(job).with_suffix(".checkpoint")


class TimeLeft:
    """The time that a list of jobs still takes: by the quote, and by how wrong it was so far."""

    def __init__(self, jobs: Sequence[Job], settings: Settings) -> None:
        self._quotes = {job: _quote(job, settings) for job in jobs}
        self._left = sum(quote.total for quote in self._quotes.values())  # seconds of the quote
        self._rendered = 0.0  # of them, since the start
        self._share = 0.0  # of the job that is rendered now
        self._started = time.monotonic()

    def note(self, job: Job, event: Event) -> None:
        """Take in how far the job is."""
        match event:
            case Resumed(step):  # what was rendered before tells nothing about this machine
                self._reach(job, Stage.DENOISING, step, job.params.num_inference_steps, 0.0)
            case StepFinished(step):
                self._reach(job, Stage.DENOISING, step, job.params.num_inference_steps)
            case TileFinished(tile, tiles):
                self._reach(job, Stage.DECODING, tile, tiles)

    def end(self, job: Job) -> None:
        """Take in that the job is done."""
        self._add(job, 1 - self._share)
        self._share = 0.0

    def seconds(self) -> float:
        """Seconds until the last job is done."""
        if self._rendered == 0:
            return self._left
        return self._left * (time.monotonic() - self._started) / self._rendered

    def _reach(self, job: Job, stage: Stage, part: int, parts: int, counted: float = 1.0) -> None:
        share = progress(self._quotes[job], stage, part, parts, elapsed=0.0)
        self._add(job, share - self._share, counted)
        self._share = share

    def _add(self, job: Job, share: float, counted: float = 1.0) -> None:
        seconds = share * self._quotes[job].total
        self._left -= seconds
        self._rendered += counted * seconds


def _quote(job: Job, settings: Settings) -> Expectation:
    model = MODELS[job.params.model]
    kernels = choose_kernels(WantedKernels.of(settings), cpu_flags())
    measured = load_measured(settings)
    rates = rates_of(model, job.precision, engine_threads(settings), kernels, measured)
    return expect(Work.of(job.params, model), model, rates, Experience.of([], model, rates))


def render(jobs: Sequence[Job], clips: Clips, settings: Settings) -> None:
    """Render the jobs that the folder lacks, in this order.

    Raises NotComputedSo, and what EngineProcess.generate() raises.
    """
    missing = [job for job in jobs if not clips.has(job)]
    if len(missing) < len(jobs):
        say(f"{len(jobs) - len(missing)} of {len(jobs)} clips are there already")
    left = TimeLeft(missing, settings)
    numbers = count(1)
    for precision, alike in groupby(missing, key=lambda job: job.precision):
        with _engine(settings, precision) as engine:
            for job in alike:
                _render(engine, job, clips, left, f"clip {next(numbers)} of {len(missing)}")


@contextmanager
def _engine(settings: Settings, precision: Precision) -> Iterator[EngineProcess]:
    wanted = settings.model_copy(update={"precision": precision.value})
    engine = EngineProcess(wanted, settings.scratch_dir)
    try:
        yield engine
    finally:
        engine.close()


def _render(engine: EngineProcess, job: Job, clips: Clips, left: TimeLeft, place: str) -> None:
    started = said = time.monotonic()

    def note(event: Event) -> None:
        nonlocal said
        left.note(job, event)
        if isinstance(event, StepFinished):
            clips.keep_checkpoint(job, event.checkpoint)
            if time.monotonic() - said > REPORT_SECONDS:
                said = time.monotonic()
                steps = f"step {event.step} of {job.params.num_inference_steps}"
                say(f"{place}, {job.purpose}: {steps}, {duration(left.seconds())} left")

    finished = engine.generate(job.params, clips.checkpoint(job), note, lambda: None)
    try:
        if finished.precision != job.precision:
            raise NotComputedSo(
                f"the engine computed it in {finished.precision} instead of {job.precision}; its "
                "log says why"
            )
        made = {
            "date": str(datetime.now(UTC).date()),
            "cpu": cpu_name(),
            "threads": finished.threads,
        }
        clips.keep(job, np.load(finished.frames), made)
    finally:
        finished.frames.unlink()
    left.end(job)
    took = duration(time.monotonic() - started)
    say(f"{place}, {job.purpose}: done in {took}, {duration(left.seconds())} left")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
