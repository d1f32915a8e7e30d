"""Jobs in the hands of real worker processes, which are killed, frozen and stopped on the way."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from imageio_ffmpeg import get_ffmpeg_exe

from hunyuan_runner.jobs import database, patience, perseverance, worker
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs, WrongState
from hunyuan_runner.jobs.unavailable import NO_ANSWER, JobsUnavailable
from hunyuan_runner.media import probe
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.profile import MEASURED_FILE, Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.folder import Folder
from hunyuan_runner.storage.keys import draft_key, video_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.storage.protocol import ObjectNotFound, Storage, StorageFailed
from hunyuan_runner.wire import JobState
from tests.jobs.conftest import LEASE_SECONDS, clip, freeze, wait_for, wait_for_end
from tests.jobs.worker_process import CountingRenderer

pytestmark = pytest.mark.slow

StartWorker = Callable[..., subprocess.Popen[str]]


def wait_until_gone(storage: Storage, key: str) -> None:
    """A completed job's leftovers are deleted after it is said to be completed."""
    with suppress(ObjectNotFound):
        while True:
            storage.size(key)
            time.sleep(0.02)


def test_a_job_is_rendered_and_published(
    jobs: Jobs, start_worker: StartWorker, settings: Settings
) -> None:
    start_worker()
    job = wait_for_end(jobs, jobs.submit(clip("a red circle")).id)
    assert (job.state, job.progress, job.step, job.attempts) == (JobState.COMPLETED, 1.0, 5, 1)
    assert job.started_at is not None
    assert job.completed_at is not None
    assert job.created_at <= job.started_at <= job.completed_at
    file = settings.data_dir / "video.mp4"
    file.write_bytes(open_storage(settings).get(video_key(job.id)))
    assert probe(file).tags["prompt"] == "a red circle"


def test_the_journal_tells_a_job_s_way_in_order(jobs: Jobs, start_worker: StartWorker) -> None:
    canceled = jobs.submit(clip())
    jobs.cancel(canceled.id)
    jobs.retry(canceled.id)
    start_worker()
    wait_for_end(jobs, canceled.id)
    query = sa.select(database.events).order_by(database.events.c.number)
    with jobs.database.connect() as connection:
        rows = [(row.run, row.state, row.stage, row.step) for row in connection.execute(query)]
    assert rows[:3] == [
        (1, "pending", "queued", 0),
        (1, "canceled", "queued", 0),
        (2, "pending", "queued", 0),
    ]
    steps = [
        step for _, state, stage, step in rows if (state, stage) == ("in_progress", "denoising")
    ]
    assert steps == sorted(steps)
    assert set(steps) == set(range(6))
    assert rows[-1][:2] == (2, "completed")


