"""What happens to jobs is counted exactly, whatever happens to the workers."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.tallies import COUNTERS, HISTOGRAMS, Tally
from hunyuan_runner.machine.disk import Room
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobError, JobState
from tests.jobs.conftest import clip, wait_for, wait_for_end

StartWorker = Callable[..., subprocess.Popen[str]]


def totals(jobs: Jobs) -> dict[str, float]:
    """By the metric's name, with the value of its label if it has one."""
    return {
        f"{name} {tally.value}".strip(): tally.total
        for name, tallies in jobs.tallies().items()
        for tally in tallies
    }


def histogram(jobs: Jobs, name: str) -> Tally:
    (tally,) = jobs.tallies()[name]
    return tally


def claimed(jobs: Jobs, executor_id: str = "worker") -> Claim:
    claim = Claim.next(jobs.database, executor_id)
    assert claim is not None
    return claim


def test_a_completed_job_is_counted_with_its_wait_its_steps_and_its_render(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    job = jobs.submit(clip(steps=4))
    start_worker()
    assert wait_for_end(jobs, job.id).state == JobState.COMPLETED
    found = totals(jobs)
    assert found["hunyuan_attempts"] == 1
    assert found["hunyuan_jobs_ended completed"] == 1
    assert "hunyuan_resumes" not in found
    computed = len(job.params.computed_steps)
    assert sum(histogram(jobs, "hunyuan_step_seconds").buckets) == computed
    assert found["hunyuan_step_seconds"] >= 0.005 * computed
    assert found["hunyuan_step_quoted_seconds"] > 0
    assert found["hunyuan_render_quoted_seconds"] > found["hunyuan_step_quoted_seconds"]
    assert sum(histogram(jobs, "hunyuan_render_seconds").buckets) == 1
    assert found["hunyuan_render_seconds"] >= found["hunyuan_step_seconds"] - 0.01
    assert sum(histogram(jobs, "hunyuan_wait_seconds").buckets) == 1
    # Encoding, denoising, four steps, decoding and publishing.
    assert found["hunyuan_progress_reports"] == 8


def test_a_job_whose_worker_is_killed_is_counted_as_taken_over_and_resumed(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    job = jobs.submit(clip("a slow circle", steps=12))
    first = start_worker()
    wait_for(jobs, job.id, lambda job: job.step >= 2)
    first.kill()
    first.wait()
    start_worker()
    assert wait_for_end(jobs, job.id).state == JobState.COMPLETED
    found = totals(jobs)
    assert found["hunyuan_takeovers"] == found["hunyuan_resumes"] == 1
    assert found["hunyuan_attempts"] == 2
    assert sum(histogram(jobs, "hunyuan_wait_seconds").buckets) == 1
    assert found["hunyuan_render_seconds"] >= 0.2 * 12 - 0.2  # of both attempts


def test_deaths_of_the_engine_and_failures_are_counted_by_their_code(
    jobs: Jobs, start_worker: StartWorker
) -> None:
    ended = [jobs.submit(clip(prompt)).id for prompt in ("poison", "hungry", "stuck", "broken")]
    start_worker(max_failed_starts=2)
    assert {wait_for_end(jobs, job_id).state for job_id in ended} == {JobState.FAILED}
    found = totals(jobs)
    assert found["hunyuan_jobs_ended failed"] == 4
    for code in ("engine_died", "out_of_memory", "engine_stalled"):
        # The first death comes after a step, so two more starts are allowed.
        assert found[f"hunyuan_engine_deaths {code}"] >= 2
        assert found[f"hunyuan_job_failures {code}"] == 1
    assert found["hunyuan_job_failures generation_failed"] == 1


def test_a_canceled_job_is_counted_and_what_is_refused_is_not(jobs: Jobs) -> None:
    job_id = jobs.submit(clip()).id
    claim = claimed(jobs)
    jobs.cancel(job_id)
    with pytest.raises(Exception, match=job_id):
        claim.finish_step(1, seconds=2.0, expected_seconds=1.0)
    with pytest.raises(Exception, match=job_id):
        claim.complete(expires_at=0, expected_seconds=1.0)
    assert totals(jobs).keys() == {
        "hunyuan_attempts",
        "hunyuan_wait_seconds",
        "hunyuan_jobs_ended canceled",
    }


def test_a_retry_is_an_attempt_but_no_second_wait(jobs: Jobs) -> None:
    job_id = jobs.submit(clip()).id
    claimed(jobs).fail(JobError(code="broken", message="it broke"), expires_at=0)
    jobs.retry(job_id)
    claimed(jobs)
    assert totals(jobs)["hunyuan_attempts"] == 2
    assert sum(histogram(jobs, "hunyuan_wait_seconds").buckets) == 1


def test_seconds_fall_into_the_bucket_whose_bound_they_do_not_exceed(jobs: Jobs) -> None:
    jobs.submit(clip())
    claim = claimed(jobs)
    claim.enter(Stage.DENOISING)
    for seconds in (0.01, 0.02, 3600.0, 3601.0):
        claim.finish_step(1, seconds, expected_seconds=0.5)
    steps = histogram(jobs, "hunyuan_step_seconds")
    assert steps.buckets == (1, 1, *(0,) * 11, 1, 1)
    assert steps.total == pytest.approx(7201.03)
    assert totals(jobs)["hunyuan_step_quoted_seconds"] == 2.0


def test_a_lease_has_the_version_and_the_disk_of_its_runner(jobs: Jobs, settings: Settings) -> None:
    lease = Lease(jobs.database, settings.lease_seconds)
    profile = Profile.of_this_machine(settings)
    lease.renew(profile)
    (runner,) = jobs.runners()
    assert runner.disk_size_bytes is None
    lease.renew(profile, Room(2**50, 2**49, needed_to_accept=2, needed_to_begin=1))
    (runner,) = jobs.runners()
    assert (runner.disk_size_bytes, runner.disk_free_bytes) == (2**50, 2**49)
    assert runner.executor_id == lease.executor_id
    assert runner.version


def names() -> Iterator[str]:
    yield from (metric.name for metric in (*COUNTERS, *HISTOGRAMS))


def test_names_of_metrics_are_unique_and_in_base_units() -> None:
    assert len({*names()}) == len([*names()])
    assert not [name for name in names() if name.endswith(("_total", "_ms", "_minutes"))]
