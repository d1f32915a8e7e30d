"""What can be read of what happened to jobs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.job import Caller, Job
from hunyuan_runner.jobs.journal import Change, JobEvent
from hunyuan_runner.jobs.retention import expiry
from hunyuan_runner.jobs.store import JobNotFound, Jobs
from hunyuan_runner.params import Stage
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobError, JobState
from tests.jobs.conftest import clip

STATE, PROGRESS, PREVIEW = Change.STATE, Change.PROGRESS, Change.PREVIEW


@pytest.fixture
def render(jobs: Jobs, settings: Settings) -> Callable[[Job], None]:
    """Do to a job of three steps, without a model, what a worker does."""

    def render(job: Job) -> None:
        claim = Claim.next(jobs.database, "a worker")
        assert claim is not None
        assert claim.job_id == job.id
        claim.enter(Stage.DENOISING)
        for step in (1, 2, 3):
            claim.finish_step(step)
            claim.show_preview()
        claim.complete(expiry(jobs.database, settings))

    return render


Render = Callable[[Job], None]


def seen(event: JobEvent) -> tuple[Change, JobState, Stage | None, int]:
    return event.change, event.job.state, event.job.stage, event.job.step


def test_events_tell_how_the_job_was_when_they_happened(jobs: Jobs, render: Render) -> None:
    job = jobs.submit(clip(steps=3))
    render(job)
    page = jobs.events_after(0, job.id)
    running = JobState.IN_PROGRESS
    assert [seen(event) for event in page.events] == [
        (STATE, JobState.PENDING, Stage.QUEUED, 0),
        (STATE, running, Stage.LOADING, 0),
        (PROGRESS, running, Stage.DENOISING, 0),
        (PROGRESS, running, Stage.DENOISING, 1),
        (PREVIEW, running, Stage.DENOISING, 1),
        (PROGRESS, running, Stage.DENOISING, 2),
        (PREVIEW, running, Stage.DENOISING, 2),
        (PROGRESS, running, Stage.DENOISING, 3),
        (PREVIEW, running, Stage.DENOISING, 3),
        (STATE, JobState.COMPLETED, None, 3),
    ]
    *earlier, last = page.events
    assert {event.job.completed_at for event in earlier} == {None}
    assert all(event.job.eta_seconds for event in earlier)
    shares = [event.job.progress for event in page.events]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert (last.final, last.job) == (True, jobs.get(job.id))
    assert not any(event.final for event in earlier)
    numbers = [event.number for event in page.events]
    assert numbers == sorted(set(numbers))
    assert (page.number, page.has_more) == (numbers[-1], False)


def test_progress_moves_with_the_tiles_that_are_decoded(jobs: Jobs) -> None:
    large = {"width": 512, "height": 512, "num_frames": 61}
    job = jobs.submit(clip().model_copy(update=large))
    claim = Claim.next(jobs.database, "a worker")
    assert claim is not None
    claim.enter(Stage.DECODING)
    for tile in (1, 2, 3, 4):
        claim.finish_tile(tile, 4)
    claim.enter(Stage.PUBLISHING)
    page = jobs.events_after(0, job.id)
    *_, entered, first, second, third, fourth, left = (event.job.progress for event in page.events)
    assert entered < first < second < third < fourth == left < 1


def test_a_page_has_the_events_after_a_number_and_no_others(jobs: Jobs, render: Render) -> None:
    first, second = jobs.submit(clip(steps=3)), jobs.submit(clip(steps=3))
    render(first)
    everything = jobs.events_after(0).events
    assert {event.job.id for event in everything} == {first.id, second.id}
    for place, event in enumerate(everything):
        assert jobs.events_after(event.number).events == everything[place + 1 :]
    assert len(jobs.events_after(0, second.id).events) == 1
    assert jobs.events_after(0, "no-such-job").events == []


@pytest.mark.parametrize("beyond", [1, 10**15])
def test_a_page_after_the_end_is_empty_and_has_the_last_number(jobs: Jobs, beyond: int) -> None:
    empty = jobs.events_after(beyond)
    assert (empty.events, empty.number) == ([], 0)
    jobs.submit(clip())
    (event,) = jobs.events_after(0).events
    page = jobs.events_after(event.number + beyond)
    assert (page.events, page.number, page.has_more) == ([], event.number, False)


def test_a_full_page_leaves_out_progress_that_newer_progress_supersedes(
    jobs: Jobs, render: Render
) -> None:
    submitted = [jobs.submit(clip(steps=3)) for _ in range(2)]
    for job in submitted:
        render(job)
    whole = jobs.events_after(0).events
    page = jobs.events_after(0, limit=len(whole))
    assert page.has_more
    assert page.number == whole[-1].number
    assert [e for e in page.events if e.change is STATE] == [e for e in whole if e.change is STATE]
    for change in (PROGRESS, PREVIEW):
        of_this_kind = [event for event in page.events if event.change is change]
        assert [(event.job.id, event.job.step) for event in of_this_kind] == [
            (job.id, 3) for job in submitted
        ]
    assert page.events == sorted(page.events, key=lambda event: event.number)


def test_page_by_page_no_state_is_missed(jobs: Jobs, render: Render) -> None:
    for job in [jobs.submit(clip(steps=3)) for _ in range(3)]:
        render(job)
    number, has_more, seen = 0, True, []
    while has_more:
        page = jobs.events_after(number, limit=4)
        assert page.number > number or not page.has_more
        number, has_more = page.number, page.has_more
        seen += page.events
    states = [event for event in seen if event.change is STATE]
    assert states == [event for event in jobs.events_after(0).events if event.change is STATE]
    assert len(states) == 9


def test_only_the_end_that_a_retry_did_not_undo_is_final(jobs: Jobs, settings: Settings) -> None:
    job = jobs.submit(clip())
    claim = Claim.next(jobs.database, "a worker")
    assert claim is not None
    claim.fail(JobError(code="broken", message="it broke"), expiry(jobs.database, settings))
    failed = jobs.events_after(0).events[-1]
    assert (failed.final, failed.job.state) == (True, JobState.FAILED)
    assert failed.job.error == JobError(code="broken", message="it broke")

    jobs.retry(job.id)
    jobs.cancel(job.id)
    *_, failed, pending, canceled = jobs.events_after(0).events
    states = [event.job.state for event in (failed, pending, canceled)]
    assert states == [JobState.FAILED, JobState.PENDING, JobState.CANCELED]
    assert [event.final for event in (failed, pending, canceled)] == [False, False, True]
    assert pending.job.completed_at is None
    assert canceled.job == jobs.get(job.id)


def test_a_caller_sees_the_events_of_their_own_jobs(jobs: Jobs) -> None:
    ana, bo, root = Caller("ana"), Caller("bo"), Caller("root", sees_all=True)
    job = jobs.seen_by(ana).submit(clip())
    (event,) = jobs.seen_by(ana).events_after(0).events
    assert (event.owner, event.job.id) == ("ana", job.id)
    assert jobs.seen_by(root).events_after(0).events == [event]
    assert jobs.seen_by(bo).events_after(0).events == []
    assert jobs.seen_by(bo).events_after(0, job.id).events == []
    assert [caller.sees(event.owner) for caller in (ana, bo, root)] == [True, False, True]
    with pytest.raises(JobNotFound):
        jobs.seen_by(bo).latest_event(job.id)


def test_the_latest_event_is_how_the_job_is_now(jobs: Jobs, render: Render) -> None:
    job = jobs.submit(clip(steps=3))
    latest = jobs.latest_event(job.id)
    assert (latest.change, latest.final, latest.job) == (STATE, False, job)
    assert [event.number for event in jobs.events_after(0).events] == [latest.number]
    render(job)
    ended = jobs.latest_event(job.id)
    assert (ended.final, ended.job) == (True, jobs.get(job.id))
    assert jobs.events_after(ended.number).events == []


def test_what_was_deleted_is_missing_and_its_events_are_gone(jobs: Jobs) -> None:
    kept, deleted = jobs.submit(clip()), jobs.submit(clip())
    number = jobs.latest_event(deleted.id).number
    jobs.delete(deleted.id)
    assert jobs.missing({kept.id, deleted.id, "no-such-job"}) == {deleted.id, "no-such-job"}
    assert jobs.missing(set()) == set()
    assert [event.job.id for event in jobs.events_after(0).events] == [kept.id]
    jobs.cancel(kept.id)
    assert jobs.events_after(number).events[0].job.id == kept.id, "a number was given twice"
