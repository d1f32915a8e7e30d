"""A job over HTTP, from its submission to its deletion, against the running service."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import httpx
import pytest

from hunyuan_runner.catalogue import MODELS
from tests.conftest import LONG, SHORT, finish, submit, wait_for

RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_a_prompt_becomes_a_video(client: httpx.Client, clip: dict[str, Any]) -> None:
    assert clip["status"] == "completed"
    assert clip["progress"] == 1
    assert clip["step"] == clip["num_inference_steps"] == 2
    assert clip["stage"] is clip["error"] is clip["eta_seconds"] is clip["queue_position"] is None
    video = client.get(clip["video_url"])
    assert video.headers["Content-Type"] == "video/mp4"
    assert video.content[4:8] == b"ftyp"


def test_submitting_answers_202_with_the_job_and_where_to_follow_it(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json=SHORT)
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/status/{job['job_id']}"
    assert client.get(answer.headers["Location"]).json()["job_id"] == job["job_id"]
    assert job["status"] in ("pending", "in_progress")
    assert job["video_url"] is job["thumbnail_url"] is job["completed_at"] is None
    finish(client, job)


def test_what_is_left_out_comes_from_the_models_preset(client: httpx.Client) -> None:
    job = client.post("/api/generate", json={"prompt": "A red circle", "preset": "fast"}).json()
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    preset = MODELS["demo"].presets["fast"]
    assert job["model"] == job["params"]["model"] == "demo"
    assert (job["params"]["width"], job["params"]["height"]) == (preset.width, preset.height)
    assert job["params"]["num_inference_steps"] == preset.num_inference_steps
    assert isinstance(job["params"]["seed"], int)


def test_num_frames_may_be_called_video_length(client: httpx.Client) -> None:
    fields = {key: value for key, value in SHORT.items() if key != "num_frames"}
    job = client.post("/api/generate", json=fields | {"video_length": 9}).json()
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    assert job["params"]["num_frames"] == 9


def test_metadata_and_priority_come_back_with_the_job(client: httpx.Client) -> None:
    job = submit(client, metadata={"customer": "42"}, priority=3)
    assert finish(client, job)["metadata"] == {"customer": "42"}
    assert job["priority"] == 3


def test_times_are_rfc_3339_in_utc(clip: dict[str, Any]) -> None:
    times = [clip[f"{event}_at"] for event in ("created", "started", "completed", "expires")]
    assert all(RFC_3339_UTC.fullmatch(time) for time in times)
    # As text, a whole second sorts after all other times of that second: it has no fraction.
    assert times == sorted(times, key=datetime.fromisoformat)


def test_a_waiting_job_knows_its_place_and_its_eta(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    first, second = submit(client), submit(client)
    urgent = submit(client, priority=10)
    positions = [
        client.get(f"/api/status/{job['job_id']}").json()["queue_position"]
        for job in (urgent, first, second)
    ]
    assert positions == [1, 2, 3]
    eta = second["eta_seconds"]
    assert 0 < eta["low"] <= eta["expected"] <= eta["high"]
    for job in (first, second, urgent):
        client.delete(f"/api/jobs/{job['job_id']}")


def test_a_running_job_shows_its_progress_and_a_preview(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    job = wait_for(client, running_job, lambda job: job["preview_url"] is not None)
    assert job["status"] == "in_progress"
    assert job["stage"] == "denoising"
    assert 0 < job["progress"] < 1
    preview = client.get(job["preview_url"])
    assert preview.headers["Content-Type"] == "image/jpeg"
    assert "img-src 'self'" in preview.headers["Content-Security-Policy"]
    assert preview.content.startswith(b"\xff\xd8")


def test_a_running_job_can_be_canceled_and_retried(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    path = f"/api/jobs/{running_job['job_id']}"
    assert client.post(f"{path}/cancel").json()["status"] == "canceled"

    retried = client.post(f"{path}/retry").json()
    assert retried["job_id"] == running_job["job_id"]
    assert retried["status"] in ("pending", "in_progress")
    again = wait_for(client, retried, lambda job: job["stage"] == "denoising")
    assert again["attempts"] == 2


def test_a_cancel_frees_the_worker_for_the_next_job(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    waiting = submit(client)
    client.post(f"/api/jobs/{running_job['job_id']}/cancel")
    assert finish(client, waiting)["status"] == "completed"


def test_a_waiting_job_can_be_canceled_and_is_never_rendered(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    waiting = submit(client)
    answer = client.post(f"/api/jobs/{waiting['job_id']}/cancel")
    assert answer.json()["status"] == "canceled"
    assert answer.json()["attempts"] == 0


def test_a_deleted_job_and_its_files_are_gone(client: httpx.Client) -> None:
    job = finish(client, submit(client))
    answer = client.delete(f"/api/jobs/{job['job_id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (f"/api/status/{job['job_id']}", job["video_url"], job["thumbnail_url"]):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize("action", ["cancel", "retry"])
def test_a_completed_job_can_be_neither_canceled_nor_retried(
    client: httpx.Client, clip: dict[str, Any], action: str
) -> None:
    answer = client.post(f"/api/jobs/{clip['job_id']}/{action}")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "wrong_state"
    assert "is completed" in answer.json()["error"]["message"]


def test_a_running_job_is_not_deleted(client: httpx.Client, running_job: dict[str, Any]) -> None:
    answer = client.delete(f"/api/jobs/{running_job['job_id']}")
    assert answer.status_code == 409
    assert "cancel it" in answer.json()["error"]["message"]


def test_jobs_are_listed_newest_first_a_page_at_a_time(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    waiting = [submit(client)["job_id"] for _ in range(3)]
    first = client.get("/api/jobs", params={"status": "pending", "limit": 2}).json()
    assert [job["job_id"] for job in first["jobs"]] == waiting[:0:-1]
    assert (first["has_more"], first["next"]) == (True, waiting[1])
    rest = client.get("/api/jobs", params={"status": "pending", "after": first["next"]}).json()
    assert [job["job_id"] for job in rest["jobs"]] == waiting[:1]
    assert (rest["has_more"], rest["next"]) == (False, None)
    for job_id in waiting:
        client.delete(f"/api/jobs/{job_id}")


def test_the_list_can_be_narrowed_to_a_state(
    client: httpx.Client, clip: dict[str, Any], running_job: dict[str, Any]
) -> None:
    listed = client.get("/api/jobs", params={"status": "in_progress"}).json()["jobs"]
    assert [job["job_id"] for job in listed] == [running_job["job_id"]]


def test_the_list_can_be_searched(client: httpx.Client) -> None:
    other = finish(client, submit(client, prompt="Zebra on 100% ICE"))["job_id"]
    for search, found in {"zebra+ice": [other], "0%25%00": [other], "z_bra": [], "%FF": []}.items():
        answer = client.get(f"/api/jobs?status=completed&search={search}").raise_for_status()
        assert [job["job_id"] for job in answer.json()["jobs"]] == found, search
    newest = [client.get(f"/api/jobs?{query}").json()["jobs"][0] for query in ("search=", "")]
    assert [job["job_id"] for job in newest] == [other, other]
    refused = client.get("/api/jobs", params={"search": "a" * 101})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "search")


def test_a_long_clip_is_quoted_before_it_is_rendered(client: httpx.Client) -> None:
    long, short = submit(client, **LONG), submit(client)
    assert long["eta_seconds"]["expected"] > 0
    client.post(f"/api/jobs/{long['job_id']}/cancel")
    assert finish(client, short)["status"] == "completed"


def test_a_draft_can_be_looked_at_and_approved(client: httpx.Client) -> None:
    job = submit(client, draft_steps=1)
    drafted = wait_for(client, job, lambda job: job["draft_url"] is not None)
    assert (drafted["status"], drafted["stage"], drafted["step"]) == ("paused", "paused", 1)
    draft = client.get(drafted["draft_url"])
    assert draft.headers["Content-Type"] == "video/mp4"
    resumed = client.post(f"/api/jobs/{job['job_id']}/resume")
    assert resumed.status_code == 200
    done = finish(client, resumed.json())
    assert (done["resumed_from_step"], done["draft_url"]) == (1, None)
    assert client.get(drafted["draft_url"]).status_code == 404
    undisturbed = finish(client, submit(client))
    files = [client.get(made["video_url"]).content for made in (done, undisturbed)]
    assert files[0] == files[1]
    assert files[0] != draft.content


def test_a_job_is_paused_and_resumed(client: httpx.Client, running_job: dict[str, Any]) -> None:
    path = f"/api/jobs/{running_job['job_id']}"
    assert client.post(f"{path}/resume").json()["error"]["code"] == "wrong_state"
    others = client.get("/health").json()["queue"]["paused"]
    assert client.post(f"{path}/pause").json()["pausing"]
    paused = wait_for(client, running_job, lambda job: job["stage"] == "paused")
    assert paused["status"] == "paused"
    assert client.get("/health").json()["queue"]["paused"] == others + 1
    assert f'hunyuan_jobs{{state="paused"}} {others + 1}.0' in client.get("/metrics").text
    assert paused["job_id"] in listed(client, "paused")
    assert paused["job_id"] not in listed(client, "pending")
    assert client.post(f"{path}/resume").status_code == 200
    again = wait_for(client, paused, lambda job: job["resumed_from_step"] is not None)
    assert again["resumed_from_step"] == paused["step"] > 0


def test_a_paused_job_is_pending_to_bentoml_and_queued_to_openai(client: httpx.Client) -> None:
    job = submit(client, draft_steps=1)
    job_id = wait_for(client, job, lambda job: job["status"] == "paused")["job_id"]
    task = client.get(f"/generate/status?task_id={job_id}").json()
    assert (task["status"], task["stage"]) == ("pending", "paused")
    assert client.get(f"/v1/videos/{job_id}").json()["status"] == "queued"
    canceled = client.post("/api/jobs/cancel?status=paused").json()
    assert canceled["canceled"] >= 1
    assert client.get(f"/api/status/{job_id}").json()["status"] == "canceled"


def listed(client: httpx.Client, status: str) -> set[str]:
    """The ids of the newest jobs in this state."""
    jobs = client.get(f"/api/jobs?limit=100&status={status}").json()["jobs"]
    assert {job["status"] for job in jobs} <= {status}
    return {job["job_id"] for job in jobs}


def test_a_draft_after_the_last_step_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json=SHORT | {"draft_steps": 2})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "draft_steps"
    assert "below num_inference_steps, here 2" in answer.json()["error"]["message"]
