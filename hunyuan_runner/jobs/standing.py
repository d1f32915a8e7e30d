"""Makes jobs from their rows: their place in the queue, their progress and their ETA."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from hunyuan_runner.catalogue import MODELS, FastDecoder, download_command
from hunyuan_runner.jobs.capacity import Load
from hunyuan_runner.jobs.database import clock, jobs, now_ms, workers
from hunyuan_runner.jobs.forecast import Forecast
from hunyuan_runner.jobs.job import ENDED, Job, Webhook
from hunyuan_runner.jobs.legs import continued_elsewhere, legs_of
from hunyuan_runner.jobs.places import Place, ahead_of, places_of, queued_by_model
from hunyuan_runner.jobs.turns import RUNNING
from hunyuan_runner.machine.disk import Room, amount
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting import estimate
from hunyuan_runner.quoting.estimate import Expectation, Range, Work
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import ClipWarning, JobError, JobState

NO_WORKER = ClipWarning(
    code="no_worker",
    message="No worker is running, so nothing is rendered. The times count from when one starts. "
    "If none does within a minute, look at the service's log, or start one with "
    "`bentoml serve service:HunyuanRunner`.",
)


def no_runner_for(model_id: str) -> ClipWarning:
    return ClipWarning(
        code="no_worker",
        message=f"No runner that is running has the model {model_id}, so this job waits until one "
        f"starts that has it. On its machine: {download_command(model_id)}",
    )


def no_runner_with(decoder: FastDecoder, model_id: str) -> ClipWarning:
    return ClipWarning(
        code="no_worker",
        message=f"No runner that is running has the fast decoder for {model_id}, so this job waits "
        f"until one starts that has it. On its machine: {download_command(decoder.id)}",
    )


BEFORE_WORK = (Stage.PAUSED, Stage.QUEUED, Stage.LOADING)

_RENDERED = sa.select(jobs).where(RUNNING)
_COLUMNS = [name for name in jobs.c.keys() if name in Job.model_fields]  # noqa: SIM118


def no_room(room: Room) -> ClipWarning:
    """For a job that waits for room on a disk."""
    return ClipWarning(
        code="disk_low",
        message=f"The disk of the data folder has {amount(room.free)} left, and no job from "
        f"the queue begins until it has {amount(room.needed_to_begin)}. Delete jobs that have "
        "ended, or other files.",
    )


class Standing:
    """Makes jobs from their rows and from those of the other jobs."""

    def __init__(self, database: sa.Engine, settings: Settings) -> None:
        self._settings = settings
        now, lease_ms = clock(database), int(settings.lease_seconds * 1000)
        # A time in the future was written before the clock was set back.
        self._alive = workers.c.beat_at.between(now - lease_ms, now + lease_ms)

    def views(self, connection: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[Job]:
        """The jobs of these rows of `hunyuan_jobs`, in their order."""
        if all(row.state in ENDED for row in rows):
            return [_view(row) for row in rows]
        forecast = self.forecast(connection)
        waiting = [row for row in rows if _waits(row)]
        if not waiting:
            return [_view(row, forecast) for row in rows]
        places = places_of(connection, waiting)
        ahead = self.ahead_of(connection, forecast, places)
        of_row = dict(zip(map(id, waiting), places, strict=True))
        warnings = self._warnings(connection)
        views = []
        for row in rows:
            if (place := of_row.get(id(row))) is None:
                views.append(_view(row, forecast))
            else:
                lacking = warnings or _lacking(row, forecast)
                views.append(_view(row, forecast, *ahead[place], lacking))
        return views

    def view(self, connection: sa.Connection, row: sa.Row[Any]) -> Job:
        """The job of this row of `hunyuan_jobs`."""
        return self.views(connection, [row])[0]

    def ahead_of(
        self, connection: sa.Connection, forecast: Forecast, places: Sequence[Place]
    ) -> Mapping[Place, tuple[int, float]]:
        """By place: its position in the queue (1 is next), and the seconds until its turn."""
        remaining = list(_remaining(connection, forecast))
        running = sum(seconds for _, seconds in remaining)
        rendered = {model for model, _ in remaining}
        at_once = max(self.live_workers(connection), 1)
        found = {}
        for place, sums in ahead_of(connection, places).items():
            position = 1 + sum(group.jobs for group in sums.values())
            waiting = 0.0
            for model, group in sums.items():
                expectation = forecast.expect(group.work, model)
                # The first job of a model loads it, unless one that is rendered does.
                waiting += expectation.total + expectation.loading * (model not in rendered)
            found[place] = position, (running + waiting) / at_once
        return found

    def _warnings(self, connection: sa.Connection) -> tuple[ClipWarning, ...]:
        """Why no job from the queue begins, if none does."""
        if not self.live_workers(connection):
            return (NO_WORKER,)
        room = self.room()
        return () if room is None or room.begins_jobs else (no_room(room),)

    def room(self) -> Room | None:
        """The room for jobs and their files on this machine; None if they are kept elsewhere."""
        settings = self._settings
        shared = settings.database_url is not None and settings.storage_url is not None
        return None if shared else Room.of(settings)

    def loads(self, connection: sa.Connection, forecast: Forecast) -> dict[str, Load]:
        """The queued jobs and those being rendered, by model."""
        loads: defaultdict[str, Load] = defaultdict(Load)
        for model, group in queued_by_model(connection).items():
            loads[model] += Load(group.jobs, forecast.expect(group.work, model).total)
        for model, seconds in _remaining(connection, forecast):
            loads[model] += Load(remaining=(seconds,))
        return loads

    def forecast(self, connection: sa.Connection) -> Forecast:
        return Forecast.load(connection, self._alive, lambda: self._this_machine)

    @cached_property
    def _this_machine(self) -> Profile:
        return Profile.of_this_machine(self._settings)

    def live_workers(self, connection: sa.Connection) -> int:
        """How many workers sent a heartbeat within the lease."""
        count = sa.select(sa.func.count()).where(self._alive)
        return int(connection.execute(count).scalar_one())


def _remaining(connection: sa.Connection, forecast: Forecast) -> Iterator[tuple[str, float]]:
    """The model of each job that is rendered now, and the seconds that it will still take."""
    for row in connection.execute(_RENDERED):
        yield (
            row.model,
            _left(row, forecast.expect(work_of(row), row.model, row.executor_id)).expected,
        )


def _lacking(row: sa.Row[Any], forecast: Forecast) -> tuple[ClipWarning, ...]:
    """What no live runner has of that which this job needs."""
    if not forecast.has(row.model):
        return (no_runner_for(row.model),)
    needs_fast_decoder = row.params.get("decoder") == "fast"
    decoder = MODELS[row.model].fast_decoder
    if needs_fast_decoder and decoder and not forecast.has_fast_decoder(row.model):
        return (no_runner_with(decoder, row.model),)
    return ()


def _waits(row: sa.Row[Any]) -> bool:
    return bool(row.state == JobState.PENDING)


def _view(
    row: sa.Row[Any],
    forecast: Forecast | None = None,
    position: int | None = None,
    wait: float = 0.0,
    warnings: tuple[ClipWarning, ...] = (),
) -> Job:
    """The job of this row. `wait` is in seconds; `warnings` are added to the job's own.

    `forecast` may be None for a job that has ended.
    """
    ended = row.state in ENDED
    progress = 1.0 if row.state == JobState.COMPLETED else 0.0
    eta = None
    if not ended:
        assert forecast is not None
        expectation = forecast.expect(work_of(row), row.model, row.executor_id)
        progress = _progress(row, expectation)
        if row.state != JobState.PAUSED:
            eta = _left(row, expectation, wait, position or 1)
    steps = row.params["num_inference_steps"]
    continued = continued_elsewhere(legs_of(row), row.model, steps)
    columns = {name: getattr(row, name) for name in _COLUMNS}
    return Job(
        **columns
        | {
            "job_id": row.id,
            "status": row.state,
            "progress": progress,
            "stage": None if ended else row.stage,
            "num_inference_steps": steps,
            "queue_position": position,
            "eta_seconds": eta and vars(eta),
            "webhook": _webhook(row),
            "error": _error(row),
            "warnings": (*(row.warnings or ()), *continued, *warnings),
        }
    )


def _webhook(row: sa.Row[Any]) -> Webhook | None:
    if row.webhook_url is None:
        return None
    return Webhook(row.webhook_url, tuple(row.webhook_events), row.webhook_base or "")


def _error(row: sa.Row[Any]) -> JobError | None:
    return JobError(code=row.error_code, message=row.error_message) if row.error_code else None


def work_of(row: sa.Row[Any]) -> Work:
    """The work of a job, or of the jobs that this row sums up."""
    return Work(**{name: getattr(row, name) for name in estimate.WORK_FIELDS})


def _left(
    row: sa.Row[Any], expectation: Expectation, wait: float = 0.0, position: int = 1
) -> Range:
    """The seconds until the job of this row is done, if its turn comes after `wait`."""
    loading = 0.0 if wait else _loading_left(row, expectation)  # the jobs that go first load it
    if row.denoising_seconds:
        steps = sum(step < row.step for step in GenerationParams(**row.params).computed_steps)
        expectation = expectation.after(max(steps, 1), row.denoising_seconds)
    seconds = wait + loading + expectation.total * (1 - _progress(row, expectation))
    return expectation.range(seconds, position)


def _loading_left(row: sa.Row[Any], expectation: Expectation) -> float:
    """The seconds until the job of this row begins or goes on, once it is its turn."""
    if row.stage not in (None, *BEFORE_WORK):
        return 0.0
    elapsed = _elapsed(row) if row.stage == Stage.LOADING else 0.0
    return max(0.0, expectation.loading - elapsed)


def _elapsed(row: sa.Row[Any]) -> float:
    """Seconds since the job of this row last reported something; 0 if the clock was set back."""
    return max(0.0, (now_ms() - (row.progressed_at or now_ms())) / 1000)


def _progress(row: sa.Row[Any], expectation: Expectation) -> float:
    computed_steps = GenerationParams(**row.params).computed_steps
    elapsed = _elapsed(row)
    stage = Stage(row.stage) if row.stage else None
    if stage in BEFORE_WORK and row.step > 0:  # it continues from that step
        stage, elapsed = Stage.DENOISING, 0.0
    part, parts = row.part, row.parts
    if stage is Stage.DENOISING:
        part, parts = sum(step < row.step for step in computed_steps), len(computed_steps)
        elapsed = elapsed if row.step in computed_steps else 0.0  # a predicted step takes no time
    return estimate.progress(expectation, stage, part, parts, elapsed)
