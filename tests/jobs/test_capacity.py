"""How much work is queued, and how many runners it needs."""

from __future__ import annotations

import math

import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs.capacity import Load
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from tests.jobs.conftest import clip


@pytest.mark.parametrize(
    ("load", "wanted"),
    [
        pytest.param(Load(), 0, id="nothing to do"),
        pytest.param(Load(remaining=(5, 9000)), 2, id="busy runners stay"),
        pytest.param(Load(1, 1), 1, id="a short job needs a runner"),
        pytest.param(Load(4, 400), 4, id="all of it at once"),
        pytest.param(Load(4, 401), 4, id="never more runners than jobs"),
        pytest.param(Load(9, 401), 5, id="in time, not only nearly"),
        pytest.param(Load(2, 80, (20,)), 1, id="a busy runner is free in time"),
        pytest.param(Load(2, 81, (20,)), 2, id="a busy runner is not free in time"),
        pytest.param(Load(3, 300, (7200,)), 4, id="a long render does not count twice"),
    ],
)
def test_the_runners_wanted_begin_every_job_within_the_target(load: Load, wanted: int) -> None:
    assert load.runners_wanted(target_wait=100) == wanted


def test_the_capacity_counts_queued_and_running_jobs(jobs: Jobs, settings: Settings) -> None:
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(Profile.of_this_machine(settings).holding("demo", {}))
    for _ in range(3):
        jobs.submit(clip())
    assert Claim.next(jobs.database, lease.executor_id) is not None
    capacity = jobs.capacity()
    each = jobs.queue_seconds(priority=0) / 3
    assert capacity.live == capacity.runners["demo"] == 1
    assert capacity.load.queued == 2
    assert capacity.load.queued_seconds == pytest.approx(2 * each, rel=0.05)
    assert len(capacity.load.remaining) == 1
    assert 0 < capacity.load.remaining[0] <= each * 1.05
    assert capacity.loads == {"demo": capacity.load}


def test_a_runner_counts_only_for_the_models_it_has(jobs: Jobs, settings: Settings) -> None:
    Lease(jobs.database, settings.lease_seconds).renew(Profile.of_this_machine(settings))
    assert jobs.capacity().runners == {"demo": 1}


def test_the_capacity_is_read_without_reading_the_queued_jobs(jobs: Jobs) -> None:
    for _ in range(200):
        jobs.submit(clip())
    statements: list[str] = []
    sa.event.listen(
        jobs.database, "before_cursor_execute", lambda *sent: statements.append(sent[2])
    )
    assert jobs.capacity().load.queued == 200
    with jobs.database.connect() as connection:
        sums = connection.exec_driver_sql("SELECT count(*) FROM hunyuan_queue").scalar_one()
    assert sums <= math.ceil(200 / 64) + 1
    of_jobs = [each for each in statements if "FROM hunyuan_jobs" in each]
    assert len(of_jobs) == 1  # those that are rendered
