"""Job databases that an earlier version wrote, or a later one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hunyuan_runner.jobs import queue_sums, schema
from hunyuan_runner.jobs.database import database_of, metadata
from hunyuan_runner.jobs.database import schema as schema_table
from hunyuan_runner.jobs.deliveries import DeliveryState, Outbox
from hunyuan_runner.jobs.job import ENDED, Job
from hunyuan_runner.jobs.opening import require_usable
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, StoreUnusable
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import checkpoint_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.wire import JobState
from tests.conftest import ROOT, StartService, finish
from tests.jobs.conftest import environment, wait_for, wait_for_end
from tests.jobs.earlier import FOLDER, RELEASES, VERSIONS, restore


def by_prompt(jobs: Jobs) -> dict[str, Job]:
    """Every job; there are two whose prompt is "queued"."""
    return {job.params.prompt: job for job in jobs.list(limit=100, newest_first=False).jobs}


def structure(database: sa.Engine) -> dict[str, Any]:
    """All tables, columns, keys, indexes and triggers, whatever their order."""
    inspector = sa.inspect(database)
    found: dict[str, Any] = {}
    for table in inspector.get_table_names():
        columns = {
            column["name"]: (str(column["type"]), column["nullable"], column["default"])
            for column in inspector.get_columns(table)
        }
        indexes = {index["name"]: index["column_names"] for index in inspector.get_indexes(table)}
        keys = [key["constrained_columns"] for key in inspector.get_foreign_keys(table)]
        primary = inspector.get_pk_constraint(table)["constrained_columns"]
        found[table] = columns, indexes, keys, primary
    triggers = (
        "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        if database.dialect.name == "sqlite"
        else "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal"
    )
    with database.connect() as connection:
        found["triggers"] = sorted(tuple(row) for row in connection.exec_driver_sql(triggers))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_an_earlier_database_gets_the_tables_of_a_new_one(version: str, settings: Settings) -> None:
    restore(settings, version)
    Jobs(settings).close()
    database = database_of(settings)
    brought_up = structure(database)
    with database.begin() as connection:
        queue_sums.remove(connection)
        metadata.drop_all(connection)
    Jobs(settings).close()
    assert brought_up == structure(database)
    database.dispose()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_jobs_of_an_earlier_version_are_as_they_were(version: str, settings: Settings) -> None:
    restore(settings, version)
    jobs = Jobs(settings)
    states = {prompt: job.state for prompt, job in by_prompt(jobs).items()}
    assert jobs.counts() == {
        JobState.PENDING: 5,
        JobState.PAUSED: 2,
        JobState.IN_PROGRESS: 2,
        JobState.COMPLETED: 1,
        JobState.FAILED: 1,
        JobState.CANCELED: 3,
    }
    assert states == {
        "completed": JobState.COMPLETED,
        "failed": JobState.FAILED,
        "queued again by a retry": JobState.PENDING,
        "paused with its draft": JobState.PAUSED,
        "canceled while it was rendered": JobState.CANCELED,
        "pausing at step 1": JobState.IN_PROGRESS,
        "running at step 3": JobState.IN_PROGRESS,
        "paused in the queue": JobState.PAUSED,
        "canceled in the queue": JobState.CANCELED,
        "canceled while it was paused": JobState.CANCELED,
        "queued": JobState.PENDING,
        "queued before the others": JobState.PENDING,
        "queued after the others": JobState.PENDING,
    }
    jobs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_jobs_of_an_earlier_version_are_found_by_their_prompts(
    version: str, settings: Settings
) -> None:
    restore(settings, version)
    jobs = Jobs(settings)
    found = [job.params.prompt for job in jobs.list(search="OTHERS queued").jobs]
    assert sorted(found) == ["queued after the others", "queued before the others"]
    jobs.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_the_events_of_an_earlier_version_have_the_states_of_today(
    version: str, settings: Settings
) -> None:
    restore(settings, version)
    jobs = Jobs(settings)
    paused = by_prompt(jobs)["paused in the queue"].id
    states = [event.job.state for event in jobs.events_after(0, paused).events]
    assert states == [JobState.PENDING, JobState.PAUSED]
    jobs.close()


def test_the_webhooks_that_an_earlier_version_owed_are_sent_in_order(settings: Settings) -> None:
    restore(settings, "4b9c687")
    jobs = Jobs(settings)
    retried = by_prompt(jobs)["queued again by a retry"].id
    outbox = Outbox(jobs.database)
    assert [each.event for each in outbox.of_job(retried)] == ["started", "failed"]
    attempts = outbox.claim(100)
    sent = [each.delivery.event for each in attempts if each.job["id"] == retried]
    assert sent == ["started"]
    assert {each.delivery.owner for each in attempts} == {"", "ana"}
    assert {each.delivery.receiver for each in attempts} == {"127.0.0.1:9"}
    completed = outbox.of_job(by_prompt(jobs)["completed"].id)
    assert [each.state for each in completed] == [DeliveryState.DELIVERED, DeliveryState.PENDING]
    jobs.close()


def test_the_jobs_of_an_earlier_version_go_on_where_they_were(
    settings: Settings, start_worker: Callable[..., subprocess.Popen[str]]
) -> None:
    restore(settings, "4b9c687")
    jobs, storage = Jobs(settings), open_storage(settings)
    left = [job for job in jobs.list(limit=100).jobs if job.state not in ENDED]
    for job in left:
        if job.step:  # as worker_process.py writes it
            storage.put(checkpoint_key(job.id), str(job.step).encode())
    start_worker()
    wait_for(
        jobs, by_prompt(jobs)["pausing at step 1"].id, lambda job: job.state is JobState.PAUSED
    )
    for job in left:
        if jobs.get(job.id).state is JobState.PAUSED:
            jobs.resume(job.id)
    ended = [wait_for_end(jobs, job.id) for job in left]
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert [job.resumed_from_step for job in ended] == [job.step or None for job in left]
    jobs.close()


def test_a_new_database_has_the_version_that_the_steps_lead_to(settings: Settings) -> None:
    jobs = Jobs(settings)
    with jobs.database.connect() as connection:
        assert schema.known_version(connection) == SCHEMA_VERSION
    jobs.close()


@pytest.mark.parametrize(
    ("release", "needed"),
    [("9.7.5", "hunyuan-runner 9.7.5 or later"), (None, "a newer hunyuan-runner")],
)
def test_a_newer_database_is_refused_and_not_written_to(
    settings: Settings, release: str | None, needed: str
) -> None:
    jobs = Jobs(settings)
    with jobs.database.begin() as connection:
        newer = {"version": SCHEMA_VERSION + 1, "release": release}
        connection.execute(sa.update(schema_table).values(newer))
        connection.execute(sa.text("ALTER TABLE hunyuan_schema ADD COLUMN later TEXT"))
        connection.execute(sa.text("DROP TABLE hunyuan_passage"))  # it may have other tables
    jobs.close()
    before = contents(settings)
    for refused in (Jobs, require_usable):
        with pytest.raises(
            StoreUnusable, match=f"schema version {SCHEMA_VERSION + 1}.*Install {needed};"
        ):
            refused(settings)
    assert contents(settings) == before


def contents(settings: Settings) -> object:
    if settings.database_url is None:
        return settings.sqlite_path.read_bytes()
    database = database_of(settings)
    found = structure(database)
    database.dispose()
    return found


OPEN = "from hunyuan_runner.jobs.store import Jobs; from hunyuan_runner.settings import Settings; "


def start(settings: Settings, program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OPEN + program],
        env=os.environ | environment(settings),
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_takes_the_steps(settings: Settings) -> None:
    restore(settings, "4b9c687")
    program = "print(Jobs(Settings()).counts()['failed'])"
    started = [start(settings, program) for _ in range(4)]
    assert [process.communicate(timeout=120)[0] for process in started] == ["1\n"] * 4


@pytest.mark.slow
@pytest.mark.parametrize("last", [*schema.STEPS])
def test_a_process_killed_in_a_step_leaves_the_earlier_version(
    last: int, settings: Settings
) -> None:
    restore(settings, "4b9c687")
    database = database_of(settings)
    before = structure(database)
    program = (
        "import os; from hunyuan_runner.jobs import schema\n"
        f"take = schema.STEPS[{last}]\n"
        "def die(connection):\n"
        "    take(connection)\n"
        "    os.kill(os.getpid(), 9)\n"
        f"schema.STEPS[{last}] = die\n"
        "Jobs(Settings())"
    )
    with start(settings, program) as process:
        assert process.wait(60) == -signal.SIGKILL
    assert structure(database) == before
    database.dispose()
    jobs = Jobs(settings)
    assert by_prompt(jobs)["failed"].state is JobState.FAILED
    jobs.close()


def test_every_release_has_left_databases_and_a_data_folder_to_upgrade() -> None:
    """`make release-dump VERSION=1.2.3` makes them."""
    released = re.findall(
        r"^## (\d+\.\d+\.\d+) \(\d{4}-", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    assert released
    assert set(released) == set(RELEASES)
    for version in released:
        for kind in ("sqlite.sql", "postgres.sql", "data.tar.gz"):
            assert (FOLDER / f"{version}.{kind}").exists(), f"make release-dump VERSION={version}"


@pytest.mark.parametrize("version", RELEASES)
def test_the_data_folder_of_a_release_goes_on_with_its_clip_and_its_render(
    version: str, start_service: StartService, tmp_path: Path
) -> None:
    with tarfile.open(FOLDER / f"{version}.data.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    service = start_service(HUNYUAN_DATA_DIR=str(tmp_path), HUNYUAN_CALIBRATE="false")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        slow, done = client.get("/api/jobs").json()["jobs"]
        assert (done["status"], slow["step"] >= 2) == ("completed", True)
        (video,) = (tmp_path / "objects/jobs" / done["job_id"]).glob("video.mp4")
        assert client.get(done["video_url"]).content == video.read_bytes()
        ended = finish(client, slow)
        assert ended["status"] == "completed", ended
        assert ended["resumed_from_step"] >= slow["step"] > 0
        assert client.get(ended["video_url"]).status_code == 200
