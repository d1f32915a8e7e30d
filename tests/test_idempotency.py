"""A submission whose answer got lost can be repeated: its key says that it is the same one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

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


def test_a_key_without_end_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json=SHORT, headers={"Idempotency-Key": "x" * 256})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "idempotency-key"
