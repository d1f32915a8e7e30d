"""The routes of the queue panel without a browser: what they refuse, and how the stream begins."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import SHORT, Service, StartService, submit
from tests.test_auth import API_KEYS, client_of

FORM = {name: str(value) for name, value in SHORT.items()}


@pytest.fixture(scope="module")
def guarded(start_service: StartService) -> Service:
    """A service with keys and without a worker: its jobs wait."""
    return start_service(
        HUNYUAN_API_KEYS=API_KEYS, HUNYUAN_MAX_QUEUED="3", HUNYUAN_LOCAL_RUNNER="false"
    )


@pytest.fixture
def ana(guarded: Service) -> Iterator[httpx.Client]:
    with client_of(guarded, "ana") as client:
        yield client
        client.post("/api/jobs/cancel")


@pytest.fixture
def bo(guarded: Service) -> Iterator[httpx.Client]:
    with client_of(guarded, "bo") as client:
        yield client


def waiting(client: httpx.Client) -> list[str]:
    jobs = client.get("/api/jobs", params={"status": "pending"}).json()["jobs"]
    return [job["job_id"] for job in jobs]


def test_a_button_acts_on_the_jobs_of_its_user_only(ana: httpx.Client, bo: httpx.Client) -> None:
    job_id = submit(ana)["job_id"]
    for action in ("approve", "cancel", "first", "pause", "remove", "retry", "sooner"):
        assert bo.post(f"/studio/queue/{job_id}/{action}").status_code == 404
    assert job_id not in bo.get("/studio/queue").text
    assert job_id in ana.get("/studio/queue").text
    assert waiting(ana) == [job_id]


def test_a_removed_job_takes_nothing_along_of_what_orders_pictures(ana: httpx.Client) -> None:
    def number(page: httpx.Response) -> int:
        return int(re.findall(r'data-number="(\d+)"', page.text)[0])

    job_id = submit(ana)["job_id"]
    canceled = ana.post(f"/studio/queue/{job_id}/cancel")
    removed = ana.post(f"/studio/queue/{job_id}/remove")
    assert job_id not in removed.text
    assert number(removed) >= number(canceled)


def test_a_page_of_another_site_can_press_no_button(ana: httpx.Client) -> None:
    job_id = submit(ana)["job_id"]
    there = {"Origin": "https://elsewhere.example"}
    assert ana.post(f"/studio/queue/{job_id}/cancel", headers=there).status_code == 403
    assert waiting(ana) == [job_id]


def test_there_are_no_other_buttons(ana: httpx.Client) -> None:
    job_id = submit(ana)["job_id"]
    assert ana.post(f"/studio/queue/{job_id}/explode").status_code == 422
    assert ana.post("/studio/queue/../cancel").status_code in (404, 405)
    assert ana.get(f"/studio/queue/{job_id}/cancel").status_code == 405


@pytest.mark.parametrize("count", ["0", "10", "-1", "many"])
def test_a_wrong_number_of_variations_is_refused_beside_its_field(
    count: str, ana: httpx.Client
) -> None:
    answer = ana.post("/studio/generate", data=FORM | {"variations": count})
    assert "a number from 1 to 9" in answer.text
    assert waiting(ana) == []


def test_variations_are_queued_all_or_not_at_all(ana: httpx.Client) -> None:
    answer = ana.post("/studio/generate", data=FORM | {"variations": "4"})
    assert "3 jobs waiting, which is the limit" in answer.text
    assert waiting(ana) == []
    ana.post("/studio/generate", data=FORM | {"variations": "3", "seed": "4294967295"})
    jobs = ana.get("/api/jobs", params={"status": "pending"}).json()["jobs"]
    assert sorted(job["params"]["seed"] for job in jobs) == [0, 1, 4294967295]
    assert {job["draft_steps"] for job in jobs} == {1}
    assert len({job["metadata"]["studio-variations"] for job in jobs}) == 1


def test_the_stream_begins_with_the_queue_of_its_user(ana: httpx.Client, bo: httpx.Client) -> None:
    job_id = submit(ana, prompt="</script>\r\n\ndata: no")["job_id"]
    for client, sees in ((ana, True), (bo, False)):
        with client.stream("GET", "/studio/events") as stream:
            assert stream.headers["Content-Type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            while next(lines) != "event: queue":
                pass
            fragment = []
            while line := next(lines):
                fragment.append(line)
        assert all(line.startswith("data: ") for line in fragment)
        assert (f"job-{job_id}" in "".join(fragment)) is sees
