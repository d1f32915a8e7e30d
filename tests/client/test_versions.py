"""The Python clients and the CLI with services of other versions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from hunyuan_runner.client import ApiError, FinalEvent, Job, JobFailed, ProgressEvent, StateEvent
from tests.client.conftest import Clients, hasty
from tests.stub_server import reply, serving
from tests.test_cli import HUNYUAN

# A job as version 4b9c687 wrote it, without the fields that came later.
OLDER_JOB: dict[str, Any] = {
    "job_id": "older",
    "status": "completed",
    "progress": 1.0,
    "stage": None,
    "step": 12,
    "num_inference_steps": 12,
    "queue_position": None,
    "eta_seconds": None,
    "attempts": 1,
    "created_at": "2026-11-20T01:00:00Z",
    "started_at": "2026-11-20T01:00:01Z",
    "completed_at": "2026-11-20T01:00:21Z",
    "params": {
        "prompt": "A cat walks on grass",
        "negative_prompt": None,
        "model": "demo",
        "width": 192,
        "height": 128,
        "num_frames": 33,
        "fps": 15,
        "num_inference_steps": 12,
        "seed": 7,
        "guidance_scale": 6.0,
        "true_cfg_scale": 1.0,
        "flow_shift": 5.0,
    },
    "model": "demo",
    "priority": 0,
    "metadata": {},
    "video_url": "/api/videos/older.mp4",
    "error": None,
}
NEWER_PARAMS = OLDER_JOB["params"] | {
    "width": 1920,
    "height": 1088,
    "num_frames": 301,
    "fps": 120,
    "num_inference_steps": 500,
    "guidance_scale": None,
    "step_cache": "turbo",
    "decoder": "bold",
    "sampler": "unipc",
}
# What a later version may write: larger clips, other words, more fields, null for a number.
NEWER_JOB = OLDER_JOB | {
    "job_id": "newer",
    "status": "archived",
    "stage": "upscaling",
    "step": None,
    "pausing": None,
    "attempts": None,
    "priority": 2.5,
    "metadata": None,
    "eta_seconds": {"low": 1, "expected": 2, "high": 3, "percentile": 90},
    "completed_at": None,
    "params": NEWER_PARAMS,
    "error": {"code": "melted", "message": "It was too hot.", "details": {"celsius": 110}},
    "warnings": [{"code": "too_hot", "message": "It is hot.", "since": "noon"}],
    "tenant": {"name": "ana"},
}
NEWER_END = NEWER_JOB | {
    "job_id": "ended",
    "status": "failed",
    "completed_at": "2030-01-01T00:00:00Z",
}
ESTIMATE = {
    "seconds": {"low": 1, "expected": 2, "high": 3, "percentile": 90},
    "peak_memory_bytes": None,
    "cost": {"amount": 3, "currency": "EUR"},
    "params": NEWER_PARAMS,
    "alternatives": [
        {
            "seconds": {"low": 1, "expected": 2, "high": 3},
            "peak_memory_bytes": 5,
            "changes": {"tiles": [2, 2], "width": 640, "seconds": None},
            "summary": "2x2 tiles",
            "carbon": 0.1,
        }
    ],
    "warnings": [{"code": "too_hot", "message": "It is hot."}],
    "queue": "night",
}
INFO = {
    "name": "hunyuan-runner",
    "versions": {"hunyuan-runner": "9.0"},
    "models": [
        {
            "id": "next",
            "installed": True,
            "default": True,
            "presets": {"ultra": {"width": 1920, "step_cache": "turbo", "sampler": "unipc"}},
        },
        {"id": "older"},
    ],
    "host": {"cpu": "A CPU", "cores": 64, "gpus": []},
    "runners": [{"cpu": "A CPU", "models": {"next": {"precision": "fp4"}}}],
    "region": "moon",
}
MANIFEST = {
    "manifest": 1,
    "params": NEWER_PARAMS,
    "model": {"id": "next", "repo": None, "revision": None, "weights": {}, "lora": []},
    "precision": "fp4",
    "threads": 64,
    "cpu": "A CPU",
    "versions": {},
    "video_sha256": "00",
    "video_bytes": 1,
    "upscaler": "none",
}
PROGRESS = {"job_id": "newer", "stage": "upscaling", "progress": 0.5, "tile": 3}
STREAM = (("state", NEWER_JOB), ("telemetry", {"celsius": 90}), ("progress", PROGRESS))


def answer(request: BaseHTTPRequestHandler) -> None:
    """Answer as a newer service."""
    body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
    path = request.path.partition("?")[0]
    if path.endswith("/events"):
        reply(request, events(), Content_Type="text/event-stream")
        return
    match path:
        case "/api/generate" if b"unipc" in body:
            refused: Any = {"code": "no_sampler", "message": "No.", "docs": "/docs", "path": ["a"]}
            refused = {"error": refused, "alternatives": ESTIMATE["alternatives"], "trace": "1"}
            reply(request, json.dumps(refused).encode(), 422)
            return
        case "/api/jobs":
            content: Any = {"jobs": [NEWER_JOB, OLDER_JOB], "has_more": False, "total": 2}
        case "/api/estimate":
            content = ESTIMATE
        case "/api/info":
            content = INFO
        case _ if path.endswith("/manifest"):
            content = MANIFEST
        case _ if path.endswith("/older"):
            content = OLDER_JOB
        case _ if path.endswith("/ended"):
            content = NEWER_END
        case _:
            content = NEWER_JOB
    reply(request, json.dumps(content).encode())


def events() -> bytes:
    content = [*STREAM, ("final", NEWER_END)]
    lines = (
        f"event: {name}\nid: {number}\ndata: {json.dumps(data)}\n\n"
        for number, (name, data) in enumerate(content)
    )
    return "".join(lines).encode()


@pytest.fixture(scope="module")
def newer() -> Iterator[str]:
    """The URL of a service of a later version."""
    with serving(answer) as url:
        yield url


def is_newer(job: Job) -> bool:
    """Whether the job is NEWER_JOB, as far as it is known here, and that no less."""
    params = job.params
    assert (params.width, params.height, params.num_frames, params.fps) == (1920, 1088, 301, 120)
    assert (params.num_inference_steps, str(params.step_cache)) == (500, "turbo")
    assert (job.stage, job.step, job.pausing, job.metadata) == ("upscaling", 0, False, {})
    assert job.error is not None
    assert job.error.code == "melted"
    assert [warning.code for warning in job.warnings] == ["too_hot"]
    assert job.eta_seconds is not None
    assert job.eta_seconds.high == 3
    return job.status == "archived" and not job.ended and not job.paused


def test_a_newer_job_is_read_wherever_it_comes(clients: Clients, newer: str) -> None:
    with clients(newer) as client:
        handle = client.job("newer")
        assert is_newer(handle.job)
        assert is_newer(handle.refresh())
        assert is_newer(handle.cancel())
        assert is_newer(client.generate("A cat").job)
        page = client.list()
        assert is_newer(page.jobs[0])
        assert page.next is None
        assert [is_newer(client.list(status="archived").jobs[0])] == [True]
        assert [each.id for each in client.iterate()] == ["newer", "older"]


def test_an_older_job_is_read(clients: Clients, newer: str) -> None:
    with clients(newer) as client:
        for job in (client.job("older").job, client.list().jobs[1]):
            assert job.ended
            assert job.params.step_cache == "off"
            assert job.warnings == ()
            assert (job.draft_steps, job.expires_at, job.pausing) == (None, None, False)
        assert client.job("older").wait().video_url == OLDER_JOB["video_url"]


@hasty
def test_a_newer_job_is_waited_for_to_an_end_that_we_know(clients: Clients, newer: str) -> None:
    with clients(newer) as client, pytest.raises(JobFailed) as failure:
        client.job("ended").wait()
    assert failure.value.code == "melted"


def test_unknown_events_are_passed_over_and_known_ones_read(clients: Clients, newer: str) -> None:
    with clients(newer) as client:
        first, progress, last = client.job("newer").events()
    assert isinstance(first, StateEvent)
    assert is_newer(first.job)
    assert isinstance(progress, ProgressEvent)
    assert (progress.stage, progress.progress, progress.step) == ("upscaling", 0.5, 0)
    assert isinstance(last, FinalEvent)
    assert last.job.ended


def test_a_newer_estimate_is_read(clients: Clients, newer: str) -> None:
    with clients(newer) as client:
        estimate = client.estimate("A cat")
    assert (estimate.params.width, estimate.fits, estimate.cost) == (1920, True, None)
    (alternative,) = estimate.alternatives
    assert alternative.changes == {"tiles": [2, 2], "width": 640, "seconds": None}


def test_a_newer_service_describes_itself(clients: Clients, newer: str) -> None:
    with clients(newer) as client:
        info = client.info()
    (preset,) = info.models[0].presets.values()
    assert (preset.width, preset.height, str(preset.step_cache)) == (1920, 0, "turbo")
    assert [model.installed for model in info.models] == [True, False]
    assert (info.host.cores, info.host.threads, info.retention_hours) == (64, 0, 0)
    assert info.runners[0].models["next"].precision == "fp4"


def test_a_recipe_of_a_newer_service_is_sent_back_whole(clients: Clients, newer: str) -> None:
    """So that the service may refuse what this client does not know, instead of another clip."""
    with clients(newer) as client:
        params = client.job("newer").manifest().params
        assert params.model_dump() == NEWER_PARAMS
        with pytest.raises(ApiError) as refusal:
            client.generate(**params.model_dump())
    assert (refusal.value.code, refusal.value.param) == ("no_sampler", None)
    assert refusal.value.alternatives[0].summary == "2x2 tiles"


def hunyuan(*arguments: str) -> str:
    done = subprocess.run([HUNYUAN, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_cli_shows_a_newer_job(newer: str) -> None:
    listed = hunyuan("jobs", "--url", newer)
    assert "archived" in listed
    assert "1920x1088" in listed
    shown = hunyuan("status", "newer", "--url", newer)
    assert "upscaling" in shown
    assert "301 frames at 120 fps" in shown
    assert "1920x1088, 301 frames" in hunyuan("estimate", "--url", newer)


def test_the_cli_shows_a_job_without_numbers() -> None:
    params = dict.fromkeys(NEWER_PARAMS) | {"prompt": "A cat", "model": "next"}
    bare = dict.fromkeys(OLDER_JOB) | {
        "job_id": "bare",
        "status": "pending",
        "created_at": "2026-11-20T01:00:00Z",
        "params": params,
    }
    with serving(lambda request: reply(request, json.dumps(bare).encode())) as url:
        assert "A cat" in hunyuan("status", "bare", "--url", url)
        assert json.loads(hunyuan("status", "bare", "--url", url, "--json"))["params"] == params


def test_json_has_what_only_the_service_knows(newer: str, tmp_path: Path) -> None:
    job = json.loads(hunyuan("status", "newer", "--url", newer, "--json"))
    assert job["tenant"] == {"name": "ana"}
    assert job["params"] == NEWER_PARAMS
    assert job["error"] == NEWER_JOB["error"]
    assert job["warnings"] == NEWER_JOB["warnings"]
    page = json.loads(hunyuan("jobs", "--url", newer, "--json"))
    assert page["total"] == 2
    assert page["jobs"][0] == job
    estimate = json.loads(hunyuan("estimate", "--url", newer, "--json"))
    assert estimate["queue"] == "night"
    assert estimate["alternatives"][0]["carbon"] == 0.1
