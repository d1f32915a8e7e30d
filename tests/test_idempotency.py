"""A submission whose answer got lost can be repeated: its key says that it is the same one."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest
from pydantic import Field

from hunyuan_runner.api.backend import submission_of
from hunyuan_runner.params import GenerationRequest
from tests.conftest import SHORT, finish


def newest(client: httpx.Client) -> list[str]:
    return [job["job_id"] for job in client.get("/api/jobs?limit=3").json()["jobs"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", SHORT),
        ("/generate/submit", SHORT),
        ("/v1/videos", {"prompt": "A red circle", "size": "64x64", "seconds": 0.3}),
    ],
)
def test_a_repeated_submission_is_one_job(
    client: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    headers = {"Idempotency-Key": f"order 17 at {path}"}
    before = newest(client)
    first, *others = [client.post(path, json=body, headers=headers).json() for _ in range(3)]
    (job_id,) = {first.get(name) for name in ("job_id", "task_id", "id")} - {None}
    finish(client, client.get(f"/api/status/{job_id}").json())
    late = client.post(path, json=body, headers=headers).json()
    for other in (*others, late):
        assert job_id in (other.get("job_id"), other.get("task_id"), other.get("id"))
    assert newest(client) == [job_id, *before][:3]

    different = client.post(path, json=body | {"prompt": "A blue circle"}, headers=headers)
    assert different.status_code == 409
    assert "was used for a different request" in different.text
    assert newest(client)[0] == job_id


def test_a_field_at_its_default_is_as_if_left_out(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order 18"}
    defaults = {
        "priority": 0,
        "metadata": {},
        "webhook_url": None,
        "negative_prompt": "",
        "size": "",
    }
    bodies = [SHORT, SHORT | defaults, dict(reversed(SHORT.items()))]
    ids = {
        client.post("/api/generate", json=body, headers=headers).json()["job_id"] for body in bodies
    }
    assert len(ids) == 1
    other = client.post("/api/generate", json=SHORT | {"priority": 1}, headers=headers)
    assert other.status_code == 409


def test_a_new_version_knows_a_submission_to_the_one_before() -> None:
    """What it knew of a field that came later is that it was left out."""

    class Later(GenerationRequest):
        style: str | None = None
        loras: dict[str, float] = Field(default_factory=dict)

    asked = SHORT | {"fps": 24, "metadata": {"b": "1", "a": "2"}}

    def fingerprint(request: GenerationRequest) -> str:
        submission = submission_of("order 19", request, None)
        assert submission
        return submission.fingerprint

    before = fingerprint(GenerationRequest(**asked))
    assert fingerprint(Later(**asked)) == before
    assert fingerprint(Later(**asked, style="noir")) != before


def test_a_submission_to_a_version_that_counted_defaults_is_known() -> None:
    """The text of 4b9c687, whose rows are kept for as long as their jobs."""
    written = (
        '{"prompt":"A red circle","negative_prompt":null,"model":null,"preset":null,"width":64,'
        '"height":64,"num_frames":5,"fps":24,"num_inference_steps":2,"seed":7,'
        '"guidance_scale":null,"true_cfg_scale":null,"flow_shift":null,"step_cache":null,'
        '"draft_steps":null,"priority":0,"metadata":{},"webhook_url":null,"webhook_events":null}'
    )
    submission = submission_of("order 20", GenerationRequest(**SHORT, fps=24.0), None)
    assert submission
    assert submission.former_fingerprint == hashlib.sha256(f"None {written}".encode()).hexdigest()


def test_a_key_without_end_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json=SHORT, headers={"Idempotency-Key": "x" * 256})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "idempotency-key"
