"""What is expected of the machines there are, and what finished jobs teach."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event

import pytest
import sqlalchemy as sa

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import forecast
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.database import timings
from hunyuan_runner.jobs.forecast import learn
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.params import Stage
from hunyuan_runner.quoting.estimate import REMEMBERED_JOBS, Work
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import RangeView
from tests.jobs.conftest import clip

WORK = Work.of(clip(), MODELS["demo"])


def test_without_a_worker_this_machine_is_gone_by(jobs: Jobs, settings: Settings) -> None:
    forecast = jobs.forecast()
    assert forecast.machines == {}
    assert forecast.largest == Profile.of_this_machine(settings)


def test_the_largest_machine_is_gone_by_and_each_worker_by_its_own(
    jobs: Jobs, settings: Settings
) -> None:
    here = Profile.of_this_machine(settings)
    fast = replace(here.models["demo"].rates, linears=1e15, attention=1e15, convolutions=1e15)
    small = replace(here, memory_bytes=1, models={"demo": replace(here.models["demo"], rates=fast)})
    leases = [Lease(jobs.database, settings.lease_seconds) for _ in range(2)]
    for lease, profile in zip(leases, (here, small), strict=True):
        lease.renew(profile)
    forecast = jobs.forecast()
    assert forecast.largest == here
    slow, quick = (forecast.expect(WORK, "demo", lease.executor_id).total for lease in leases)
    assert slow == forecast.expect(WORK, "demo").total
    assert quick < slow


def test_what_a_job_took_corrects_the_next_ones_and_its_loading_does_not(
    jobs: Jobs, settings: Settings
) -> None:
    ability = Profile.of_this_machine(settings).models["demo"]
    before = jobs.forecast().expect(WORK, "demo")
    took = {stage: 3 * seconds for stage, seconds in before.seconds.items()}
    for _ in range(2 * REMEMBERED_JOBS):
        with jobs.database.begin() as connection:
            learn(connection, "demo", ability, WORK, {Stage.LOADING: 9.0, **took})
    after = jobs.forecast().expect(WORK, "demo")
    assert after.total == pytest.approx(3 * before.total, rel=0.15)
    assert after.high / after.low < before.high / before.low
    with jobs.database.connect() as connection:
        kept = connection.execute(sa.select(sa.func.count()).select_from(timings)).scalar_one()
    assert kept == REMEMBERED_JOBS


def test_what_jobs_taught_before_the_machine_was_measured_still_counts(
    jobs: Jobs, settings: Settings
) -> None:
    guessed = Profile.of_this_machine(settings).models["demo"]
    rates = replace(guessed.rates, linears=1e15, attention=1e15, convolutions=1e15, spread=0.3)
    before = jobs.forecast().expect(WORK, "demo")
    for _ in range(REMEMBERED_JOBS):
        with jobs.database.begin() as connection:
            learn(connection, "demo", guessed, WORK, before.seconds)
    measured = Profile.of_this_machine(settings)
    measured = replace(measured, models={"demo": replace(guessed, rates=rates)})
    Lease(jobs.database, settings.lease_seconds).renew(measured)
    assert jobs.forecast().expect(WORK, "demo").total == pytest.approx(before.total, rel=0.5)


def test_a_job_that_took_no_time_at_all_teaches_nothing(jobs: Jobs, settings: Settings) -> None:
    before = jobs.forecast().expect(WORK, "demo")
    ability = Profile.of_this_machine(settings).models["demo"]
    with jobs.database.begin() as connection:
        learn(connection, "demo", ability, WORK, {Stage.DECODING: 0.0})
        learn(connection, "demo", ability, WORK, {})
    assert jobs.forecast().expect(WORK, "demo") == before


def test_two_workers_learn_of_their_first_clips_at_the_same_moment(
    jobs: Jobs, settings: Settings
) -> None:
    ability = Profile.of_this_machine(settings).models["demo"]
    took = jobs.forecast().expect(WORK, "demo").seconds
    other = Jobs(settings)
    about_to_write = Event()

    def learn_elsewhere() -> None:
        with other.database.begin() as connection:
            learn(connection, "demo", ability, WORK, took)

    def notice(_: object, __: object, statement: str, *___: object) -> None:
        if statement.startswith("INSERT"):
            about_to_write.set()

    sa.event.listen(other.database, "before_cursor_execute", notice)
    with ThreadPoolExecutor(1) as threads:
        with jobs.database.begin() as connection:
            learn(connection, "demo", ability, WORK, took)
            second = threads.submit(learn_elsewhere)
            about_to_write.wait()  # it has looked, and found nothing learnt yet
        second.result()
    assert jobs.forecast().expect(WORK, "demo").seconds == pytest.approx(took)
    other.close()


def test_a_running_job_is_expected_to_take_what_its_own_steps_show(
    jobs: Jobs, settings: Settings
) -> None:
    """On a machine that is slower than assumed, and for the jobs that wait for it, too."""
    first, second = (jobs.submit(clip(steps=8)).id for _ in range(2))
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(Profile.of_this_machine(settings))
    claim = Claim.next(jobs.database, lease.executor_id)
    assert claim is not None
    assert claim.job_id == first
    denoising = jobs.forecast().expect(claim.work, "demo").seconds[Stage.DENOISING]

    def eta(job_id: str) -> RangeView:
        found = jobs.get(job_id).eta_seconds
        assert found is not None
        return found

    claim.finish_step(4, denoising_seconds=denoising)
    before = [eta(job_id).expected for job_id in (first, second)]
    claim.finish_step(4, denoising_seconds=20 * denoising)
    running, waiting = eta(first), eta(second)
    assert running.expected > before[0] + 3 * denoising
    assert waiting.expected > before[1] + 3 * denoising
    assert running.high / running.low < waiting.high / waiting.low
    assert not running.guess
    claim.hand_back()
    assert Claim.next(jobs.database, lease.executor_id) is not None
    assert eta(first).expected < running.expected


def test_the_queue_of_another_priority_is_another(jobs: Jobs) -> None:
    assert jobs.queue_seconds(priority=0) == 0
    jobs.submit(clip())
    assert jobs.queue_seconds(priority=0) > 0
    assert jobs.queue_seconds(priority=1) == 0


def test_the_profiles_of_the_workers_are_parsed_once_and_not_for_every_status(
    jobs: Jobs, settings: Settings
) -> None:
    for _ in range(3):
        lease = Lease(jobs.database, settings.lease_seconds)
        lease.renew(Profile.of_this_machine(settings))
    assert len(jobs.forecast().machines) == 3
    parsed = forecast._profile.cache_info().misses
    job_id = jobs.submit(clip()).id
    for _ in range(3):
        jobs.get(job_id)
    assert forecast._profile.cache_info().misses == parsed
