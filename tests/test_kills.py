"""The promise of the project: whatever is killed or hangs, every job ends, once, and unchanged."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import START_SECONDS, Service, StartService

JOBS = 20
KILLS_OF_EACH = 2
CLIP = {"prompt": "A cat walks on grass", "width": 96, "height": 64, "num_frames": 9} | {
    "num_inference_steps": 12
}
# Dead workers are found out sooner than by default, so that the test does not only wait.
ENVIRONMENT = {"HUNYUAN_LEASE_SECONDS": "2", "HUNYUAN_MAX_FAILED_STARTS": "50"} | {
    "HUNYUAN_STALL_SECONDS": "10"
}


@pytest.mark.timeout(900)
def test_all_jobs_complete_once_and_unchanged_though_everything_is_killed(
    start_service: StartService, tmp_path: Path
) -> None:
    chance = random.Random(2)
    environment = ENVIRONMENT | {"HUNYUAN_DATA_DIR": str(tmp_path / "data")}
    services = [start_service(**environment)]
    with httpx.Client(base_url=services[-1].url, timeout=30) as client:
        job_ids = [_submit(client, seed) for seed in range(JOBS)]

    kills: list[Callable[[Service], None]] = [
        _kill_engine,
        _freeze_engine,
        _kill_runner,
        Service.kill,
    ]
    for kill in chance.sample(kills * KILLS_OF_EACH, k=len(kills) * KILLS_OF_EACH):
        _wait_for_a_render(services[-1])
        time.sleep(chance.uniform(0, 1))
        kill(services[-1])
        if not _answers(services[-1]):
            services[-1].kill()
            services.append(start_service(**environment))

    with httpx.Client(base_url=services[-1].url, timeout=30) as client:
        jobs = [_wait_for_end(client, job_id) for job_id in job_ids]
        assert {job["status"] for job in jobs} == {"completed"}
        assert any(job["attempts"] > 1 for job in jobs), "no kill hit a render"
        files = [client.get(job["video_url"]).content for job in jobs]
        twins = [_submit(client, seed) for seed in range(JOBS)]
        for file, twin in zip(files, twins, strict=True):
            assert client.get(_wait_for_end(client, twin)["video_url"]).content == file
    # By the journal: a kill may come between a job's end and the line of the log that reports it.
    assert _times_completed(services[-1].data_dir) == dict.fromkeys([*job_ids, *twins], 1)


def _submit(client: httpx.Client, seed: int) -> str:
    job = client.post("/api/generate", json=CLIP | {"seed": seed}).raise_for_status().json()
    return str(job["job_id"])


def _wait_for_end(client: httpx.Client, job_id: str) -> dict[str, Any]:
    while True:
        job: dict[str, Any] = client.get(f"/api/status/{job_id}").raise_for_status().json()
        if job["status"] in ("completed", "failed", "canceled"):
            return job
        time.sleep(0.1)


def _times_completed(data_dir: Path) -> dict[str, int]:
    query = "SELECT job_id, count(*) FROM hunyuan_events WHERE state = 'completed' GROUP BY job_id"
    with closing(sqlite3.connect(data_dir / "jobs.sqlite")) as database:
        return dict(database.execute(query))


def _wait_for_a_render(service: Service) -> None:
    """Until an engine runs and a job is in its hands."""
    deadline = time.monotonic() + START_SECONDS
    url = f"{service.url}/api/jobs?status=in_progress"
    while time.monotonic() < deadline:
        running = httpx.get(url, timeout=30).json()["jobs"]
        if running and _processes(service, "hunyuan_runner.engine.child"):
            return
        time.sleep(0.05)
    pytest.fail(f"nothing is rendered:\n{service.log_tail()}")


def _answers(service: Service) -> bool:
    """Whether the service lives on with a runner; BentoML may end when one of its parts does."""
    time.sleep(1)
    return service.process.poll() is None and bool(_processes(service, "HunyuanRunner"))


def _kill_engine(service: Service) -> None:
    _kill(service, "hunyuan_runner.engine.child")


def _freeze_engine(service: Service) -> None:
    for process in _processes(service, "hunyuan_runner.engine.child"):
        process.suspend()


def _kill_runner(service: Service) -> None:
    _kill(service, "HunyuanRunner")


def _kill(service: Service, name: str) -> None:
    for process in _processes(service, name):
        process.kill()


def _processes(service: Service, name: str) -> list[psutil.Process]:
    try:
        family = psutil.Process(service.process.pid).children(recursive=True)
        return [process for process in family if name in " ".join(process.cmdline())]
    except psutil.NoSuchProcess:
        return []
