"""A job store that cannot be opened at the start: the service waits for it, or says why not."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr, ValidationError

from hunyuan_runner.jobs.opening import require_usable, when_it_opens
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, StoreUnusable
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.settings import Settings
from tests.conftest import ROOT, Service, finish, serve, skip_without, submit
from tests.jobs.databases import postgres_binaries, running_postgres, stopped_postgres
from tests.receiver import receiving, wait_until


@pytest.mark.slow
def test_a_service_is_whole_once_its_postgres_is_up(tmp_path: Path) -> None:
    binaries = postgres_binaries()
    if binaries is None:
        skip_without("postgresql")
    with stopped_postgres(binaries) as server, receiving() as receiver:
        ours = {
            "HUNYUAN_DATABASE_URL": server.url.render_as_string(hide_password=False),
            "HUNYUAN_WEBHOOK_ALLOW_PRIVATE": "true",
        }
        service = serve(tmp_path, "service:HunyuanVideo", ours)
        try:
            service.wait_until_ready("/livez")
            with httpx.Client(base_url=service.url, timeout=30) as client:
                is_closed(client)
                wait_until(lambda: service.log.read_text().count("cannot be opened") == 2)
                server.start()
                service.wait_until_ready()
                job = submit(client, webhook_url=receiver.url)
                with client.stream("GET", f"/api/jobs/{job['job_id']}/events") as events:
                    assert "event: final" in list(events.iter_lines())
                assert finish(client, job)["status"] == "completed"
                wait_until(lambda: [p.type for p in receiver.posts][1:] == ["job.completed"])
            assert service.terminate() == 0
        finally:
            service.kill()
            server.stop()
    assert "Traceback" not in service.log.read_text()


def is_closed(client: httpx.Client) -> None:
    """All that needs the store is refused in the service's own words; the rest is answered."""
    assert "\nhunyuan_database_up 0.0\n" in client.get("/metrics").text
    for path in ("/readyz", "/health", "/api/jobs", "/api/events", "/v1/videos"):
        answer = client.get(path)
        assert answer.status_code == 503, path
        assert answer.json()["error"]["code"] == "unavailable"
        assert int(answer.headers["Retry-After"]) > 0
    assert client.post("/api/generate", json={"prompt": "a cat"}).status_code == 503
    foreign = {"Origin": "https://elsewhere.example"}
    assert client.post("/v1/videos", data={"prompt": "a cat"}).status_code == 503
    assert client.post("/v1/videos", data={"prompt": "a"}, headers=foreign).status_code == 403
    page = client.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, "Starting" in page.text) == (503, True)
    for path in ("/livez", "/openapi.json", "/docs", "/"):
        assert client.get(path).status_code == 200, path


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096 * 2)
        file.write(b"\xff" * 4096 * 4)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [garbage, cut, overwritten, a_folder]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_file_that_is_no_database_is_refused(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path)
    Jobs(settings).close()
    require_usable(settings)
    damage(settings.sqlite_path)
    with pytest.raises(StoreUnusable, match="Put a backup in its place"):
        require_usable(settings)


@pytest.mark.slow
def test_a_file_that_is_no_database_ends_the_start(tmp_path: Path) -> None:
    garbage(tmp_path / "jobs.sqlite")
    service = serve(tmp_path, "service:HunyuanVideo", {"HUNYUAN_DATA_DIR": str(tmp_path)})
    assert service.process.wait(60) == 1
    log = service.log.read_text()
    assert f"{tmp_path / 'jobs.sqlite'} cannot be used: file is not a database" in log
    assert "Traceback" not in log


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["service:HunyuanVideo", "service:HunyuanRunner"])
def test_a_newer_database_ends_the_start(entry: str, tmp_path: Path) -> None:
    make_newer(Settings(data_dir=tmp_path))
    service = serve(tmp_path, entry, {"HUNYUAN_DATA_DIR": str(tmp_path)})
    is_refused(service)


@pytest.mark.slow
def test_a_newer_postgres_ends_the_start(tmp_path: Path) -> None:
    binaries = postgres_binaries()
    if binaries is None:
        skip_without("postgresql")
    with running_postgres(binaries) as server:
        url = server.render_as_string(hide_password=False)
        make_newer(Settings(data_dir=tmp_path, database_url=SecretStr(url)))
        is_refused(serve(tmp_path, "service:HunyuanVideo", {"HUNYUAN_DATABASE_URL": url}))


@pytest.mark.slow
def test_a_database_can_be_upgraded_before_services_start(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    done = upgrade(settings)
    assert done.stdout == f"the job database has version {SCHEMA_VERSION}\n"
    assert settings.sqlite_path.exists()
    make_newer(settings)
    refused = upgrade(settings)
    assert refused.returncode == 1
    assert "the job database has schema version 1000" in refused.stderr


def upgrade(settings: Settings) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hunyuan_runner", "upgrade"]
    environment = os.environ | {"HUNYUAN_DATA_DIR": str(settings.data_dir)}
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


def make_newer(settings: Settings) -> None:
    jobs = Jobs(settings)
    with jobs.database.begin() as connection:
        connection.execute(sa.text("UPDATE hunyuan_schema SET version = 1000, release = '9.7.5'"))
    jobs.close()


def is_refused(service: Service) -> None:
    assert service.process.wait(60) == 1
    log = service.log.read_text()
    assert "the job database has schema version 1000" in log
    assert "Install hunyuan-runner 9.7.5 or later" in log
    assert "Traceback" not in log


@pytest.mark.slow
def test_a_database_that_is_locked_or_empty_or_missing_will_do(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    require_usable(settings)
    settings.sqlite_path.touch()
    require_usable(settings)
    with closing(sqlite3.connect(settings.sqlite_path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        require_usable(settings)


def test_why_a_store_does_not_open_is_logged_once_and_not_its_password(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    url = SecretStr(f"postgresql://ana:secret@/name?host={tmp_path}")
    settings = Settings(data_dir=tmp_path, database_url=url)
    tries = 0

    def open_store() -> str:
        nonlocal tries
        tries += 1
        if tries == 3:
            return "open"
        Jobs(settings)
        raise AssertionError

    with caplog.at_level(logging.INFO):
        assert asyncio.run(when_it_opens(open_store)) == "open"
    first, last = caplog.messages
    assert "cannot be opened, trying again: connection" in first
    assert last == "the job store is open"
    assert "secret" not in caplog.text


@pytest.mark.slow
def test_a_postgres_that_never_answers_is_given_up_soon(tmp_path: Path) -> None:
    """It takes the connection, as a host does that hangs, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = SecretStr(f"postgresql://ana@127.0.0.1:{silent.getsockname()[1]}/name")
        started = time.monotonic()
        with pytest.raises(JobsUnavailable):
            Jobs(Settings(data_dir=tmp_path, database_url=url))
        assert time.monotonic() - started < 60


@pytest.mark.parametrize("url", ["mysql://ana@host/name", "host/name", "sqlite:///jobs.sqlite"])
def test_an_address_without_a_postgres_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be postgresql://"):
        Settings(database_url=SecretStr(url))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_platforms_may_write_the_scheme_as_they_do(scheme: str, tmp_path: Path) -> None:
    url = SecretStr(f"{scheme}://ana@/name?host={tmp_path}")
    with pytest.raises(JobsUnavailable, match="does not answer"):  # tried, in vain
        Jobs(Settings(data_dir=tmp_path, database_url=url))
