"""The table of states: what it allows, everywhere and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim, ClaimLost
from hunyuan_runner.jobs.job import ENDED
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.retention import expiry
from hunyuan_runner.jobs.states import TRANSITIONS
from hunyuan_runner.jobs.store import JobNotFound, Jobs, WrongState
from hunyuan_runner.jobs.turns import Move
from hunyuan_runner.params import Stage
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import Folder
from hunyuan_runner.wire import JobError, JobState
from tests.jobs.conftest import clip

BROKEN = JobError(code="broken", message="it broke")


class Case:
    """A store with one job, and the worker that has or had it."""

    def __init__(self, jobs: Jobs, settings: Settings) -> None:
        self.jobs = jobs
        self.expires_at = expiry(jobs.database, settings)
        self.lease = Lease(jobs.database, settings.lease_seconds)
        self.job_id = jobs.submit(clip()).id
        self.claimed: Claim | None = None

    @property
    def claim(self) -> Claim:
        """The worker's hold on the job, if only the one that it had before."""
        if self.claimed is None:
            raise ClaimLost(self.job_id)
        return self.claimed

    def take(self) -> None:
        claim = Claim.next(self.jobs.database, "a worker")
        if claim is None:
            raise ClaimLost(self.job_id)
        self.claimed = claim

    def bring_to(self, state: JobState) -> None:
        """Put the job into this state."""
        if state is JobState.PAUSED:
            self.jobs.pause(self.job_id)
        elif state is JobState.CANCELED:
            self.jobs.cancel(self.job_id)
        elif state is not JobState.PENDING:
            self.take()
            self.claim.enter(Stage.DENOISING)
        if state is JobState.COMPLETED:
            self.claim.complete(self.expires_at)
        if state is JobState.FAILED:
            self.claim.fail(BROKEN, self.expires_at)

    def expire(self) -> None:
        with self.jobs.database.begin() as connection:
            connection.execute(sa.update(database.jobs).values(expires_at=1))
        self.jobs.delete_expired()

    @property
    def state(self) -> JobState | None:
        """None once it is deleted."""
        try:
            return self.jobs.get(self.job_id).state
        except JobNotFound:
            return None


ACTIONS: dict[str, Callable[[Case], object]] = {
    "pause": lambda case: case.jobs.pause(case.job_id),
    "move": lambda case: case.jobs.move(case.job_id, Move.FIRST),
    "resume": lambda case: case.jobs.resume(case.job_id),
    "cancel": lambda case: case.jobs.cancel(case.job_id),
    "retry": lambda case: case.jobs.retry(case.job_id),
    "delete": lambda case: case.jobs.delete(case.job_id),
    "claim": lambda case: case.take(),
    "report progress": lambda case: case.claim.finish_step(1),
    "stop to pause": lambda case: case.claim.pause(),
    "hand back": lambda case: case.claim.hand_back(),
    "complete": lambda case: case.claim.complete(case.expires_at),
    "fail": lambda case: case.claim.fail(BROKEN, case.expires_at),
    "take over": lambda case: case.lease.take_over(),
    "expire": lambda case: case.expire(),
}
EVENTS = {transition.event for transition in TRANSITIONS} - {"submit"}


def targets(state: JobState, event: str) -> set[JobState | None]:
    """The states that the table leads to from this one; the same if it allows nothing."""
    allowed = [each for each in TRANSITIONS if each.event == event and state in each.sources]
    return {target for each in allowed for target in each.targets or (None,)} or {state}


def test_every_event_of_the_table_is_tried() -> None:
    assert ACTIONS.keys() == EVENTS


@pytest.mark.parametrize("state", JobState)
def test_an_event_leads_where_the_table_says_and_nowhere_else(
    state: JobState, jobs: Jobs, settings: Settings
) -> None:
    for event, act in ACTIONS.items():
        case = Case(jobs, settings)
        case.bring_to(state)
        assert case.state is state
        with suppress(WrongState, ClaimLost):
            act(case)
        assert case.state in targets(state, event), event
        if case.state is not None:
            with suppress(WrongState):
                jobs.cancel(case.job_id)
            jobs.delete(case.job_id)


def test_a_job_that_is_pausing_pauses_when_it_is_handed_back_or_taken_over(
    jobs: Jobs, settings: Settings
) -> None:
    for event in ("hand back", "take over"):
        case = Case(jobs, settings)
        case.bring_to(JobState.IN_PROGRESS)
        assert jobs.pause(case.job_id).pausing
        ACTIONS[event](case)
        job = jobs.get(case.job_id)
        assert (job.state, job.stage, job.pausing) == (JobState.PAUSED, Stage.PAUSED, False)


@pytest.mark.parametrize("end", ["cancel", "complete", "fail"])
def test_a_job_that_ends_before_its_pause_is_pausing_no_more(
    end: str, jobs: Jobs, settings: Settings
) -> None:
    case = Case(jobs, settings)
    case.bring_to(JobState.IN_PROGRESS)
    jobs.pause(case.job_id)
    ACTIONS[end](case)
    job = jobs.get(case.job_id)
    assert (job.state in ENDED, job.pausing) == (True, False)


def test_a_job_that_is_retried_as_it_expires_is_kept(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sweeper deletes one after the other; the second is retried after the first."""
    first, second = (jobs.submit(clip()).id for _ in range(2))
    for job_id in (first, second):
        jobs.cancel(job_id)
    with jobs.database.begin() as connection:
        connection.execute(sa.update(database.jobs).values(expires_at=1))
    delete_files = Folder.delete_prefix

    def delete_then_retry(storage: Folder, prefix: str) -> None:
        delete_files(storage, prefix)
        for job_id in (first, second):
            with suppress(JobNotFound, WrongState):
                jobs.retry(job_id)

    monkeypatch.setattr(Folder, "delete_prefix", delete_then_retry)
    jobs.delete_expired()
    (kept,) = jobs.list().jobs
    assert kept.state is JobState.PENDING
