"""Clocks that are set, forth and back, while jobs are rendered and kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import JobNotFound, Jobs
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobState
from tests.jobs.conftest import clip

YEAR = timedelta(days=365)


@dataclass
class Time:
    """What the clocks say: the one on the wall, and the seconds that this machine counts."""

    wall: timedelta
    counted: timedelta = timedelta()

    def pass_by(self, span: timedelta) -> None:
        self.wall += span
        self.counted += span

    def monotonic(self) -> float:
        return self.counted.total_seconds()

    def clock(self, _: sa.Engine) -> sa.ColumnElement[int]:
        now = sa.bindparam(None, type_=sa.BigInteger, callable_=lambda: self.milliseconds)
        return sa.cast(now, sa.BigInteger)

    @property
    def milliseconds(self) -> int:
        return self.wall // timedelta(milliseconds=1)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time(wall=timedelta(milliseconds=database.now_ms()))
    for module in ("lease", "retention"):
        monkeypatch.setattr(f"hunyuan_runner.jobs.{module}.clock", time.clock)
        monkeypatch.setattr(f"hunyuan_runner.jobs.{module}.monotonic", time.monotonic)
    return time


@pytest.fixture
def store(settings: Settings, time: Time) -> Iterator[Jobs]:
    store = Jobs(settings)
    yield store
    store.close()


def sweep(store: Jobs, time: Time, span: timedelta) -> None:
    """What a worker does every so often, for so long."""
    until = time.counted + span
    while time.counted < until:
        time.pass_by(max(timedelta(minutes=10), span / 20))
        store.delete_expired()


def ended(store: Jobs) -> str:
    return store.cancel(store.submit(clip()).id).id


def is_there(store: Jobs, job_id: str) -> bool:
    try:
        store.get(job_id)
    except JobNotFound:
        return False
    return True


def test_ended_jobs_are_kept_as_long_as_the_retention_says(store: Jobs, time: Time) -> None:
    job_id = ended(store)
    sweep(store, time, timedelta(hours=167))
    assert is_there(store, job_id)
    sweep(store, time, timedelta(hours=2))
    assert not is_there(store, job_id)


@pytest.mark.parametrize("jump", [YEAR, 20 * YEAR], ids=["a year", "twenty"])
def test_a_clock_that_jumps_ahead_and_is_set_right_costs_no_clip(
    store: Jobs, time: Time, jump: timedelta
) -> None:
    kept = ended(store)
    store.delete_expired()
    time.wall += jump
    meanwhile = ended(store)
    sweep(store, time, timedelta(minutes=50))
    time.wall -= jump
    sweep(store, time, timedelta(hours=150))
    assert is_there(store, kept)
    assert is_there(store, meanwhile)
    sweep(store, time, timedelta(hours=20))
    assert not is_there(store, kept)


def test_a_clock_that_falls_back_and_is_set_right_costs_no_clip(store: Jobs, time: Time) -> None:
    store.delete_expired()
    time.wall -= 20 * YEAR  # as a machine starts whose clock has no battery
    job_id = ended(store)
    sweep(store, time, timedelta(minutes=20))
    time.wall += 20 * YEAR
    sweep(store, time, timedelta(hours=150))
    assert is_there(store, job_id)
    sweep(store, time, timedelta(hours=20))
    assert not is_there(store, job_id)


def test_what_expired_while_the_service_was_down_is_deleted_an_hour_after_its_start(
    store: Jobs, settings: Settings, time: Time
) -> None:
    expired, kept = ended(store), ended(store)
    store.delete_expired()
    time.wall += timedelta(days=8)
    time.counted = timedelta()  # the machine was started anew
    again = Jobs(settings)
    with again.database.begin() as connection:
        later = time.milliseconds + timedelta(days=1) // timedelta(milliseconds=1)
        of = database.jobs.c.id == kept
        connection.execute(sa.update(database.jobs).where(of).values(expires_at=later))
    sweep(again, time, timedelta(minutes=40))
    assert is_there(again, expired)
    sweep(again, time, timedelta(minutes=40))
    assert not is_there(again, expired)
    assert is_there(again, kept)
    again.close()


def test_a_job_that_ends_after_days_of_downtime_is_kept_for_as_long_as_any(
    store: Jobs, settings: Settings, time: Time
) -> None:
    store.delete_expired()
    time.wall += timedelta(days=8)
    again = Jobs(settings)
    job_id = ended(again)
    sweep(again, time, timedelta(hours=167))
    assert is_there(again, job_id)
    again.close()


def look(lease: Lease, time: Time, seconds: float) -> None:
    """Look after the others for so long, as often as workers do."""
    for _ in range(int(seconds * 4)):
        time.pass_by(timedelta(seconds=0.25))
        lease.take_over()


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "ahead"])
def test_a_dead_worker_s_job_is_taken_over_though_the_clock_was_set(
    store: Jobs, settings: Settings, time: Time, jump: timedelta
) -> None:
    dead, alive = (Lease(store.database, settings.lease_seconds) for _ in range(2))
    profile = Profile.of_this_machine(settings)
    dead.renew(profile)
    job_id = store.submit(clip()).id
    Claim.next(store.database, dead.executor_id)
    time.wall += jump
    look(alive, time, 2 * settings.lease_seconds)
    assert store.get(job_id).state is JobState.PENDING


@pytest.mark.parametrize("jump", [-YEAR, YEAR], ids=["back", "ahead"])
def test_a_living_worker_keeps_its_job_when_the_clock_is_set(
    store: Jobs, settings: Settings, time: Time, jump: timedelta
) -> None:
    ours, other = (Lease(store.database, settings.lease_seconds) for _ in range(2))
    profile = Profile.of_this_machine(settings)
    ours.renew(profile)
    job_id = store.submit(clip()).id
    Claim.next(store.database, ours.executor_id)
    other.take_over()
    time.wall += jump
    for _ in range(5):
        look(other, time, settings.lease_seconds / 2)
        ours.renew(profile)
    assert store.get(job_id).state is JobState.IN_PROGRESS


def test_a_worker_that_stood_still_gives_the_others_time_to_show_themselves(
    store: Jobs, settings: Settings, time: Time
) -> None:
    ours, other = (Lease(store.database, settings.lease_seconds) for _ in range(2))
    ours.renew(Profile.of_this_machine(settings))
    job_id = store.submit(clip()).id
    Claim.next(store.database, ours.executor_id)
    other.take_over()
    time.pass_by(timedelta(hours=1))  # as when the database was away for all of them
    other.take_over()
    assert store.get(job_id).state is JobState.IN_PROGRESS


def test_a_worker_last_seen_in_the_future_is_not_said_to_be_alive(
    store: Jobs, settings: Settings, time: Time
) -> None:
    lease = Lease(store.database, settings.lease_seconds)
    lease.renew(Profile.of_this_machine(settings))
    assert store.live_workers() == 1
    time.wall += YEAR
    lease.renew(Profile.of_this_machine(settings))  # and the clock is set back at once
    assert store.live_workers() == 0
    assert store.forecast().machines == {}
