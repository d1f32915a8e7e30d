"""BentoML's stock client against the running service: its task API, answered from our job store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest
from bentoml.exceptions import BentoMLException

from hunyuan_runner.media import probe
from tests.conftest import LONG, SHORT, Service


@asynccontextmanager
async def task_client(service: Service) -> AsyncIterator[Any]:
    async with bentoml.AsyncHTTPClient(service.url) as client:
        yield client.generate


async def until(task: Any, *statuses: str) -> str:
    while (status := str((await task.get_status()).value)) not in statuses:
        await asyncio.sleep(0.1)
    return status


def run(scenario: Callable[[Any], Coroutine[Any, Any, None]], service: Service) -> None:
    async def main() -> None:
        async with task_client(service) as generate:
            await scenario(generate)

    asyncio.run(main())


def test_it_submits_polls_and_gets_the_video(service: Service) -> None:
    async def scenario(generate: Any) -> None:
        task = await generate.submit(**SHORT)
        assert await until(task, "completed", "failed") == "completed"
        video = probe(Path(await task.get()))
        assert (video.width, video.height) == (SHORT["width"], SHORT["height"])
        assert video.num_frames == SHORT["num_frames"]
        assert video.tags["prompt"] == SHORT["prompt"]

    run(scenario, service)


def test_it_cancels_and_retries(service: Service) -> None:
    async def scenario(generate: Any) -> None:
        task = await generate.submit(**LONG)
        await until(task, "in_progress")
        await task.cancel()
        assert await until(task, "canceled") == "canceled"
        again = await task.retry()
        assert await until(again, "pending", "in_progress")
        await again.cancel()
        await until(again, "canceled")

    run(scenario, service)


def test_it_gets_the_reason_of_a_refusal(service: Service) -> None:
    async def scenario(generate: Any) -> None:
        with pytest.raises(BentoMLException, match="49 or 53"):
            await generate.submit(**SHORT | {"num_frames": 50})
        task = await generate.submit(**LONG)
        with pytest.raises(BentoMLException, match=r"pending|in_progress"):
            await task.get()
        await task.cancel()

    run(scenario, service)


def test_a_service_without_a_runner_takes_tasks_that_another_renders_later(
    start_service: Callable[..., Service], tmp_path: Path
) -> None:
    data_dir = str(tmp_path / "data")
    front = start_service(HUNYUAN_DATA_DIR=data_dir, HUNYUAN_LOCAL_RUNNER="false")

    async def scenario(generate: Any) -> None:
        task = await generate.submit(**SHORT)
        assert await until(task, "pending")
        health = httpx.get(f"{front.url}/health", timeout=30).json()
        assert health["status"] == "no_worker"
        runner = start_service("service:HunyuanRunner", HUNYUAN_DATA_DIR=data_dir)
        assert await until(task, "completed", "failed") == "completed"
        assert runner.terminate() == 0
        assert front.terminate() == 0

    run(scenario, front)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/generate/status"),
        ("GET", "/generate/get"),
        ("PUT", "/generate/cancel"),
        ("POST", "/generate/retry"),
    ],
)
def test_the_routes_refuse_a_missing_and_an_unknown_task(
    client: httpx.Client, method: str, path: str
) -> None:
    missing = client.request(method, path)
    unknown = client.request(method, path, params={"task_id": "no-such-task"})
    assert (missing.status_code, unknown.status_code) == (400, 404)
    assert "task_id" in missing.json()["error"]
    assert "no-such-task" in unknown.json()["error"]


def test_calling_the_task_directly_says_what_to_do_instead(client: httpx.Client) -> None:
    answer = client.post("/generate", json=SHORT)
    assert answer.status_code == 405
    assert "/generate/submit" in answer.json()["error"]


def test_the_status_has_more_than_the_client_reads(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    status = client.get("/generate/status", params={"task_id": clip["job_id"]}).json()
    assert status["status"] == "completed"
    assert status["progress"] == 1
    assert status["executed_at"] == clip["completed_at"]