def test_a_thousand_jobs_of_one_do_not_hold_up_another_s_first(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    many, one = (jobs.seen_by(Caller(name)) for name in ("many", "one"))
    for _ in range(60):
        many.submit(clip(steps=1))
    urgent = many.submit(clip(steps=1), priority=5).id
    other = one.submit(clip(steps=1)).id
    start_worker()
    for job_id in (other, urgent):
        wait_for_end(jobs, job_id)
    # By the journal: the worker goes on while this looks.
    ended = [event.job.id for event in jobs.events_after(0, limit=10_000).events if event.final]
    assert max(map(ended.index, (other, urgent))) < 10


def test_a_killed_worker_s_job_goes_on_at_its_last_step_elsewhere(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    first = start_worker()
    job_id = jobs.submit(clip("slow", steps=20)).id
    wait_for(jobs, job_id, lambda job: job.step >= 3)
    first.kill()
    start_worker()
    job = wait_for_end(jobs, job_id)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 2)
    assert job.resumed_from_step is not None
    assert job.resumed_from_step >= 3


def test_a_stopped_worker_hands_its_job_back(jobs: Jobs, start_worker: StartWorker) -> None:
    first = start_worker()
    job_id = jobs.submit(clip("slow", steps=20)).id
    wait_for(jobs, job_id, lambda job: job.step >= 3)
    first.terminate()
    assert first.wait(60) == 0
    job = jobs.get(job_id)
    assert (job.state, job.stage) == (JobState.PENDING, Stage.QUEUED)
    assert jobs.live_workers() == 0
    start_worker()
    job = wait_for_end(jobs, job_id)
    assert job.state is JobState.COMPLETED
    assert job.resumed_from_step is not None
    assert job.resumed_from_step >= 3


def test_a_worker_that_comes_back_from_the_dead_changes_nothing(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    # The long lease keeps it from counting the other as dead.
    frozen = start_worker(lease_seconds=5 * LEASE_SECONDS)
    job_id = jobs.submit(clip("slow", steps=20)).id
    wait_for(jobs, job_id, lambda job: job.step >= 2)
    freeze(frozen, jobs)
    start_worker()
    wait_for(jobs, job_id, lambda job: job.attempts == 2 and job.step >= 5)
    frozen.send_signal(signal.SIGCONT)
    job = wait_for_end(jobs, job_id)
    assert (job.state, job.attempts, job.step) == (JobState.COMPLETED, 2, 20)


def test_a_canceled_render_stops_and_the_next_job_begins(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    start_worker()
    endless = jobs.submit(clip("slow", steps=100)).id
    wait_for(jobs, endless, lambda job: job.step >= 1)
    next_job = jobs.submit(clip()).id
    assert jobs.cancel(endless).state is JobState.CANCELED
    assert wait_for_end(jobs, next_job).state is JobState.COMPLETED
    assert jobs.get(endless).state is JobState.CANCELED


def test_a_canceled_job_goes_on_from_its_checkpoint_when_retried(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    start_worker()
    job_id = jobs.submit(clip("slow", steps=15)).id
    wait_for(jobs, job_id, lambda job: job.step >= 4)
    jobs.cancel(job_id)
    jobs.retry(job_id)
    job = wait_for_end(jobs, job_id)
    assert job.state is JobState.COMPLETED
    assert job.resumed_from_step is not None
    assert job.resumed_from_step >= 4


def test_jobs_that_end_every_engine_are_given_up_and_block_no_other(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    start_worker()
    expected = {
        "poison": ("engine_died", "SIGKILL"),
        "hungry": ("out_of_memory", "Ask for a smaller or shorter clip"),
        "stuck": ("engine_stalled", "HUNYUAN_STALL_SECONDS"),
    }
    ids = {prompt: jobs.submit(clip(prompt)).id for prompt in expected}
    harmless = jobs.submit(clip()).id
    for prompt, (code, words) in expected.items():
        job = wait_for_end(jobs, ids[prompt])
        assert job.state is JobState.FAILED
        assert job.error is not None
        assert job.error.code == code
        assert words in job.error.message
    assert wait_for_end(jobs, harmless).state is JobState.COMPLETED


def test_a_failed_job_says_why_and_can_be_retried(jobs: Jobs, start_worker: StartWorker) -> None:
    start_worker()
    job_id = jobs.submit(clip("broken")).id
    job = wait_for_end(jobs, job_id)
    assert job.error is not None
    assert (job.error.code, job.error.message) == ("generation_failed", "it was asked to fail")
    jobs.retry(job_id)
    again = wait_for_end(jobs, job_id)
    assert (again.state, again.attempts) == (JobState.FAILED, 2)


def test_jobs_are_rendered_by_priority(jobs: Jobs, start_worker: StartWorker) -> None:
    low, high, middle = (jobs.submit(clip(), priority=p).id for p in (-5, 5, 0))
    start_worker()
    ended = {job_id: wait_for_end(jobs, job_id).completed_at for job_id in (low, high, middle)}
    assert sorted(ended, key=lambda job_id: str(ended[job_id])) == [high, middle, low]


def test_two_workers_share_a_queue_and_render_nothing_twice(
    jobs: Jobs, start_worker: StartWorker, settings: Settings
) -> None:
    # Neither is taken for dead where the disk holds it up for seconds.
    patient = {"lease_seconds": 300.0}
    start_worker(**patient), start_worker(**patient)
    observer = Jobs(settings.model_copy(update=patient))
    assert observer.live_workers() == 2
    observer.close()
    ids = [jobs.submit(clip(steps=20)).id for _ in range(12)]
    done = [wait_for_end(jobs, job_id) for job_id in ids]
    assert {(job.state, job.attempts) for job in done} == {(JobState.COMPLETED, 1)}


def test_the_first_clips_teach_the_estimate(jobs: Jobs, start_worker: StartWorker) -> None:
    before = jobs.submit(clip("slow", steps=5)).eta_seconds
    start_worker()
    for _ in range(4):
        wait_for_end(jobs, jobs.submit(clip("slow", steps=5)).id)
    after = jobs.submit(clip("slow", steps=5)).eta_seconds
    assert before is not None
    assert after is not None
    assert after.expected > 0.9  # five steps of 0.2 s; the guess for so small a clip is far below
    assert after.high / after.low < before.high / before.low


def test_a_job_that_waits_goes_before_measuring_the_machine(
    jobs: Jobs, start_worker: StartWorker, settings: Settings
) -> None:
    waited = jobs.submit(clip()).id
    process = psutil.Process(start_worker(calibrate=True).pid)
    assert wait_for_end(jobs, waited).state is JobState.COMPLETED
    assert not (settings.data_dir / MEASURED_FILE).exists()

    benchmark = wait_for_child(process)
    came = jobs.submit(clip()).id
    assert wait_for_end(jobs, came).state is JobState.COMPLETED
    benchmark.wait()
    assert not (settings.data_dir / MEASURED_FILE).exists()  # it was killed
    wait_for_child(process)  # and begins again


def wait_for_child(process: psutil.Process) -> psutil.Process:
    while not (children := process.children()):
        time.sleep(0.02)
    return children[0]


def test_publishing_is_tried_again_when_ffmpeg_was_killed(
    jobs: Jobs, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg_that_is_killed(tmp_path, monkeypatch, times=2)
    start_worker()
    job = wait_for_end(jobs, jobs.submit(clip()).id)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 1)


def test_a_clip_that_cannot_be_published_says_why_and_needs_no_step_when_retried(
    jobs: Jobs, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg_that_is_killed(tmp_path, monkeypatch, times=perseverance.TRIES)
    start_worker()
    job = wait_for_end(jobs, jobs.submit(clip()).id)
    assert job.error is not None
    assert job.error.code == "publishing_failed"
    assert "ffmpeg was killed (SIGKILL)" in job.error.message
    jobs.retry(job.id)
    job = wait_for_end(jobs, job.id)
    assert (job.state, job.resumed_from_step) == (JobState.COMPLETED, 5)


def test_a_job_that_waits_to_be_published_is_handed_back_and_can_be_canceled(
    jobs: Jobs, start_worker: StartWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ffmpeg_that_is_killed(tmp_path, monkeypatch, times=1000)
    first = start_worker()
    job_id = jobs.submit(clip()).id
    wait_for(jobs, job_id, lambda job: job.stage is Stage.PUBLISHING)
    first.terminate()
    assert first.wait(60) == 0
    job = jobs.get(job_id)
    assert (job.state, job.stage) == (JobState.PENDING, Stage.QUEUED)
    start_worker()
    wait_for(jobs, job_id, lambda job: job.stage is Stage.PUBLISHING)
    assert jobs.cancel(job_id).state is JobState.CANCELED


def ffmpeg_that_is_killed(folder: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """What workers started from now on find in place of ffmpeg."""
    encoder, left = folder / "ffmpeg", folder / "left"
    left.write_text("x" * times)
    encoder.write_text(
        f"""#!/bin/sh
        if [ -s {left} ]; then truncate -s -1 {left}; kill -9 $$; fi
        exec {get_ffmpeg_exe()} "$@"
        """
    )
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))


def test_storage_that_fails_for_a_while_loses_neither_clip_nor_checkpoint(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = Folder.put, ["video.mp4", "manifest.json", "checkpoint.safetensors"]

    def refuse(self: Folder, key: str, data: bytes | Path, *headers: Any) -> None:
        name = key.rpartition("/")[2]
        if name in failures:
            failures.remove(name)
            raise StorageFailed("The bucket failed: no answer")
        put(self, key, data, *headers)

    monkeypatch.setattr(Folder, "put", refuse)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))
    ours = worker.Worker(settings, CountingRenderer())
    ours.start()
    job = wait_for_end(jobs, jobs.submit(clip()).id)
    ours.stop()
    assert (job.state, job.attempts) == (JobState.COMPLETED, 1)
    assert failures == []


def test_a_worker_stuck_on_a_dead_disk_lets_others_take_over(
    jobs: Jobs, start_worker: StartWorker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, reached, answer = Folder.put, threading.Event(), threading.Event()

    def hang(self: Folder, key: str, data: bytes | Path, *headers: Any) -> None:
        if key.endswith("video.mp4"):
            reached.set()
            answer.wait()
        put(self, key, data, *headers)

    monkeypatch.setattr(Folder, "put", hang)
    monkeypatch.setattr(patience, "SLOW_DISK_BYTES_PER_SECOND", 1e9)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))
    stuck = worker.Worker(settings.model_copy(update={"stall_seconds": 1.0}), CountingRenderer())
    stuck.start()
    job_id = jobs.submit(clip()).id
    reached.wait()
    while jobs.live_workers() > 0:
        time.sleep(0.1)
    assert not stuck.ready
    start_worker()
    job = wait_for_end(jobs, job_id)
    assert (job.state, job.attempts) == (JobState.COMPLETED, 2)

    answer.set()  # and it comes back, to find that the job is no longer its own
    while not stuck.ready or jobs.live_workers() < 2:
        time.sleep(0.1)
    assert jobs.get(job_id).attempts == 2
    stuck.stop()


def test_a_bucket_that_holds_up_deleting_does_not_stop_the_heart(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, answer = threading.Event(), threading.Event()

    def hang(*_: object) -> set[str]:
        reached.set()
        answer.wait()
        return set()

    monkeypatch.setattr(Folder, "folders_older_than", hang)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))
    ours = worker.Worker(settings, CountingRenderer())
    ours.start()
    reached.wait()
    seen = beat_of_the_only_worker(jobs)
    while beat_of_the_only_worker(jobs) == seen:
        time.sleep(0.1)
    assert wait_for_end(jobs, jobs.submit(clip()).id).state is JobState.COMPLETED
    ours.stop()
    answer.set()


def beat_of_the_only_worker(jobs: Jobs) -> int:
    with jobs.database.connect() as connection:
        return int(connection.execute(sa.select(database.workers.c.beat_at)).scalar_one())


def test_a_database_that_was_away_for_long_fails_no_job(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    note, away = Claim.finish_step, [3]

    def refuse(self: Claim, step: int, *times: float) -> None:
        if step in away:
            away.remove(step)
            raise JobsUnavailable(NO_ANSWER, "no route to host")
        note(self, step, *times)

    monkeypatch.setattr(Claim, "finish_step", refuse)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))
    ours = worker.Worker(settings, CountingRenderer())
    ours.start()
    job = wait_for_end(jobs, jobs.submit(clip()).id)
    ours.stop()
    assert (job.state, job.attempts) == (JobState.COMPLETED, 2)
    assert job.resumed_from_step == 3


def test_nothing_that_follows_its_completion_fails_a_job(
    jobs: Jobs,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object) -> None:
        raise sa.exc.IntegrityError("INSERT", None, ValueError("another was first"))

    monkeypatch.setattr(worker, "learn", refuse)
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))
    first, second = (jobs.submit(clip()).id for _ in range(2))
    ours = worker.Worker(settings, CountingRenderer())
    ours.start()
    assert wait_for_end(jobs, first).state is JobState.COMPLETED
    assert wait_for_end(jobs, second).state is JobState.COMPLETED
    ours.stop()
    assert "failed" not in caplog.text
    assert f"job {first} is done, but could not be cleaned up" in caplog.text


