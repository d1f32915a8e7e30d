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


DISGUISES = {
    "question mark": ("/generate/status%3Ftask_id={}", "/generate/status?task_id={}"),
    "question mark in lower case": ("/generate%2Fstatus%3ftask_id={}", POLLS["bentoml"][0]),
    "fragment": ("/api/status/{}%23", POLLS["rest"][0]),
    "query in the path": ("/api/status/{}%3Fa=1", POLLS["rest"][0] + "?a=1"),
    "line end": ("/v1/videos/{}%0A", POLLS["openai"][0]),
}


@pytest.mark.parametrize(("disguise", "path"), DISGUISES.values(), ids=DISGUISES)
def test_another_route_does_not_answer_for_a_poll(
    client: httpx.Client, job: dict[str, Any], disguise: str, path: str
) -> None:
    for _ in range(3):
        assert client.get(disguise.format(job["job_id"])).status_code == 404
        assert client.get(path.format(job["job_id"])).status_code == 200


def test_an_error_has_the_shape_of_the_route_that_was_asked(client: httpx.Client) -> None:
    ours = client.get("/generate%3Fx")
    assert ours.json()["error"]["code"] == "not_found"
    assert client.get("/generate/%3Fx").json() == {"error": ours.json()["error"]["message"]}
