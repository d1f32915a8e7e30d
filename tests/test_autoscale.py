"""`hunyuan autoscale` with a stand-in for Render's API, and the rules it follows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from hunyuan_runner.cli.autoscale import Policy
from hunyuan_runner.client import Capacity
from tests.conftest import LONG, StartService, submit, wait_for
from tests.stub_server import reply, serving

KEY = "rnd_a-key-of-nobody"


class Render:
    """Answers as Render's API does for one service."""

    def __init__(self) -> None:
        self.instances: int | None = 1
        self.scaled: list[int] = []
        self.url = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.headers["Authorization"] != f"Bearer {KEY}":
            reply(request, b'{"message": "unauthorized"}', 401)
        elif (request.command, request.path) == ("GET", "/v1/services/srv-runners"):
            details = {"numInstances": self.instances, "region": "oregon"}
            service = {"id": "srv-runners", "serviceDetails": details}
            reply(request, json.dumps(service).encode(), Content_Type="application/json")
        elif (request.command, request.path) == ("POST", "/v1/services/srv-runners/scale"):
            body = request.rfile.read(int(request.headers["Content-Length"]))
            self.instances = json.loads(body)["numInstances"]
            assert self.instances is not None
            self.scaled.append(self.instances)
            reply(request, b"", 202)
        else:
            reply(request, b'{"message": "not found"}', 404)


@pytest.fixture
def render() -> Iterator[Render]:
    render = Render()
    with serving(render.answer) as url:
        render.url = url
        yield render


@pytest.fixture(scope="module")
def front(start_service: StartService) -> Iterator[httpx.Client]:
    """A service without a runner, so that what is queued stays queued."""
    service = start_service(HUNYUAN_LOCAL_RUNNER="false")
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


def autoscale(
    client: httpx.Client,
    render: Render,
    *options: str,
    service: str = "srv-runners",
    key: str = KEY,
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hunyuan_runner", "autoscale", service, "--once", *options]
    environment = os.environ | {
        "HUNYUAN_URL": str(client.base_url),
        "RENDER_API_URL": f"{render.url}/v1",
        "RENDER_API_KEY": key,
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert KEY not in done.stdout + done.stderr
    return done


def test_instances_are_started_for_the_queue_and_stopped_when_it_is_empty(
    front: httpx.Client, render: Render
) -> None:
    jobs = [submit(front, **LONG) for _ in range(3)]
    planned = autoscale(front, render, "--target-wait", "1", "--max", "2", "--dry-run")
    assert "would scale from 1 to 2 instances" in planned.stdout
    assert render.scaled == []
    done = autoscale(front, render, "--target-wait", "1", "--max", "2")
    assert "3 queued" in done.stdout
    assert render.scaled == [2]
    assert "2 instances stay" in autoscale(front, render, "--target-wait", "1", "--max", "2").stderr
    for job in jobs:
        canceled = front.post(f"/api/jobs/{job['job_id']}/cancel").json()
        wait_for(front, canceled, lambda job: job["status"] == "canceled")
    assert autoscale(front, render).returncode == 0
    assert render.scaled == [2, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "rnd_wrong"}, "check RENDER_API_KEY"),
        ({"key": ""}, "RENDER_API_KEY is not set"),
        ({"service": "srv-other"}, "Render answered 404"),
    ],
    ids=["wrong key", "no key", "unknown service"],
)
def test_what_render_refuses_is_said_without_the_key(
    front: httpx.Client, render: Render, options: dict[str, str], message: str
) -> None:
    refused = autoscale(front, render, **options)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "rnd_wrong" not in refused.stderr


def test_a_service_whose_number_of_instances_is_unknown_is_left_alone(
    front: httpx.Client, render: Render
) -> None:
    render.instances = None
    refused = autoscale(front, render)
    assert (refused.returncode, render.scaled) == (1, [])


def capacity(queued: int = 0, running: int = 0, wanted: int = 0) -> Capacity:
    return Capacity.model_validate(
        {"queued_jobs": queued, "running_jobs": running, "runners_wanted": wanted}
    )


def test_no_runner_is_stopped_while_one_of_them_renders() -> None:
    policy = Policy(least=1, most=5, idle_seconds=100)
    assert policy.wanted(capacity(queued=9, running=1, wanted=4), 1, now=0) == 4
    assert policy.wanted(capacity(running=1, wanted=1), 4, now=1000) == 4
    assert policy.wanted(capacity(), 4, now=2000) == 4  # idle since now
    assert policy.wanted(capacity(running=1, wanted=1), 4, now=2050) == 4
    assert policy.wanted(capacity(), 4, now=2099) == 4
    assert policy.wanted(capacity(), 4, now=2198) == 4
    assert policy.wanted(capacity(), 4, now=2199) == 1


def test_the_number_of_instances_stays_within_its_bounds() -> None:
    policy = Policy(least=2, most=5, idle_seconds=0)
    assert policy.wanted(capacity(queued=99, wanted=99), 2, now=0) == 5
    assert policy.wanted(capacity(queued=1, wanted=1), 1, now=0) == 2
    assert policy.wanted(capacity(), 5, now=0) == 2
