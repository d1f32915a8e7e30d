"""One worker's hold on one job: every write to the job's row while it is rendered.

Each write names the run and the worker it comes from. A worker that was taken for dead and comes
back, or whose job was canceled meanwhile, changes nothing and learns so.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Self

import sqlalchemy as sa

from hunyuan_runner.engine.stop import Stop
from hunyuan_runner.jobs.database import jobs, now_ms
from hunyuan_runner.jobs.job import JobError, JobState
from hunyuan_runner.jobs.journal import Change, record, writing
from hunyuan_runner.jobs.opening import reason_of
from hunyuan_runner.jobs.standing import work_of
from hunyuan_runner.jobs.turns import FIRST, HANDED_BACK, RUNNING
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.quoting.estimate import Work

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
    failed_starts: int  # in a row, this one counted in until it gets somewhere
    draft_after: int | None  # the step behind which a draft is asked for, and not there yet

    @classmethod
    def next(cls, database: sa.Engine, executor_id: str) -> Self | None:
        """The claim of a worker that is idle on the job whose turn it is, if any waits.

        A job that is its own by now is one whose end it could not write down: it goes on with it.
        """
        if not cls.is_due(database, executor_id):  # idle workers look all the time: without a lock
            return None
        with writing(database) as connection:
            due = _due(connection, executor_id)
            if due is None:
                return None
            now = now_ms()
            update = (
                sa.update(jobs)
                .where(jobs.c.id == due.id)
                .values(
                    turn=due.first,
                    state=JobState.IN_PROGRESS,
                    executor_id=executor_id,
                    attempts=jobs.c.attempts + 1,
                    failed_starts=jobs.c.failed_starts + 1,
                    started_at=sa.func.coalesce(jobs.c.started_at, now),
                    progressed_at=now,
                    stage=Stage.LOADING,
                )
                .returning(jobs)
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
    def is_due(database: sa.Engine, executor_id: str) -> bool:
        """Whether there is a job that this worker could claim."""
        with database.connect() as connection:
            return _due(connection, executor_id) is not None

    def enter(self, stage: Stage) -> None:
        self._write(Change.PROGRESS, stage=stage, part=0, parts=1, progressed_at=now_ms())

    def resume_from(self, step: int) -> None:
        self._write(Change.PROGRESS, step=step, resumed_from_step=step)

    def start_over(self) -> None:
        self._write(Change.PROGRESS, step=0)

    def finish_step(self, step: int) -> None:
        self._write(Change.PROGRESS, step=step, failed_starts=0, progressed_at=now_ms())

    def finish_tile(self, tile: int, tiles: int) -> None:
        self._write(Change.PROGRESS, part=tile, parts=tiles, progressed_at=now_ms())

    def count_failed_start(self) -> int:
        """How often in a row a start has now ended before its next step."""
        counted = self._write(None, failed_starts=jobs.c.failed_starts + 1)
        return int(counted.failed_starts)

    def show_preview(self) -> None:
        self._write(Change.PREVIEW, has_preview=True)

    def complete(self, expires_at: Expiry) -> None:
        self._end(JobState.COMPLETED, expires_at)

    def fail(self, error: JobError, expires_at: Expiry) -> None:
        self._end(JobState.FAILED, expires_at, error_code=error.code, error_message=error.message)

    def hand_back(self) -> None:
        """Return the job to the queue: this worker is being shut down, through no fault of it."""
        self._write(Change.STATE, **HANDED_BACK, failed_starts=0)

    def pause(self) -> None:
        """Leave the job where it is until somebody resumes it."""
        self._pause(has_draft=jobs.c.has_draft)

    def pause_with_draft(self) -> None:
        """Leave the job where it is until somebody has looked at its draft and resumes it."""
        self._pause(has_draft=True)

    def stop_requested(self) -> Stop | None:
        """Whether the job is to stop here: PAUSE or CLAIM_LOST; None to continue."""
        row = self._patiently(sa.select(jobs.c.pausing).where(*self._mine()), None)
        if row is None:
            return Stop.CLAIM_LOST
        return Stop.PAUSE if row.pausing else None

    def _pause(self, **values: Any) -> None:
        self._write(
            Change.STATE,
            state=JobState.PENDING,
            stage=Stage.PAUSED,
            executor_id=None,
            pausing=False,
            failed_starts=0,
            **values,
        )

    def _end(self, state: JobState, expires_at: Expiry, **values: Any) -> None:
        self._write(
            Change.STATE,
            state=state,
            executor_id=None,
            completed_at=now_ms(),
            expires_at=expires_at,
            **values,
        )

    def _mine(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            jobs.c.id == self.job_id,
            jobs.c.run == self.run,
            jobs.c.executor_id == self.executor_id,
            jobs.c.state == JobState.IN_PROGRESS,
        )

    def _write(self, change: Change | None, **values: Any) -> sa.Row[Any]:
        """The row, changed; `change` is what it is to the outside, if anything."""
        update = sa.update(jobs).where(*self._mine()).values(**values).returning(jobs)
        if (row := self._patiently(update, change)) is None:
            raise ClaimLost(self.job_id)
        return row

    def _patiently(self, statement: sa.Executable, change: Change | None) -> sa.Row[Any] | None:
        """Wait for a database that is restarting or full, rather than lose hours of rendering."""
        deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            try:
                with writing(self.database) as connection:
                    row = connection.execute(statement).first()
                    if row is not None and change is not None:
                        record(connection, row, change)
                    return row
            except sa.exc.OperationalError as error:
                if time.monotonic() > deadline:
                    raise
                reason = reason_of(error)
                logger.warning("job %s: the database does not answer: %s", self.job_id, reason)
                time.sleep(1)


def _due(connection: sa.Connection, executor_id: str) -> sa.Row[Any, Any] | None:
    """The id and the turn of the job that this worker is to render next."""
    own = sa.select(jobs.c.id, jobs.c.turn.label("first"))
    own = own.where(RUNNING, jobs.c.executor_id == executor_id)
    for query in (own, FIRST):
        if (row := connection.execute(query).first()) is not None:
            return row
    return None
