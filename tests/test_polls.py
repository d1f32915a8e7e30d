"""What those see who ask for the same job over and over."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import submit

POLLS = {
    "rest": ("/api/status/{}", "canceled"),
    "openai": ("/v1/videos/{}", "failed"),
    "bentoml": ("/generate/status?task_id={}", "canceled"),
}


@pytest.fixture
def job(client: httpx.Client, running_job: dict[str, Any]) -> dict[str, Any]:
    """One that waits."""
    return submit(client)


@pytest.mark.parametrize(("path", "ended"), POLLS.values(), ids=POLLS)
def test_what_is_done_to_a_job_shows_in_the_next_poll(
    client: httpx.Client, job: dict[str, Any], path: str, ended: str
) -> None:
    path = path.format(job["job_id"])
    first = client.get(path).json()["status"]
    assert client.get(path).json()["status"] == first != ended
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    assert client.get(path).json()["status"] == ended
    client.delete(f"/api/jobs/{job['job_id']}")
    assert client.get(path).status_code == 404


def test_every_poll_is_answered_and_counted_by_itself(
    client: httpx.Client, job: dict[str, Any]
) -> None:
    path = f"/api/status/{job['job_id']}"
    counted = 'hunyuan_http_requests_total{method="GET",route="/api/status/{job_id}",status="200"}'

    def count() -> float:
        lines = client.get("/metrics").text.splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(counted)), 0.0)

    before = count()
    answers = [client.get(path, headers={"X-Request-Id": str(n)}) for n in range(5)]
    assert [answer.headers.get_list("X-Request-Id") for answer in answers] == [
        [str(n)] for n in range(5)
    ]
    assert count() == before + 5
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
