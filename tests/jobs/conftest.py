"""The job store on real databases, and real worker processes that tests can kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.job import ENDED, Job
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.settings import Settings
from tests.conftest import skip_without
from tests.jobs.databases import postgres_binaries, running_postgres

# So that a dead worker is noticed soon; but a busy machine may hold a test up for two seconds, and
# Postgres ends the transaction of who is silent for so long.
LEASE_SECONDS = 4.0


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.URL]:
    binaries = postgres_binaries()
    if binaries is None:
        skip_without("postgresql")
    with running_postgres(binaries) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings with an empty data folder, for each kind of database."""
    database_url = None
    if request.param == "postgres":
        server: sa.URL = request.getfixturevalue("postgres")
        database_url = emptied_database(server)
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        lease_seconds=LEASE_SECONDS,
        poll_seconds=0.05,
        calibrate=False,
    )


@pytest.fixture
def jobs(settings: Settings) -> Iterator[Jobs]:
    store = Jobs(settings)
    yield store
    store.close()


@pytest.fixture
def start_worker(settings: Settings) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start worker processes with `settings` and `changes`; they are killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(**changes: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.worker_process"],
            env=os.environ | environment(settings.model_copy(update=changes)),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready"), "the worker did not start"
        return process

    yield start
    for process in started:
        with process:
            process.send_signal(signal.SIGCONT)
            process.kill()


def freeze(process: subprocess.Popen[str], jobs: Jobs) -> None:
    """Freeze a worker; with SQLite, not in the middle of a transaction.

    There it would hold the only write lock while it is frozen. Postgres ends such a transaction.
    """
    while True:
        process.send_signal(signal.SIGSTOP)
        if _can_be_written(jobs.database):
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)


def _can_be_written(database: sa.Engine) -> bool:
    if database.dialect.name != "sqlite":
        return True
    with database.connect() as connection:
        connection.detach()  # the timeout is for this connection alone
        try:
            connection.execute(sa.text("PRAGMA busy_timeout=200"))
            connection.execute(sa.text("BEGIN IMMEDIATE"))
        except JobsUnavailable:
            return False
    return True


def clip(prompt: str = "a red circle", steps: int = 5) -> GenerationParams:
    """The params of the smallest clip."""
    request = GenerationRequest(
        prompt=prompt, width=64, height=64, num_frames=1, num_inference_steps=steps, seed=1
    )
    return request.resolve("demo", MODELS["demo"].presets)


def wait_for(jobs: Jobs, job_id: str, reached: Callable[[Job], bool], timeout: float = 180) -> Job:
    """Poll until `reached` holds; returns the job as it is then."""
    deadline = time.monotonic() + timeout
    while not reached(job := jobs.get(job_id)):
        assert time.monotonic() < deadline, f"still {job}"
        time.sleep(0.02)
    return job


def wait_for_end(jobs: Jobs, job_id: str) -> Job:
    return wait_for(jobs, job_id, lambda job: job.state in ENDED)


def emptied_database(server: sa.URL) -> SecretStr:
    """Empty the server's database, and return its URL.

    All tests share one database. One for each test would keep the disk busy with deleting files,
    and slow down the other tests.
    """
    database = sa.create_engine(server.set(drivername="postgresql+psycopg"))
    with database.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    database.dispose()
    return SecretStr(server.render_as_string(hide_password=False))


def environment(settings: Settings) -> dict[str, str]:
    """The environment variables from which a worker process reads these settings."""
    values = {
        "HUNYUAN_DATA_DIR": str(settings.data_dir),
        "HUNYUAN_LEASE_SECONDS": str(settings.lease_seconds),
        "HUNYUAN_POLL_SECONDS": str(settings.poll_seconds),
        "HUNYUAN_CALIBRATE": str(settings.calibrate),
    }
    if settings.database_url is not None:
        values["HUNYUAN_DATABASE_URL"] = settings.database_url.get_secret_value()
    return values
