"""A runner without work gives back the memory of its model, or ends."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil

from tests.conftest import Service, StartService, finish, serve, submit, wait_for


def resident_bytes(service: Service) -> int:
    family = psutil.Process(service.process.pid).children(recursive=True)
    return sum(each.memory_info().rss for each in family)


def test_a_model_without_work_is_unloaded_and_the_next_job_loads_it_again(
    start_service: StartService,
) -> None:
    service = start_service(HUNYUAN_UNLOAD_AFTER="2", HUNYUAN_CALIBRATE="false")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        first = finish(client, submit(client))
        engine = service.engine()
        assert engine is not None
        its_bytes, loaded = engine.memory_info().rss, resident_bytes(service)
        engine.wait(60)
        while (unloaded := resident_bytes(service)) > loaded - its_bytes / 2:
            time.sleep(0.1)
        print(f"{loaded / 1e6:.0f} MB with the model, {unloaded / 1e6:.0f} MB without")

        second = finish(client, submit(client))
        assert (second["status"], second["attempts"]) == ("completed", 1)
        clips = [client.get(job["video_url"]).content for job in (first, second)]
        assert clips[0] == clips[1]


def test_a_runner_without_work_ends_its_service(
    start_service: StartService, tmp_path: Path
) -> None:
    front = start_service(HUNYUAN_LOCAL_RUNNER="false")
    with httpx.Client(base_url=front.url, timeout=60) as client:
        job = submit(client)
        environment = {"HUNYUAN_DATA_DIR": str(front.data_dir), "HUNYUAN_EXIT_AFTER": "1"}
        runner = serve(tmp_path, "service:HunyuanRunner", environment)
        try:
            job = wait_for(client, job, lambda job: job["status"] == "completed")
            assert runner.process.wait(120) == 0, runner.log_tail()
        finally:
            runner.kill()
        assert job["attempts"] == 1
        assert client.get("/health").json()["workers"] == 0
