"""`hunyuan backup` of a busy service, and `hunyuan restore` on another machine."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import httpx

from tests.conftest import SHORT, Service, StartService, finish, submit, wait_for
from tests.receiver import wait_until

SLOW = {"width": 128, "height": 128, "num_frames": 9, "num_inference_steps": 100} | {
    "step_cache": "off"  # so that there are steps left when the engine is frozen
}


def hunyuan(*arguments: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hunyuan_runner", *arguments],
        env=os.environ | {"HUNYUAN_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        timeout=300,
    )


class Crowd:
    """Submits and deletes jobs as fast as the service takes them, until stopped."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._come_and_go) for _ in range(3)]
        self.submitted = 0

    def _come_and_go(self) -> None:
        with httpx.Client(base_url=self._service.url, timeout=60) as client:
            while not self._stopped.is_set():
                job = submit(client, priority=-10)
                client.post(f"/api/jobs/{job['job_id']}/cancel")
                self.submitted += 1

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()


def test_a_backup_made_in_mid_render_goes_on_elsewhere_bit_for_bit(
    start_service: StartService, tmp_path: Path
) -> None:
    service = start_service(HUNYUAN_CALIBRATE="false")
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    with httpx.Client(base_url=service.url, timeout=60) as client:
        done = finish(client, submit(client))
        slow = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        with service.frozen_engine(), Crowd(service) as crowd:
            wait_until(lambda: crowd.submitted > 5)
            before = crowd.submitted
            made = hunyuan("backup", str(backup), data_dir=service.data_dir)
            assert made.returncode == 0, made.stderr
            print(f"{crowd.submitted - before} jobs came and went meanwhile; {made.stdout}")
        with closing(sqlite3.connect(backup / "jobs.sqlite")) as copy:
            query = "SELECT state FROM hunyuan_jobs WHERE id = ?"
            assert copy.execute(query, [slow["job_id"]]).fetchone() == ("in_progress",)
        assert finish(client, slow)["status"] == "completed"
        videos = {
            job["job_id"]: client.get(f"/api/videos/{job['job_id']}.mp4").content
            for job in (done, slow)
        }
    service.terminate()

    restored = hunyuan("restore", str(backup), data_dir=fresh)
    assert restored.returncode == 0, restored.stderr
    assert "Restored into" in restored.stdout
    elsewhere = start_service(HUNYUAN_DATA_DIR=str(fresh), HUNYUAN_LEASE_SECONDS="2")
    with httpx.Client(base_url=elsewhere.url, timeout=60) as client:
        job = finish(client, client.get(f"/api/status/{slow['job_id']}").json())
        assert job["status"] == "completed"
        assert job["resumed_from_step"] >= 2
        for job_id, video in videos.items():
            assert client.get(f"/api/videos/{job_id}.mp4").content == video
        again = client.post("/api/generate", json=SHORT).json()
        assert finish(client, again)["status"] == "completed"