def test_a_worker_goes_on_with_what_it_could_not_write_the_end_of(jobs: Jobs) -> None:
    stranded, other = (jobs.submit(clip()).id for _ in range(2))
    for attempt in (1, 2):
        claim = Claim.next(jobs.database, "this worker")
        assert claim is not None
        assert (claim.job_id, claim.failed_starts) == (stranded, attempt)
    claim = Claim.next(jobs.database, "another")
    assert claim is not None
    assert claim.job_id == other
    assert Claim.next(jobs.database, "a third") is None


def test_a_job_that_takes_every_worker_with_it_is_given_up(
    jobs: Jobs, start_worker: StartWorker, settings: Settings
) -> None:
    job_id = jobs.submit(clip()).id
    for _ in range(settings.max_failed_starts):
        assert Claim.next(jobs.database, "killed by its job") is not None
        Lease(jobs.database, settings.lease_seconds).take_over()
    start_worker()
    job = wait_for_end(jobs, job_id)
    assert job.error is not None
    assert job.error.code == "engine_died"


def test_a_worker_is_dead_to_the_others_before_it_is_to_itself(
    jobs: Jobs, settings: Settings
) -> None:
    ours, theirs = (Lease(jobs.database, settings.lease_seconds) for _ in range(2))
    ours.renew(Profile.of_this_machine(settings))
    job_id = jobs.submit(clip()).id
    Claim.next(jobs.database, ours.executor_id)
    until = time.monotonic() + 2 * settings.lease_seconds
    while time.monotonic() < until:  # its beat takes longer than a lease to commit
        ours.take_over()
        time.sleep(settings.lease_seconds / 4)
        assert jobs.get(job_id).state is JobState.IN_PROGRESS
    while jobs.get(job_id).state is JobState.IN_PROGRESS:
        theirs.take_over()
        time.sleep(settings.lease_seconds / 4)


