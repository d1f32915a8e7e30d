"""A fleet at work: the real job store, 50 users and 50 runners whose renders are only waited for.

Runners renew leases, look for jobs, claim them and report steps as real workers do, only that a
render takes seconds. Users submit as fast as jobs end, and poll.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import psutil
import sqlalchemy as sa
from pydantic import SecretStr

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim, ClaimLost
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.skills import Skills
from hunyuan_runner.jobs.states import SUBMIT
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from tests.jobs.databases import postgres_binaries, running_postgres

QUEUED = (100, 1_000, 10_000)
USERS = 50
RUNNERS = 50
PROCESSES = 5  # that share the runners, so that these do not wait for each other's Python
WARM_UP_SECONDS = 10.0  # not measured: the runners begin one after another
SECONDS = 20.0
RENDER_SECONDS = (5.0, 15.0)
STEPS = 10
POLLS_PER_SECOND = 25.0  # of all users
LEASE_SECONDS = 10.0
BEAT_SECONDS = LEASE_SECONDS / 4
IDLE_SECONDS = 0.2
MEASURED = ("submit", "status", "claim", "step", "beat")

TEMPLATE = """\
## A fleet

`python -m bench simulation`: {users} users, {runners} runners, renders of {low:.0f} to {high:.0f} s
with {steps} steps, for {seconds:.0f} s. Half of the queued jobs are of one user. Times are medians
(and 99th percentiles) in ms, in the job store; HTTP comes on top.

