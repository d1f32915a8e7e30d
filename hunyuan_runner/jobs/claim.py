"""One worker's hold on one job: every write to the job's row while it is rendered.

Each write names the run and the worker it comes from. If the worker was taken for dead, or the job
was canceled, the write changes nothing and raises ClaimLost.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from hunyuan_runner.engine.stop import Stop
from hunyuan_runner.jobs.database import jobs, now_ms
from hunyuan_runner.jobs.journal import Change, record, writing
from hunyuan_runner.jobs.standing import work_of
from hunyuan_runner.jobs.states import (
    CLAIM,
    COMPLETE,
    FAIL,
    HAND_BACK,
    REPORT,
    STOP_TO_PAUSE,
    Transition,
)
from hunyuan_runner.jobs.turns import FIRST, RUNNING, SAME_TURN
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.wire import JobError

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

    @classmethod
    def next(cls, database: sa.Engine, executor_id: str, *, begin: bool = True) -> Self | None:
        """Claim the next job of the queue for an idle worker; None if there is no job.

        A job that is already this worker's goes first: it could not write down how that job ended.
        Without `begin`, it is the only one that the worker takes.
        """
        if not cls.is_due(database, executor_id, begin=begin):  # idle workers ask often: no lock
            return None
        with writing(database) as connection:
            due = _due(connection, executor_id, begin)
            if due is None:
                return None
            now = now_ms()
            update = CLAIM.update(
                jobs.c.id == due.id,
                turn=due.first,
                executor_id=executor_id,
                started_at=sa.func.coalesce(jobs.c.started_at, now),
                progressed_at=now,
            )
            row = connection.execute(update).one()
            record(connection, row, Change.STATE)
        return cls(
            database=database,
            job_id=row.id,
            run=row.run,
            executor_id=executor_id,
            params=GenerationParams(**row.params),
            work=work_of(row),
            failed_starts=row.failed_starts,
            draft_after=None if row.has_draft else row.draft_steps,
        )

    @staticmethod
    def is_due(database: sa.Engine, executor_id: str, *, begin: bool = True) -> bool:
        """Whether there is a job that this worker could claim."""
        with database.connect() as connection:
            return _due(connection, executor_id, begin) is not None

    def enter(self, stage: Stage) -> None:
        self._report(stage=stage, part=0, parts=1, progressed_at=now_ms())

    def resume_from(self, step: int) -> None:
        self._report(step=step, resumed_from_step=step)

    def start_over(self) -> None:
        self._report(step=0)

    def finish_step(self, step: int) -> None:
        self._report(step=step, failed_starts=0, progressed_at=now_ms())

    def finish_tile(self, tile: int, tiles: int) -> None:
        self._report(part=tile, parts=tiles, progressed_at=now_ms())

    def count_failed_start(self) -> int:
        """The number of starts in a row that ended before a step was finished."""
        counted = self._write(REPORT, None, failed_starts=jobs.c.failed_starts + 1)
        return int(counted.failed_starts)

    def show_preview(self) -> None:
        self._write(REPORT, Change.PREVIEW, has_preview=True)

    def complete(self, expires_at: Expiry) -> None:
        self._end(COMPLETE, expires_at)

    def fail(self, error: JobError, expires_at: Expiry) -> None:
        self._end(FAIL, expires_at, error_code=error.code, error_message=error.message)

    def hand_back(self) -> None:
        """Return the job to the queue, because this worker is shutting down."""
        self._write(HAND_BACK, Change.STATE, turn=SAME_TURN)

    def pause(self) -> None:
        """Pause the job after its last step, until it is resumed."""
        self._write(STOP_TO_PAUSE, Change.STATE)

    def pause_with_draft(self) -> None:
        """Pause the job with a draft, until it is resumed."""
        self._write(STOP_TO_PAUSE, Change.STATE, has_draft=True)

    def stop_requested(self) -> Stop | None:
        """Whether the job is to stop here: PAUSE or CLAIM_LOST; None to continue."""
        row = self._patiently(sa.select(jobs.c.pausing).where(*self._mine(), RUNNING), None)
        if row is None:
            return Stop.CLAIM_LOST
        return Stop.PAUSE if row.pausing else None

    def _report(self, **values: Any) -> None:
        self._write(REPORT, Change.PROGRESS, **values)

    def _end(self, end: Transition, expires_at: Expiry, **values: Any) -> None:
        self._write(end, Change.STATE, completed_at=now_ms(), expires_at=expires_at, **values)

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            jobs.c.id == self.job_id,
            jobs.c.run == self.run,
            jobs.c.executor_id == self.executor_id,
        )

    def _write(self, transition: Transition, change: Change | None, **values: Any) -> sa.Row[Any]:
        """The row after the transition; `change` is what to record of it, if anything."""
        update = transition.update(*self._mine(), **values)
        if (row := self._patiently(update, change)) is None:
            raise ClaimLost(self.job_id)
        return row

    def _patiently(self, statement: sa.Executable, change: Change | None) -> sa.Row[Any] | None:
        """Wait for a database that restarts or has no room, rather than lose hours of rendering."""
        deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                with writing(self.database) as connection:
                    row = connection.execute(statement).first()
                    if row is not None and change is not None:
                        record(connection, row, change)
                    return row
            except JobsUnavailable as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("job %s waits for the job database: %s", self.job_id, error.reason)
                time.sleep(1)


def _due(connection: sa.Connection, executor_id: str, begin: bool) -> sa.Row[Any, Any] | None:
    """The id and the turn of the job that this worker is to render next."""
    own = sa.select(jobs.c.id, jobs.c.turn.label("first"))
    own = own.where(RUNNING, jobs.c.executor_id == executor_id)
    for query in (own, FIRST) if begin else (own,):
        if (row := connection.execute(query).first()) is not None:
            return row
    return None