def test_a_job_that_was_to_pause_is_paused_when_its_worker_dies(
    jobs: Jobs, settings: Settings
) -> None:
    job_id = jobs.submit(clip()).id
    Claim.next(jobs.database, "killed")
    jobs.pause(job_id)
    Lease(jobs.database, settings.lease_seconds).take_over()
    job = jobs.get(job_id)
    assert (job.stage, job.pausing) == (Stage.PAUSED, False)


def test_a_paused_job_waits_behind_its_step_and_goes_on_from_there(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    start_worker()
    job_id = jobs.submit(clip("slow", steps=20)).id
    wait_for(jobs, job_id, lambda job: job.step >= 2)
    assert jobs.pause(job_id).pausing
    paused = wait_for(jobs, job_id, lambda job: job.stage is Stage.PAUSED)
    assert (paused.state, paused.pausing, paused.queue_position) == (JobState.PAUSED, False, None)
    assert paused.eta_seconds is None
    assert paused.progress > 0
    other = wait_for_end(jobs, jobs.submit(clip()).id)
    assert other.state is JobState.COMPLETED
    still = jobs.get(job_id)
    assert (still.stage, still.step) == (Stage.PAUSED, paused.step)

    assert jobs.resume(job_id).queue_position == 1
    done = wait_for_end(jobs, job_id)
    assert (done.state, done.resumed_from_step) == (JobState.COMPLETED, paused.step)


def test_a_queued_job_is_paused_at_once(jobs: Jobs, start_worker: StartWorker) -> None:
    paused, other = (jobs.submit(clip()) for _ in range(2))
    assert jobs.pause(paused.id).stage is Stage.PAUSED
    assert jobs.get(other.id).queue_position == 1
    assert (jobs.counts()[JobState.PENDING], jobs.counts()[JobState.PAUSED]) == (1, 1)
    start_worker()
    wait_for_end(jobs, other.id)
    assert jobs.get(paused.id).stage is Stage.PAUSED
    with pytest.raises(WrongState):
        jobs.pause(paused.id)
    with pytest.raises(WrongState):
        jobs.resume(other.id)
    jobs.resume(paused.id)
    assert wait_for_end(jobs, paused.id).state is JobState.COMPLETED


def test_a_job_with_draft_steps_shows_its_draft_and_waits_for_approval(
    jobs: Jobs, start_worker: StartWorker, settings: Settings
) -> None:
    start_worker()
    approved, dropped = (jobs.submit(clip(), draft_steps=2).id for _ in range(2))
    for job_id in (approved, dropped):
        job = wait_for(jobs, job_id, lambda job: job.has_draft)
        assert (job.state, job.stage, job.step) == (JobState.PAUSED, Stage.PAUSED, 2)
    storage = open_storage(settings)
    file = settings.data_dir / "draft.mp4"
    file.write_bytes(storage.get(draft_key(approved)))
    assert probe(file).tags["draft"] == "after 2 of 5 steps"

    jobs.resume(approved)
    done = wait_for_end(jobs, approved)
    assert (done.state, done.resumed_from_step, done.step) == (JobState.COMPLETED, 2, 5)
    wait_until_gone(storage, draft_key(approved))
    assert jobs.cancel(dropped).state is JobState.CANCELED


class CountingUnloads(CountingRenderer):
    unloads = 0

    def unload(self) -> None:
        self.unloads += 1


def test_an_idle_worker_unloads_its_model_unless_it_is_to_keep_it(settings: Settings) -> None:
    keeping, unloading = CountingUnloads(), CountingUnloads()
    workers = [
        worker.Worker(settings.model_copy(update={"unload_after": seconds}), renderer)
        for seconds, renderer in ((0.0, keeping), (0.2, unloading))
    ]
    for each in workers:
        each.start()
    while unloading.unloads < 3:
        time.sleep(0.05)
    for each in workers:
        each.stop()
    assert keeping.unloads == 0
