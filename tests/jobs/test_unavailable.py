"""A database that cannot serve: the store raises JobsUnavailable, which names the trouble."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from hunyuan_runner.jobs import database, unavailable
from hunyuan_runner.jobs.journal import writing
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.settings import Settings
from tests.conftest import skip_without
from tests.jobs.conftest import clip
from tests.jobs.databases import postgres_binaries, stopped_postgres


def submit_in_vain(jobs: Jobs) -> JobsUnavailable:
    with pytest.raises(JobsUnavailable) as raised:
        jobs.submit(clip())
    assert "INSERT" not in str(raised.value)
    assert raised.value.reason
    assert "\n" not in raised.value.reason
    return raised.value


def test_a_lock_that_another_program_holds_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    jobs = Jobs(settings)
    with writing(jobs.database):
        assert submit_in_vain(jobs).message == unavailable.LOCKED
    jobs.close()


def test_a_pool_without_a_free_connection_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    jobs = Jobs(settings)
    with ExitStack() as connections:
        for _ in range(database.MAX_OVERFLOW + 5):
            connections.enter_context(jobs.database.connect())
        assert submit_in_vain(jobs).message == unavailable.TOO_BUSY
    jobs.close()


@pytest.mark.slow
def test_a_postgres_that_stopped_is_named_and_found_again(tmp_path: Path) -> None:
    binaries = postgres_binaries()
    if binaries is None:
        skip_without("postgresql")
    with stopped_postgres(binaries) as server:
        server.start()
        url = SecretStr(server.url.render_as_string(hide_password=False))
        jobs = Jobs(Settings(data_dir=tmp_path, database_url=url))
        server.stop()
        assert submit_in_vain(jobs).message == unavailable.NO_ANSWER
        server.start()
        jobs.submit(clip())  # the connections of the pool are all dead by now
        jobs.close()
        server.stop()


def test_a_mistake_of_a_caller_is_not_the_database_s(jobs: Jobs) -> None:
    with pytest.raises(sa.exc.IntegrityError), jobs.database.begin() as connection:
        connection.execute(sa.insert(database.schema).values(version=SCHEMA_VERSION))
