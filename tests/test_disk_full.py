"""A disk that runs full: clear words, nothing half-done, and work that goes on once it is not."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from hunyuan_runner.jobs.store import JobNotFound, Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import video_key
from hunyuan_runner.storage.opening import open_storage
from tests.conftest import LONG, SHORT, StartService, finish, submit, wait_for
from tests.jobs.conftest import clip

SIZE = 8_000_000
DRILL_SIZE = 60_000_000
SLOW = {"width": 128, "height": 128, "num_frames": 9, "num_inference_steps": 60} | {
    "step_cache": "off"  # so that there are steps left when the disk is full
}


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    size = getattr(request, "param", SIZE)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, but: int = 0) -> Path:
    """A file that takes all the room there is, but so many bytes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    with filler.open("rb+") as file:
        file.truncate(filler.stat().st_size - but)
    return filler


def test_a_submit_to_a_full_disk_is_refused_and_leaves_no_job(
    start_service: StartService, small_disk: Path
) -> None:
    service = start_service(
        HUNYUAN_DATA_DIR=str(small_disk),
        HUNYUAN_LOCAL_RUNNER="false",
        HUNYUAN_DISK_RESERVE_BYTES="0",
    )
    with httpx.Client(base_url=service.url, timeout=60) as client:
        before = submit(client)
        filler = fill(small_disk)
        answer = client.post("/api/generate", json=SHORT)
        assert answer.status_code == 503
        assert "disk of the data folder is full" in answer.json()["error"]["message"]
        assert int(answer.headers["Retry-After"]) > 0
        assert client.get("/livez").status_code == 200
        filler.unlink()
        jobs = client.get("/api/jobs").json()["jobs"]
        assert [job["job_id"] for job in jobs] == [before["job_id"]]
        submit(client)


def test_room_can_be_made_by_deleting_a_job(small_disk: Path) -> None:
    jobs = Jobs(Settings(data_dir=small_disk, disk_reserve_bytes=0))
    clips = open_storage(Settings(data_dir=small_disk))
    done, waiting = jobs.submit(clip()), jobs.submit(clip())
    jobs.cancel(done.id)
    for job in (done, waiting):
        clips.put(video_key(job.id), b"\0" * 500_000)
    fill(small_disk)
    with pytest.raises(JobsUnavailable, match="disk of the data folder is full"):
        jobs.submit(clip())
    with pytest.raises(JobsUnavailable, match="disk of the data folder is full"):
        jobs.delete(waiting.id)  # which has to be certain: what it has done so far is lost by it
    assert clips.size(video_key(waiting.id)) == 500_000
    jobs.delete(done.id)
    with pytest.raises(JobNotFound):
        jobs.get(done.id)
    jobs.submit(clip())
    jobs.close()


def test_a_render_sits_out_a_full_disk_and_goes_on(
    start_service: StartService, small_disk: Path
) -> None:
    service = start_service(HUNYUAN_DATA_DIR=str(small_disk))
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        filler = fill(small_disk)
        # What comes first when the disk is full: storing the checkpoint, or noting the step.
        wait_for_log(service.log, "rendering continues", "waits for the job database")
        filler.unlink()
        assert finish(client, job)["status"] == "completed"


def test_frames_wait_for_room_and_fail_the_job_at_last_whose_checkpoint_is_kept(
    start_service: StartService, small_disk: Path
) -> None:
    service = start_service(HUNYUAN_DATA_DIR=str(small_disk), HUNYUAN_PUBLISH_PATIENCE_SECONDS="5")
    fitting = {"width": 256, "height": 192, "num_frames": 33, "num_inference_steps": 1}
    big = fitting | {"width": 640, "height": 480, "num_frames": 9}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        filler = fill(small_disk, but=1_500_000)  # enough for all but the frames
        job = submit(client, **LONG | fitting)
        wait_for_log(service.log, "The worker's disk is full. Retrying.")
        filler.unlink()
        job = finish(client, job)
        assert (job["status"], job["attempts"]) == ("completed", 1)

        job = finish(client, submit(client, **LONG | big))
        assert job["status"] == "failed"
        assert job["error"]["code"] == "disk_full"
        again = client.post(f"/api/jobs/{job['job_id']}/retry").json()
        assert finish(client, again)["resumed_from_step"] == 1


@pytest.mark.parametrize("small_disk", [DRILL_SIZE], indirect=True)
def test_a_full_disk_ends_no_process_and_loses_no_job(
    start_service: StartService, small_disk: Path
) -> None:
    service = start_service(HUNYUAN_DATA_DIR=str(small_disk), HUNYUAN_LEASE_SECONDS="5")
    with httpx.Client(base_url=service.url, timeout=60) as client:
        done = finish(client, submit(client))
        slow = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        waiting = submit(client)
        family = psutil.Process(service.process.pid).children(recursive=True)
        filler = fill(small_disk)

        every_route_answers_or_is_unavailable(client, done)
        wait_for_log(service.log, "rendering continues", "waits for the job database")
        assert all(process.is_running() for process in family), "a process died of the full disk"

        # A front that starts on a full disk is no worse.
        (front,) = (p for p in family if "--service-name HunyuanVideo" in " ".join(p.cmdline()))
        front.kill()
        front.wait(60)
        service.wait_until_ready("/livez")
        every_route_answers_or_is_unavailable(client, done)
        assert all(process.is_running() for process in family if process != front)

        filler.unlink()
        service.wait_until_ready()
        for job in (slow, waiting, submit(client)):
            ended = finish(client, job)
            assert ended["status"] == "completed", ended
            assert client.get(ended["video_url"]).status_code == 200
        assert len(client.get("/api/jobs").json()["jobs"]) == 4


