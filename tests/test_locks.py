"""Another program that locks the job database: readers go on, writers wait a while."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from hunyuan_runner.api import front as front_module
from hunyuan_runner.api.front import Front
from hunyuan_runner.settings import Settings
from hunyuan_runner.studio.app import create_app
from tests.conftest import SHORT, Service, StartService, submit

WRITES = 60  # more at once than there are threads or connections
READS = ("/api/jobs", "/health", "/readyz", "/metrics", "/api/info", "/v1/videos")


@pytest.fixture(scope="module")
def front(start_service: StartService) -> Service:
    return start_service(HUNYUAN_LOCAL_RUNNER="false")


@contextmanager
def locked(service: Service, *statements: str) -> Iterator[None]:
    """While this lasts, a backup holds the write lock."""
    with closing(sqlite3.connect(service.data_dir / "jobs.sqlite", isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
        yield


def test_readers_do_not_wait_for_writers_who_wait(front: Service) -> None:
    with (
        httpx.Client(base_url=front.url, timeout=60) as client,
        ThreadPoolExecutor(WRITES) as others,
    ):
        job = submit(client)
        written = threading.Event()

        def write(number: int) -> httpx.Response:
            answer = httpx.post(f"{front.url}/api/generate", json=SHORT, timeout=60)
            written.set()
            return answer

        with locked(front, "BEGIN EXCLUSIVE"):
            writes = [others.submit(write, number) for number in range(WRITES)]
            read = 0
            while not written.is_set():  # the first writer gives up
                for path in (*READS, f"/api/status/{job['job_id']}"):
                    assert client.get(path).status_code == 200, path
                estimate = client.post("/api/estimate", json=SHORT)
                assert estimate.status_code == 200
                read += 1
            assert read > 5
            answers = [write.result() for write in writes]
        assert Counter(answer.status_code for answer in answers) == {503: WRITES}
        for answer in answers:
            assert answer.json()["error"]["code"] == "unavailable"
            assert int(answer.headers["Retry-After"]) > 0
        assert any("keeps the job database locked" in answer.text for answer in answers)
        submit(client)
        assert len(client.get("/api/jobs").json()["jobs"]) >= 2


def test_writers_who_wait_a_moment_are_served(front: Service) -> None:
    with ThreadPoolExecutor(WRITES) as others:
        with locked(front, "BEGIN IMMEDIATE"):
            writes = [
                others.submit(httpx.post, f"{front.url}/api/generate", json=SHORT, timeout=60)
                for _ in range(WRITES)
            ]
            assert httpx.get(f"{front.url}/api/jobs", timeout=60).status_code == 200
        assert {write.result().status_code for write in writes} == {202}


def test_an_answer_that_does_not_begin_in_time_is_refused_in_our_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(front_module, "ANSWER_SECONDS", 0.2)

    async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(3600)

    answer = asyncio.run(ask(Front(stuck, create_app(), Settings(data_dir=tmp_path))))
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"


def test_an_answer_that_has_begun_may_take_its_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(front_module, "ANSWER_SECONDS", 0.2)

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.sleep(0.5)
        await send({"type": "http.response.body", "body": b"all of it"})

    answer = asyncio.run(ask(Front(slow, create_app(), Settings(data_dir=tmp_path))))
    assert answer.text == "all of it"


async def ask(front: Front) -> httpx.Response:
    """For what BentoML's app is left to answer."""
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.get("/schema.json")
