"""How jobs stand: their place in the queue, how far they are, and when they will be there."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hunyuan_runner import estimate
from hunyuan_runner.estimate import Expectation, Rate, Work
from hunyuan_runner.jobs.database import clock, jobs, now_ms, rates, time_of, workers
from hunyuan_runner.jobs.job import ENDED, Eta, Job, JobError, JobState, Webhook
from hunyuan_runner.jobs.turns import RUNNING, WAITING
from hunyuan_runner.params import GenerationParams, Stage

BEFORE_WORK = (Stage.PAUSED, Stage.QUEUED, Stage.LOADING)

_AHEAD = (
    sa.select(
        jobs.c.model,
        sa.func.count().label("jobs_ahead"),
        *(sa.func.sum(jobs.c[name]).label(name) for name in estimate.WORK_FIELDS),
    )
    .where(
        WAITING,
        sa.tuple_(jobs.c.turn, jobs.c.id) < sa.tuple_(sa.bindparam("turn"), sa.bindparam("job_id")),
    )
    .group_by(jobs.c.model)
)
_RENDERED = sa.select(jobs).where(RUNNING)
_RATES = sa.select(rates).where(rates.c.model == sa.bindparam("model"))


class Standing:
    """Describes jobs by their rows and by those around them."""

    def __init__(self, engine: sa.Engine, lease_seconds: float) -> None:
        oldest = clock(engine) - int(lease_seconds * 1000)
        self._alive = sa.select(sa.func.count()).where(workers.c.beat_at >= oldest)

    def view(self, connection: sa.Connection, row: sa.Row[Any]) -> Job:
        """The job of this row of `hunyuan_jobs`."""
        position = eta = None
        share = 1.0 if row.state == JobState.COMPLETED else 0.0
        paused = row.stage == Stage.PAUSED
        if row.state not in ENDED:
            expectation = estimate.expect(work_of(row), load_rates(connection, row.model))
            share = _progress(row, expectation)
            wait = 0.0
            if row.state == JobState.PENDING and not paused:
                position, wait = self._queue_ahead(connection, row)
            remaining = wait + expectation.total * (1 - share)
            factor = 1 + expectation.spread
            eta = None if paused else Eta(remaining / factor, remaining, remaining * factor)
        return Job(
            id=row.id,
            state=JobState(row.state),
            params=GenerationParams(**row.params),
            priority=row.priority,
            metadata=row.metadata,
            remixed_from=row.remixed_from,
            webhook=Webhook(row.webhook_url, tuple(row.webhook_events))
            if row.webhook_url
            else None,
            stage=Stage(row.stage) if row.stage and row.state not in ENDED else None,
            step=row.step,
            attempts=row.attempts,
            resumed_from_step=row.resumed_from_step,
            created_at=time_of(row.created_at),
            started_at=row.started_at and time_of(row.started_at),
            completed_at=row.completed_at and time_of(row.completed_at),
            expires_at=row.expires_at and time_of(row.expires_at),
            error=JobError(row.error_code, row.error_message) if row.error_code else None,
            has_preview=row.has_preview,
            draft_steps=row.draft_steps,
            has_draft=row.has_draft,
            pausing=row.pausing,
            queue_position=position,
            progress=share,
            eta=eta,
        )

    def _queue_ahead(self, connection: sa.Connection, row: sa.Row[Any]) -> tuple[int, float]:
        """The job's place in the queue, and the seconds until its turn."""
        ahead = connection.execute(_AHEAD, {"turn": row.turn, "job_id": row.id}).all()
        running = connection.execute(_RENDERED).all()
        seconds = 0.0
        for group in ahead:
            seconds += estimate.expect(work_of(group), load_rates(connection, group.model)).total
        for other in running:
            expectation = estimate.expect(work_of(other), load_rates(connection, other.model))
            seconds += expectation.total * (1 - _progress(other, expectation))
        position = 1 + sum(group.jobs_ahead for group in ahead)
        return position, seconds / max(self.live_workers(connection), 1)

    def live_workers(self, connection: sa.Connection) -> int:
        """How many workers showed themselves within the lease."""
        return int(connection.execute(self._alive).scalar_one())


def load_rates(connection: sa.Connection, model: str) -> dict[Stage, Rate]:
    """What this service was seen to need for each stage of `model`."""
    found = connection.execute(_RATES, {"model": model})
    return {Stage(row.stage): Rate(row.seconds_per_unit, row.spread) for row in found}


def work_of(row: sa.Row[Any]) -> Work:
    """What there is to do for a job, or for those that were summed up in this row."""
    return Work(**{name: getattr(row, name) for name in estimate.WORK_FIELDS})


def _progress(row: sa.Row[Any], expectation: Expectation) -> float:
    computed_steps = GenerationParams(**row.params).computed_steps
    elapsed = (now_ms() - (row.progressed_at or now_ms())) / 1000
    stage = Stage(row.stage) if row.stage else None
    if stage in BEFORE_WORK and row.step > 0:  # what was done before it waited still is
        stage, elapsed = Stage.DENOISING, 0.0
    part, parts = row.part, row.parts
    if stage is Stage.DENOISING:
        part, parts = sum(step < row.step for step in computed_steps), len(computed_steps)
        elapsed = elapsed if row.step in computed_steps else 0.0  # what is predicted takes no time
    return estimate.progress(expectation, stage, part, parts, max(elapsed, 0.0))