@pytest.mark.parametrize("small_disk", [DRILL_SIZE], indirect=True)
def test_before_the_disk_is_full_jobs_are_refused_and_those_under_way_finish(
    start_service: StartService, small_disk: Path
) -> None:
    service = start_service(
        HUNYUAN_DATA_DIR=str(small_disk), HUNYUAN_DISK_RESERVE_BYTES=f"{DRILL_SIZE // 2}"
    )
    with httpx.Client(base_url=service.url, timeout=60) as client:
        repeated = {"Idempotency-Key": "once"}
        slow = wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        with service.frozen_engine():
            waiting = client.post("/api/generate", json=SHORT, headers=repeated).json()
            filler = fill(small_disk, but=DRILL_SIZE // 5)

            every_wire_refuses_a_job(client, service.url)
            again = client.post("/api/generate", json=SHORT, headers=repeated)
            assert (again.status_code, again.json()["job_id"]) == (202, waiting["job_id"])
            estimate = client.post("/api/estimate", json=SHORT).json()
            assert "disk_low" in [warning["code"] for warning in estimate["warnings"]]
            assert client.get("/health").json()["status"] == "disk_low"

        assert finish(client, slow)["status"] == "completed"
        wait_for_log(service.log, "no job from the queue begins")
        job = client.get(f"/api/status/{waiting['job_id']}").json()
        assert (job["status"], job["attempts"]) == ("pending", 0)
        assert [warning["code"] for warning in job["warnings"]] == ["disk_low"]
        assert len(client.get("/api/jobs").json()["jobs"]) == 2

        filler.unlink()
        for job in (waiting, submit(client)):
            assert finish(client, job)["status"] == "completed"
        assert client.get("/health").json()["status"] == "ok"


def every_wire_refuses_a_job(client: httpx.Client, url: str) -> None:
    """With words that say what to do."""
    advice = "Delete jobs that have ended"
    for path, body in (("/api/generate", SHORT), ("/v1/videos", {"prompt": "A red circle"})):
        answer = client.post(path, json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_low")
        assert advice in answer.json()["error"]["message"]
    answer = client.post("/generate/submit", json=SHORT)
    assert answer.status_code == 507
    assert advice in answer.json()["error"]
    command = [sys.executable, "-m", "hunyuan_runner", "--url", url]
    arguments = ["A red circle", "--width", "64", "--height", "64", "--num-frames", "5"]
    refused = subprocess.run(
        [*command, "generate", *arguments], capture_output=True, text=True, timeout=120
    )
    assert refused.returncode == 1
    assert advice in refused.stderr
    estimated = subprocess.run(
        [*command, "estimate", *arguments], capture_output=True, text=True, timeout=120
    )
    assert "new jobs are refused" in " ".join(estimated.stdout.split())


def every_route_answers_or_is_unavailable(client: httpx.Client, job: dict[str, Any]) -> None:
    """In the service's own words; to which all that is asked for the first time belongs."""
    job_id = job["job_id"]
    assert client.get("/livez").status_code == 200
    reads = [
        *("/", "/docs", "/openapi.json", "/api/models", "/api/info", "/api/jobs", "/health"),
        *("/metrics", "/readyz", "/v1/videos", f"/v1/videos/{job_id}", f"/api/status/{job_id}"),
        *(f"/api/videos/{job_id}.mp4", f"/api/jobs/{job_id}/thumbnail", "/api/webhooks/secret"),
        *(f"/api/jobs/{job_id}/events", f"/generate/status?task_id={job_id}", "/nowhere"),
    ]
    answers = [client.get(path) for path in reads]
    answers += [client.post(path, json=SHORT) for path in ("/api/generate", "/api/estimate")]
    answers += [client.post(f"/api/jobs/{job_id}/{verb}") for verb in ("cancel", "retry", "pause")]
    for answer in answers:
        assert answer.status_code in (200, 404, 409, 503, 507), (answer.url, answer.text)
        if answer.status_code == 503 and not answer.url.path.startswith("/generate/"):
            assert answer.json()["error"]["code"] == "unavailable", answer.url
        assert answer.status_code != 503 or int(answer.headers["Retry-After"]) > 0


def wait_for_log(log: Path, *words: str) -> None:
    """Until one of these is in the log."""
    deadline = time.monotonic() + 60
    while not any(some in (text := log.read_text()) for some in words):
        assert time.monotonic() < deadline, text[-2000:]
        time.sleep(0.1)
