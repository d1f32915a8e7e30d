"""One worker's hold on one job: every write to the job's row while it is rendered.

Each write names the run and the worker it comes from. If the worker was taken for dead, or the job
was canceled, the write changes nothing and raises ClaimLost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import sqlalchemy as sa

from hunyuan_runner.engine.stop import Stop
from hunyuan_runner.jobs import tallies
from hunyuan_runner.jobs.database import events, jobs, now_ms
from hunyuan_runner.jobs.journal import Change, record, writing
from hunyuan_runner.jobs.legs import Leg, extended, legs_of
from hunyuan_runner.jobs.skills import Skills
from hunyuan_runner.jobs.standing import work_of
from hunyuan_runner.jobs.states import (
    CLAIM,
    COMPLETE,
    FAIL,
    HAND_BACK,
    PENDING,
    REPORT,
    STOP_TO_PAUSE,
    Transition,
)
from hunyuan_runner.jobs.turns import FIRST, RUNNING, SAME_TURN, first_for
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.wire import JobError

Notes = Sequence[tallies.Note]
Expiry = int | sa.ColumnElement[int]  # in milliseconds since the epoch

DATABASE_PATIENCE_SECONDS = 120

logger = logging.getLogger(__name__)


class ClaimLost(Exception):
    """The job was canceled, or taken over by another worker."""


@dataclass(frozen=True)
class Claim:
    """The right of the worker `executor_id` to render one run of one job."""

    database: sa.Engine
    job_id: str
    run: int
    executor_id: str
    params: GenerationParams
    work: Work
    failed_starts: int  # in a row, this one included until it finishes a step
    draft_after: int | None  # the step after which to make a draft; None if it has one
    attempt: int  # of the job, from 1
    queued_at: int  # when it was queued for this attempt, in milliseconds since the epoch
    request_id: str | None  # of the request that submitted the job
    traceparent: str | None  # of its trace
    path: str | None = None  # on which the worker computes it: skills.path_of
    legs: list[Leg] = field(default_factory=list)  # those that are computed

    @classmethod
    def next(
        cls,
        database: sa.Engine,
        executor_id: str,
        skills: Skills | None = None,
        *,
        begin: bool = True,
    ) -> Self | None:
        """Claim the next job of the queue that an idle worker may render; None if there is none.

        A job that is already this worker's goes first: it could not write down how that job ended.
        Without `begin`, it is the only one that the worker takes. With `skills`, it takes others
        only while it has a lease: if it lost that, others would take the job from it at once.
        """
        if not cls.is_due(database, executor_id, skills, begin=begin):
            return None  # idle workers ask often: no lock
        with writing(database) as connection:
            due = _due(connection, executor_id, skills, begin)
            if due is None:
                return None
            now = now_ms()
            update = CLAIM.update(
                jobs.c.id == due.id,
                turn=due.first,
                executor_id=executor_id,
                started_at=sa.func.coalesce(jobs.c.started_at, now),
                progressed_at=now,
                denoising_seconds=None,
            )
            row = connection.execute(update).one()
            record(connection, row, Change.STATE)
            tallies.add(connection, tallies.of_start(row))
            queued_at = row.created_at if row.attempts == 1 else _queued_at(connection, row.id)
        return cls(
            database=database,
            job_id=row.id,
            run=row.run,
            executor_id=executor_id,
            params=GenerationParams(**row.params),
            work=work_of(row),
            failed_starts=row.failed_starts,
            draft_after=None if row.has_draft else row.draft_steps,
            attempt=row.attempts,
            queued_at=queued_at,
            request_id=row.request_id,
            traceparent=row.traceparent,
            path=None if skills is None else skills.path(row.model),
            legs=list(legs_of(row)),
        )

    @staticmethod
    def is_due(
        database: sa.Engine, executor_id: str, skills: Skills | None = None, *, begin: bool = True
    ) -> bool:
        """Whether there is a job that this worker could claim."""
        with database.connect() as connection:
            return _due(connection, executor_id, skills, begin) is not None

    def enter(self, stage: Stage) -> None:
        self._advance(stage=stage, part=0, parts=1)

    def decode(self) -> None:
        """Enter the stage in which the clip is decoded, which is not its draft."""
        legs = self._legs_after(self.params.num_inference_steps + 1)
        self._advance(stage=Stage.DECODING, part=0, parts=1, **legs)

    def resume_from(self, step: int) -> None:
        self._report([tallies.RESUMES.of(self.model)], step=step, resumed_from_step=step)

    def start_over(self) -> None:
        self.legs.clear()
        self._report(step=0, path=None, legs=None)

    def finish_step(
        self,
        step: int,
        seconds: float | None = None,
        expected_seconds: float = 0.0,
        denoising_seconds: float | None = None,
    ) -> None:
        """`seconds`: what the step took; None if it was predicted, which takes no time.

        `denoising_seconds`: what all steps take, by those of this attempt.
        """
        timed: Notes = ()
        if seconds is not None:
            quoted = tallies.STEP_QUOTED.of(self.model, amount=expected_seconds)
            timed = (tallies.STEP.of(self.model, seconds), quoted)
        values = {"step": step, "failed_starts": 0, "path": self.path, **self._legs_after(step)}
        self._advance(timed, **values, denoising_seconds=denoising_seconds)

    def finish_tile(self, tile: int, tiles: int) -> None:
        self._advance(part=tile, parts=tiles)

    def count_engine_death(self, code: str) -> int:
        """The number of starts in a row that ended before a step was finished, with this one."""
        died = [tallies.ENGINE_DEATHS.of(self.model, code)]
        row = self._write(REPORT, None, died, failed_starts=jobs.c.failed_starts + 1)
        return int(row.failed_starts)

    def show_preview(self) -> None:
        self._write(REPORT, Change.PREVIEW, has_preview=True)

    def complete(self, expires_at: Expiry, expected_seconds: float = 0.0) -> None:
        """`expected_seconds`: what rendering the whole clip was expected to take."""
        quoted = tallies.RENDER_QUOTED.of(self.model, amount=expected_seconds)
        self._end(COMPLETE, expires_at, notes=[quoted])

    def fail(self, error: JobError, expires_at: Expiry) -> None:
        self._end(FAIL, expires_at, error_code=error.code, error_message=error.message)

    def hand_back(self) -> None:
        """Return the job to the queue, because this worker is shutting down."""
        self._let_go(HAND_BACK, turn=SAME_TURN)

    def pause(self) -> None:
        """Pause the job after its last step, until it is resumed."""
        self._let_go(STOP_TO_PAUSE)

    def pause_with_draft(self) -> None:
        """Pause the job with a draft, until it is resumed."""
        self._let_go(STOP_TO_PAUSE, has_draft=True)

    def stop_requested(self) -> Stop | None:
        """Whether the job is to stop here: PAUSE or CLAIM_LOST; None to continue."""
        row = self._patiently(sa.select(jobs.c.pausing).where(*self._mine(), RUNNING))
        if row is None:
            return Stop.CLAIM_LOST
        return Stop.PAUSE if row.pausing else None

    @property
    def model(self) -> str:
        return self.params.model

    def _legs_after(self, step: int) -> dict[str, Any]:
        """The column `legs`, now that this worker has computed a step."""
        if self.path is not None:
            self.legs[:] = extended(self.legs, step, self.path)
        return {"legs": self.legs or None}

    def _advance(self, notes: Notes = (), **values: Any) -> None:
        now = now_ms()
        values |= {"progressed_at": now, "rendered_ms": _rendered_by(now)}
        self._report([tallies.PROGRESS.of(self.model), *notes], **values)

    def _report(self, notes: Notes = (), **values: Any) -> None:
        self._write(REPORT, Change.PROGRESS, notes, **values)

    def _end(self, end: Transition, expires_at: Expiry, **values: Any) -> None:
        self._let_go(end, completed_at=now_ms(), expires_at=expires_at, **values)

    def _let_go(self, transition: Transition, notes: Notes = (), **values: Any) -> None:
        self._write(transition, Change.STATE, notes, rendered_ms=_rendered_by(now_ms()), **values)

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            jobs.c.id == self.job_id,
            jobs.c.run == self.run,
            jobs.c.executor_id == self.executor_id,
        )

    def _write(
        self, transition: Transition, change: Change | None, notes: Notes = (), **values: Any
    ) -> sa.Row[Any]:
        """The row after the transition; `change` is what to record of it, if anything."""
        update = transition.update(*self._mine(), **values)
        if (row := self._patiently(update, change, notes)) is None:
            raise ClaimLost(self.job_id)
        return row

    def _patiently(
        self, statement: sa.Executable, change: Change | None = None, notes: Notes = ()
    ) -> sa.Row[Any] | None:
        """Wait for a database that restarts or has no room, rather than lose hours of rendering."""
        deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                with writing(self.database) as connection:
                    row = connection.execute(statement).first()
                    if row is not None and change is not None:
                        record(connection, row, change)
                    if row is not None:
                        tallies.add(connection, notes)
                    return row
            except JobsUnavailable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("job %s waits for the job database: %s", self.job_id, error.reason)
                time.sleep(1)


def _rendered_by(now: int) -> sa.ColumnElement[int]:
    """The job's `rendered_ms`, with the time since its last progress."""
    since = sa.case((jobs.c.progressed_at < now, now - jobs.c.progressed_at), else_=0)
    return jobs.c.rendered_ms + since


_OWN = sa.select(jobs.c.id, jobs.c.turn.label("first")).where(
    RUNNING, jobs.c.executor_id == sa.bindparam("executor_id")
)


def _queued_at(connection: sa.Connection, job_id: str) -> int:
    queued = (events.c.job_id == job_id, events.c.state == PENDING)
    return int(connection.execute(sa.select(sa.func.max(events.c.at)).where(*queued)).scalar_one())


def _due(
    connection: sa.Connection, executor_id: str, skills: Skills | None, begin: bool
) -> sa.Row[Any, Any] | None:
    """The id and the turn of the job that this worker is to render next."""
    first = FIRST if skills is None else first_for(skills)
    for query in (_OWN, first) if begin else (_OWN,):
        if (row := connection.execute(query, {"executor_id": executor_id}).first()) is not None:
            return row
    return None