| | {columns} |
|---|{rules}
{rows}
"""

T = TypeVar("T")


@dataclass
class Result:
    """What one process saw."""

    times: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    lost: int = 0
    since: float = field(default_factory=lambda: time.monotonic() + WARM_UP_SECONDS)

    def timed(self, name: str, act: Callable[[], T]) -> T | None:
        """The result of `act`, whose milliseconds are noted. None if the database refused it."""
        start = time.perf_counter()
        try:
            return act()
        except JobsUnavailable:
            self.refused += 1
            return None
        finally:
            if time.monotonic() > self.since:
                self.times[name].append((time.perf_counter() - start) * 1000)

    def add(self, other: Result) -> None:
        for name, times in other.times.items():
            self.times[name] += times
        self.refused += other.refused
        self.lost += other.lost


def run() -> str:
    columns: dict[str, dict[str, str]] = {}
    for queued in QUEUED:
        columns[f"SQLite, {queued:,}"] = _simulate(queued, None)
        if (binaries := postgres_binaries()) is not None:
            with running_postgres(binaries) as url:
                columns[f"Postgres, {queued:,}"] = _simulate(queued, url)
    names = next(iter(columns.values()))
    return TEMPLATE.format(
        users=USERS,
        runners=RUNNERS,
        low=RENDER_SECONDS[0],
        high=RENDER_SECONDS[1],
        steps=STEPS,
        seconds=SECONDS,
        columns=" | ".join(columns),
        rules="---|" * len(columns),
        rows="\n".join(
            f"| {name} | {' | '.join(column[name] for column in columns.values())} |"
            for name in names
        ),
    )


def _simulate(queued: int, url: sa.URL | None) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        text = url.render_as_string(hide_password=False) if url else None
        settings = Settings(
            data_dir=Path(folder),
            database_url=SecretStr(text) if text else None,
            lease_seconds=LEASE_SECONDS,
            max_queued=10**6,
        )
        jobs = Jobs(settings)
        ids = _fill(jobs, queued)
        before = _load(jobs)
        with ProcessPoolExecutor(PROCESSES + 1, get_context("spawn")) as processes:
            users = processes.submit(_users, settings, ids)
            each = RUNNERS // PROCESSES
            fleets = [processes.submit(_runners, settings, each, n) for n in range(PROCESSES)]
            seen = users.result()
            for fleet in fleets:
                seen.add(fleet.result())
        after = _load(jobs)
        order = _order(jobs)
        spread = _spread(order, jobs)
        jobs.close()
    row = {name: _summary(seen.times[name]) for name in MEASURED}
    row["transactions a second"] = _rate(before[0], after[0], "{:.0f}")
    row["CPU of Postgres, cores"] = _rate(before[1], after[1], "{:.2f}")
    row["refused (database too busy)"] = str(seen.refused)
    row["jobs taken over from live runners"] = str(seen.lost)
    row["jobs begun"] = str(sum(order.values()))
    row["jobs begun, of the users with jobs left: fewest to most"] = spread
    return row


def _fill(jobs: Jobs, queued: int) -> list[str]:
    """Queue this many jobs, half of them for the first user."""
    params = _clip()
    common = {
        **asdict(Work.of(params, MODELS[params.model])),
        **SUBMIT.values,
        "model": params.model,
        "params": params.model_dump(),
        "metadata": {},
        "priority": 0,
        "created_at": database.now_ms(),
    }
    turns: Counter[int] = Counter()
    rows = []
    for number in range(queued):
        user = 0 if number % 2 else number // 2 % (USERS - 1) + 1
        turns[user] += 1
        job_id = f"{time.time_ns():016x}{number:012x}"
        rows.append(common | {"id": job_id, "owner": f"user{user}", "turn": turns[user]})
    with jobs.database.begin() as connection:
        connection.execute(sa.insert(database.jobs), rows)
    if jobs.database.dialect.name == "postgresql":  # which Postgres does by itself, within a minute
        with jobs.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
    return [row["id"] for row in rows]


def _clip() -> Any:
    clip = GenerationRequest(prompt="A cat walks on grass", num_inference_steps=STEPS)
    return clip.resolve("demo", MODELS["demo"].presets)


def _users(settings: Settings, ids: list[str]) -> Result:
    """Submits as many jobs as end, and polls."""
    jobs, result, dice = Jobs(settings), Result(), random.Random(1)
    params = _clip()
    submits_per_second = RUNNERS / statistics.mean(RENDER_SECONDS)

    def submit() -> None:
        user = jobs.seen_by(Caller(f"user{dice.randrange(USERS)}"))
        result.timed("submit", lambda: user.submit(params))

    def poll() -> None:
        job_id = dice.choice(ids)
        result.timed("status", lambda: jobs.get(job_id))

    with ThreadPoolExecutor(10) as threads:
        ends = time.monotonic() + WARM_UP_SECONDS + SECONDS
        for rate, act in ((submits_per_second, submit), (POLLS_PER_SECOND, poll)):
            for _ in range(5):  # threads, each at a fifth of the rate
                threads.submit(_repeat, act, 5 / rate, ends)
    jobs.close()
    return result


def _repeat(act: Callable[[], None], pause: float, ends: float) -> None:
    while time.monotonic() < ends:
        started = time.monotonic()
        act()
        time.sleep(max(0.0, started + pause - time.monotonic()))


def _runners(settings: Settings, number: int, seed: int) -> Result:
    jobs, result = Jobs(settings), Result()
    profile = Profile.of_this_machine(settings)
    with ThreadPoolExecutor(number) as threads:
        ends = time.monotonic() + WARM_UP_SECONDS + SECONDS
        runners = [
            threads.submit(_Runner(jobs, profile, result, seed * number + n).work, ends)
            for n in range(number)
        ]
        for runner in runners:
            runner.result()
    jobs.close()
    return result


class _Runner:
    """Does in one thread what a worker does in two."""

    def __init__(self, jobs: Jobs, profile: Profile, result: Result, seed: int) -> None:
        self._database = jobs.database
        self._profile = profile
        self._result = result
        self._dice = random.Random(seed)
        self._lease = Lease(jobs.database, LEASE_SECONDS)
        self._skills = Skills.of(profile)
        self._beat_at = 0.0

    def work(self, ends: float) -> None:
        time.sleep(self._dice.random() * WARM_UP_SECONDS)
        while time.monotonic() < ends:
            self._sleep(0.0)
            claim = self._result.timed("claim", self._claim)
            if claim is None:
                self._sleep(IDLE_SECONDS)
            else:
                try:
                    self._render(claim, ends)
                except (ClaimLost, JobsUnavailable):
                    self._result.lost += 1

    def _claim(self) -> Claim | None:
        return Claim.next(self._database, self._lease.executor_id, self._skills)

    def _render(self, claim: Claim, ends: float) -> None:
        claim.enter(Stage.ENCODING)
        claim.enter(Stage.DENOISING)
        seconds = self._dice.uniform(*RENDER_SECONDS)
        for step in range(1, STEPS + 1):
            self._sleep(seconds / STEPS)
            if time.monotonic() > ends:
                return
            self._result.timed("step", lambda step=step: claim.finish_step(step))  # type: ignore[misc]
        claim.enter(Stage.PUBLISHING)
        claim.complete(database.now_ms() + 10**9)

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            if time.monotonic() - self._beat_at >= BEAT_SECONDS:
                self._beat_at = time.monotonic()
                self._result.timed("beat", self._beat)
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, BEAT_SECONDS))

    def _beat(self) -> None:
        self._lease.renew(self._profile)
        self._skills = self._lease.skills(self._profile)
        self._lease.take_over()


def _load(jobs: Jobs) -> tuple[float, float] | tuple[None, None]:
    """Transactions so far, and CPU seconds of all processes of Postgres. None for SQLite."""
    if jobs.database.dialect.name == "sqlite":
        return None, None
    with jobs.database.connect() as connection:
        transactions = connection.exec_driver_sql(
            "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database"
        ).scalar_one()
        own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    server = psutil.Process(own).parent()
    assert server is not None
    family = [server, *server.children()]
    return float(transactions), sum(_cpu_seconds(family))


def _cpu_seconds(processes: Iterable[psutil.Process]) -> Iterable[float]:
    for process in processes:
        times = process.cpu_times()
        # With those of connections that ended.
        yield times.user + times.system + times.children_user + times.children_system


def _order(jobs: Jobs) -> Counter[str]:
    """How many jobs of each user were begun."""
    begun = sa.select(database.jobs.c.owner, sa.func.count()).where(database.jobs.c.attempts > 0)
    with jobs.database.connect() as connection:
        found = connection.execute(begun.group_by(database.jobs.c.owner)).all()
    return Counter(dict(map(tuple, found)))


def _spread(order: Counter[str], jobs: Jobs) -> str:
    waiting = sa.select(database.jobs.c.owner).where(database.jobs.c.state == "pending").distinct()
    with jobs.database.connect() as connection:
        numbers = [order[owner] for owner in connection.execute(waiting).scalars()]
    return f"{min(numbers)} to {max(numbers)}" if numbers else "none left"


def _rate(before: float | None, after: float | None, form: str) -> str:
    return (
        ""
        if before is None or after is None
        else form.format((after - before) / (WARM_UP_SECONDS + SECONDS))
    )


def _summary(milliseconds: list[float]) -> str:
    p99 = statistics.quantiles(milliseconds, n=100)[-1]
    return f"{statistics.median(milliseconds):.1f} ({p99:.1f})"
