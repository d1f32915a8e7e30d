"""What can be done to jobs that no worker has touched."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.database import reading
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.journal import record, writing
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import (
    JobNotFound,
    Jobs,
    KeyReused,
    QueueFull,
    Submission,
    WrongState,
)
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import DataFolderUnusable, prepare_data_folder
from hunyuan_runner.storage.keys import checkpoint_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import ObjectNotFound
from hunyuan_runner.wire import ClipWarning, JobState
from tests.jobs.conftest import LEASE_SECONDS, clip


def test_a_submitted_job_is_pending_with_everything_it_was_given(jobs: Jobs) -> None:
    params = clip("a blue square")
    job = jobs.submit(params, priority=3, metadata={"order": "17"})
    assert job == jobs.get(job.id)
    assert job.state is JobState.PENDING
    assert job.stage is Stage.QUEUED
    assert (job.params, job.priority, job.metadata) == (params, 3, {"order": "17"})
    assert (job.progress, job.queue_position) == (0.0, 1)
    assert job.eta_seconds is not None
    assert 0 < job.eta_seconds.low < job.eta_seconds.expected < job.eta_seconds.high


def test_a_job_survives_the_process_that_took_it(settings: Settings) -> None:
    first = Jobs(settings)
    job = first.submit(clip())
    first.close()
    second = Jobs(settings)
    assert second.get(job.id).params == job.params
    second.close()


def test_what_another_process_does_to_a_job_is_seen_at_once(settings: Settings) -> None:
    ours, theirs = Jobs(settings), Jobs(settings)
    job_id = ours.submit(clip()).id
    next_one = ours.submit(clip()).id
    for act, state, position in (
        (theirs.pause, JobState.PAUSED, 1),
        (theirs.resume, JobState.PENDING, 1),
        (theirs.cancel, JobState.CANCELED, 1),
        (theirs.retry, JobState.PENDING, 1),
    ):
        ours.get(job_id)
        act(job_id)
        assert ours.get(job_id).state is state
        assert ours.get(next_one).queue_position == position
    assert ours.get(job_id).queue_position == 2
    theirs.delete(job_id)
    with pytest.raises(JobNotFound):
        ours.get(job_id)
    for store in (ours, theirs):
        store.close()


def test_what_was_warned_of_stays_with_the_job(jobs: Jobs, settings: Settings) -> None:
    Lease(jobs.database, settings.lease_seconds).renew(Profile.of_this_machine(settings))
    warnings = (ClipWarning(code="unknown_words", message="«dog» is unknown"),)
    job = jobs.submit(clip(), warnings=warnings)
    assert job.warnings == jobs.get(job.id).warnings == warnings
    jobs.cancel(job.id)
    assert jobs.retry(job.id).warnings == warnings
    assert jobs.submit(clip()).warnings == ()


def test_who_waits_is_warned_while_no_worker_is_there(jobs: Jobs, settings: Settings) -> None:
    rendered, paused, canceled, waiting = (jobs.submit(clip()).id for _ in range(4))
    assert Claim.next(jobs.database, "a worker that just died") is not None
    jobs.pause(paused)
    jobs.cancel(canceled)

    def warned() -> set[str]:
        found = {job.id: [warning.code for warning in job.warnings] for job in jobs.list().jobs}
        assert found[rendered] == found[paused] == found[canceled] == []
        return {job_id for job_id, codes in found.items() if codes == ["no_worker"]}

    assert warned() == {waiting}
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(Profile.of_this_machine(settings))
    assert warned() == set()
    lease.release()
    assert warned() == {waiting}


def test_a_submission_repeated_many_times_at_once_is_one_job(jobs: Jobs) -> None:
    submission = Submission("order 17", "red circle")
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: jobs.submit(clip(), submission=submission), range(8)))
    assert len({job.id for job in found}) == 1
    assert jobs.counts()[JobState.PENDING] == 1


def test_a_key_belongs_to_one_request_until_its_job_is_deleted(jobs: Jobs) -> None:
    job = jobs.submit(clip(), submission=Submission("order 17", "red circle"))
    other = Submission("order 17", "blue circle")
    with pytest.raises(KeyReused):
        jobs.submit(clip(), submission=other)
    assert jobs.counts()[JobState.PENDING] == 1
    jobs.delete(job.id)
    assert jobs.submit(clip(), submission=other).id != job.id


def test_a_submission_to_an_earlier_version_is_known(jobs: Jobs) -> None:
    before = jobs.submit(clip(), submission=Submission("order 17", "as it was put then"))
    again = Submission("order 17", "red circle", former_fingerprint="as it was put then")
    assert jobs.submit(clip(), submission=again).id == before.id
    with pytest.raises(KeyReused):
        jobs.submit(clip(), submission=Submission("order 17", "red circle"))


def test_the_queue_goes_by_priority_then_by_time(jobs: Jobs) -> None:
    first, urgent, second = (jobs.submit(clip(), priority=p).id for p in (0, 5, 0))
    places = {job_id: jobs.get(job_id).queue_position for job_id in (first, urgent, second)}
    assert places == {urgent: 1, first: 2, second: 3}


def test_a_longer_queue_means_a_longer_wait(jobs: Jobs) -> None:
    waits = [jobs.submit(clip()).eta_seconds for _ in range(3)]
    expected = [eta.expected for eta in waits if eta]
    assert expected == sorted(expected)
    assert expected[2] - expected[1] == pytest.approx(expected[1] - expected[0])


def test_a_list_goes_page_by_page_through_every_job_once(jobs: Jobs) -> None:
    submitted = [jobs.submit(clip()).id for _ in range(5)]
    seen: list[str] = []
    after = None
    while True:
        page = jobs.list(limit=2, after=after)
        seen += [job.id for job in page.jobs]
        if not page.has_more:
            break
        after = seen[-1]
    assert seen == submitted[::-1]
    assert [job.id for job in jobs.list(newest_first=False).jobs] == submitted


def test_a_list_can_go_on_after_a_job_that_was_deleted_meanwhile(jobs: Jobs) -> None:
    submitted = [jobs.submit(clip()).id for _ in range(3)]
    jobs.delete(submitted[1])
    with pytest.raises(JobNotFound):
        jobs.list(after=submitted[1])
    rest = jobs.list(after=submitted[1], after_deleted=True)
    assert [job.id for job in rest.jobs] == submitted[:1]


def test_a_list_can_be_narrowed_to_a_state(jobs: Jobs) -> None:
    kept, canceled = jobs.submit(clip()), jobs.submit(clip())
    jobs.cancel(canceled.id)
    assert [job.id for job in jobs.list(state=JobState.CANCELED).jobs] == [canceled.id]
    assert [job.id for job in jobs.list(state=JobState.PENDING).jobs] == [kept.id]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("cat", ["A cat walks on GRASS", "Concatenated 50% off"]),
        ("grass CAT", ["A cat walks on GRASS"]),
        ("cat dog", []),
        ("", ["Straße bei ÉTÉ", "Concatenated 50% off", "A cat walks on GRASS"]),
        (" \0\t", ["Straße bei ÉTÉ", "Concatenated 50% off", "A cat walks on GRASS"]),
        ("STRASSE e\u0301te\u0301", ["Straße bei ÉTÉ"]),
        ("%", ["Concatenated 50% off"]),
        ("c_t", []),
        ("/", []),
        ("\\", []),
        ("'", []),
    ],
)
def test_a_list_can_be_narrowed_to_words_of_the_prompt(
    jobs: Jobs, search: str, found: list[str]
) -> None:
    for prompt in ("A cat walks on GRASS", "Concatenated 50% off", "Straße bei ÉTÉ"):
        jobs.submit(clip(prompt))
    listed = [job.params.prompt for job in jobs.list(search=search).jobs]
    assert sorted(listed) == sorted(found)


def test_a_search_goes_page_by_page_through_the_callers_own_jobs(jobs: Jobs) -> None:
    ana, bo = jobs.seen_by(Caller("ana")), jobs.seen_by(Caller("bo"))
    cats = []
    for _ in range(3):
        cats.append(ana.submit(clip("a cat")).id)
        ana.submit(clip("a dog"))
        bo.submit(clip("a cat"))
    first = ana.list(search="cat", limit=2)
    assert ([job.id for job in first.jobs], first.has_more) == (cats[:0:-1], True)
    rest = ana.list(search="cat", limit=2, after=cats[1])
    assert ([job.id for job in rest.jobs], rest.has_more) == (cats[:1], False)


def test_a_prompt_with_a_zero_byte_is_found(jobs: Jobs) -> None:
    job = jobs.submit(clip("a c\0t"))
    assert [found.id for found in jobs.list(search="c\0t").jobs] == [job.id]


def test_a_canceled_job_can_be_retried_and_keeps_its_id(jobs: Jobs) -> None:
    job = jobs.submit(clip())
    canceled = jobs.cancel(job.id)
    assert canceled.state is JobState.CANCELED
    assert canceled.completed_at is not None
    assert canceled.expires_at is not None
    assert canceled.queue_position is None
    retried = jobs.retry(job.id)
    assert (retried.id, retried.state, retried.completed_at) == (job.id, JobState.PENDING, None)


def test_a_change_of_a_job_is_returned_even_if_a_worker_claims_it_at_once(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.submit(clip()).id

    @contextmanager
    def writing_with_a_worker_at_the_ready(database: sa.Engine) -> Iterator[sa.Connection]:
        with writing(database) as connection:
            yield connection
        Claim.next(database, "a worker")

    monkeypatch.setattr("hunyuan_runner.jobs.store.writing", writing_with_a_worker_at_the_ready)
    jobs.cancel(job_id)
    retried = jobs.retry(job_id)
    assert (retried.state, retried.queue_position) == (JobState.PENDING, 1)
    assert jobs.get(job_id).state is JobState.IN_PROGRESS


@pytest.mark.parametrize(
    ("states", "action", "wanted"),
    [
        pytest.param("", "retry", "only a failed or canceled", id="retry a pending job"),
        pytest.param("cancel", "cancel", "only a pending, paused or running", id="cancel it twice"),
    ],
)
def test_what_does_not_fit_the_state_is_refused(
    jobs: Jobs, states: str, action: str, wanted: str
) -> None:
    job = jobs.submit(clip())
    if states:
        getattr(jobs, states)(job.id)
    with pytest.raises(WrongState, match=wanted):
        getattr(jobs, action)(job.id)


@pytest.mark.parametrize("action", ["get", "cancel", "retry", "delete"])
def test_an_unknown_id_is_not_found(jobs: Jobs, action: str) -> None:
    with pytest.raises(JobNotFound, match="no-such-job"):
        getattr(jobs, action)("no-such-job")
    with pytest.raises(JobNotFound):
        jobs.list(after="no-such-job")


def test_a_deleted_job_leaves_no_row_and_no_file(jobs: Jobs, settings: Settings) -> None:
    storage = open_storage(settings)
    job = jobs.submit(clip())
    storage.put(checkpoint_key(job.id), b"latents")
    jobs.cancel(job.id)
    jobs.retry(job.id)
    jobs.delete(job.id)
    with pytest.raises(JobNotFound):
        jobs.get(job.id)
    with pytest.raises(ObjectNotFound):
        storage.get(checkpoint_key(job.id))


def test_an_expired_job_and_its_files_are_deleted(jobs: Jobs, settings: Settings) -> None:
    storage = open_storage(settings)
    expired, kept, waiting = (jobs.submit(clip()) for _ in range(3))
    for job in (expired, kept):
        jobs.cancel(job.id)
        storage.put(checkpoint_key(job.id), b"latents")
    with jobs.database.begin() as connection:
        table = database.jobs
        connection.execute(
            sa.update(table).where(table.c.id == expired.id).values(expires_at=database.now_ms())
        )
    jobs.delete_expired()
    assert {job.id for job in jobs.list().jobs} == {kept.id, waiting.id}
    with pytest.raises(ObjectNotFound):
        storage.get(checkpoint_key(expired.id))
    assert storage.get(checkpoint_key(kept.id)) == b"latents"


def test_old_files_without_a_job_are_deleted(jobs: Jobs, settings: Settings) -> None:

    storage = open_storage(settings)
    job = jobs.submit(clip())
    for job_id in (job.id, "gone-long-ago", "gone-just-now"):
        storage.put(checkpoint_key(job_id), b"latents")
        if job_id != "gone-just-now":
            path = settings.data_dir / "objects" / checkpoint_key(job_id)
            for aged in (path, path.parent):
                os.utime(aged, (time.time() - 7200,) * 2)
    jobs.delete_orphaned_files()
    left = {path.name for path in (settings.data_dir / "objects" / "jobs").iterdir()}
    assert left == {job.id, "gone-just-now"}


def test_workers_and_callers_who_move_the_same_jobs_at_once_do_not_block_each_other(
    jobs: Jobs,
) -> None:
    for _ in range(20):
        jobs.submit(clip())

    def hurry(number: int) -> None:
        if number % 2:
            jobs.submit(clip(), priority=number)  # all that wait move back
        elif (claim := Claim.next(jobs.database, f"worker {number}")) is not None:
            claim.hand_back()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(hurry, range(100)))
    assert jobs.counts()[JobState.PENDING] == 70


# SQLite's writers are on one machine, and what they locked ends with their process.
where_hosts_share_a_database = pytest.mark.parametrize("settings", ["postgres"], indirect=True)


@where_hosts_share_a_database
def test_a_host_that_falls_silent_in_its_write_holds_up_nobody(
    jobs: Jobs, settings: Settings
) -> None:
    silent = Jobs(settings)
    write = writing(silent.database)
    write.__enter__()
    assert jobs.submit(clip()).state is JobState.PENDING
    with pytest.raises(JobsUnavailable):
        write.__exit__(None, None, None)
    silent.close()


@where_hosts_share_a_database
def test_a_reader_on_a_busy_host_may_be_silent_for_longer(jobs: Jobs) -> None:
    with reading(jobs.database) as connection:
        connection.execute(sa.text("SELECT 1"))
        time.sleep(1.5 * LEASE_SECONDS)
        assert connection.execute(sa.text("SELECT 1")).scalar() == 1


@where_hosts_share_a_database
def test_a_worker_that_fell_silent_in_its_write_writes_again(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.submit(clip()).id
    claim = Claim.next(jobs.database, "a worker")
    assert claim is not None
    pauses = [1.5 * LEASE_SECONDS]

    def record_late(*what: Any) -> None:
        if pauses:
            time.sleep(pauses.pop())
        record(*what)

    monkeypatch.setattr("hunyuan_runner.jobs.claim.record", record_late)
    claim.finish_step(1)
    assert (jobs.get(job_id).step, pauses) == (1, [])


def test_submitting_from_many_threads_loses_and_doubles_nothing(jobs: Jobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda _: jobs.submit(clip()).id, range(40)))
    assert len(set(ids)) == 40
    assert jobs.counts()[JobState.PENDING] == 40
    positions = sorted(jobs.get(job_id).queue_position or 0 for job_id in ids)
    assert positions == list(range(1, 41))


def test_a_data_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file where the folder should be")
    with pytest.raises(DataFolderUnusable, match="HUNYUAN_DATA_DIR"):
        prepare_data_folder(Settings(data_dir=in_the_way))


def test_sqlite_answers_a_submit_only_when_it_is_on_the_disk(tmp_path: Path) -> None:
    jobs = Jobs(Settings(data_dir=tmp_path))
    with jobs.database.connect() as connection:
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar_one() == 2  # FULL
    with closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    jobs.close()


def positions(jobs: Jobs, *job_ids: str) -> list[int | None]:
    return [jobs.get(job_id).queue_position for job_id in job_ids]


def test_owners_take_turns(jobs: Jobs) -> None:
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    anas = [ana.submit(clip()).id for _ in range(4)]
    bos = [bo.submit(clip()).id for _ in range(2)]
    assert positions(jobs, *anas) == [1, 3, 5, 6]
    assert positions(jobs, *bos) == [2, 4]


def test_priority_counts_among_one_s_own_jobs_only(jobs: Jobs) -> None:
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    bos = bo.submit(clip(), priority=-10).id
    later = [ana.submit(clip()).id for _ in range(2)]
    first = ana.submit(clip(), priority=10).id
    assert positions(jobs, bos, first, *later) == [1, 2, 3, 4]


def test_a_retried_job_queues_after_the_owner_s_others(jobs: Jobs) -> None:
    again, other = (jobs.submit(clip()).id for _ in range(2))
    jobs.cancel(again)
    jobs.retry(again)
    assert positions(jobs, other, again) == [1, 2]


def test_an_owner_s_jobs_are_hidden_from_the_others(jobs: Jobs) -> None:
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    job = ana.submit(clip())
    for act in (bo.get, bo.cancel, bo.retry, bo.delete, lambda job_id: bo.list(after=job_id)):
        with pytest.raises(JobNotFound):
            act(job.id)
    assert bo.list().jobs == []
    assert jobs.seen_by(Caller("root", sees_all=True)).get(job.id) == job
    ana.delete(job.id)


def test_each_owner_may_have_so_many_jobs_waiting(settings: Settings) -> None:
    jobs = Jobs(settings.model_copy(update={"max_queued": 2}))
    ana, bo = (jobs.seen_by(Caller(name)) for name in ("ana", "bo"))
    submission = Submission("order 17", "red circle")
    first = ana.submit(clip(), submission=submission)
    ana.submit(clip())
    with pytest.raises(QueueFull):
        ana.submit(clip())
    assert ana.submit(clip(), submission=submission) == first
    bo.submit(clip())
    ana.cancel(first.id)
    ana.submit(clip())
    assert jobs.counts()[JobState.PENDING] == 3
    jobs.close()


def test_a_writer_gives_up_after_a_while_and_a_reader_does_not_notice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 1)
    ours, other = Jobs(settings), Jobs(settings)
    job = ours.submit(clip())
    with writing(other.database) as connection:
        connection.execute(sa.update(database.jobs).values(attempts=7))
        with pytest.raises(JobsUnavailable):
            ours.submit(clip())
        assert ours.get(job.id).attempts == 0
    ours.submit(clip())
    ours.close()
    other.close()
