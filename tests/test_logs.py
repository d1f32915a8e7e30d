"""The log of the service as JSON: whatever happens to a job can be found by its id."""

from __future__ import annotations

import json
import logging
import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from hunyuan_runner import logs
from tests.conftest import SHORT, StartService, finish
from tests.receiver import receiving, wait_until

PROMPT = "A red circle that nobody may read about"


@pytest.fixture(scope="module")
def lines(start_service: StartService) -> list[dict[str, Any]]:
    """The log of a service that rendered a job for the request `mine-1`, and refused a request."""
    service = start_service(
        HUNYUAN_LOG_FORMAT="json", HUNYUAN_LOG_LEVEL="DEBUG", HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true"
    )
    with httpx.Client(base_url=service.url, timeout=30) as client, receiving() as receiver:
        asked = SHORT | {"prompt": PROMPT, "webhook_url": f"{receiver.url}/secret-path"}
        headers = {"X-Request-Id": "mine-1"}
        job = client.post("/api/generate", json=asked, headers=headers).json()
        assert finish(client, job)["status"] == "completed"
        wait_until(lambda: len(receiver.posts) == 2)
        wait_until(lambda: "webhook" in service.log.read_text())
        wrong = SHORT | {"prompt": PROMPT, "width": 1}
        assert client.post("/api/generate", json=wrong).status_code == 422
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(b"this is not HTTP\r\n\r\n")
        answer = connection.makefile().read()
    assert service.terminate() == 0
    found = [json.loads(line) for line in service.log.read_text().splitlines()]
    assert all(line["time"] and line["level"] and line["logger"] for line in found)
    (refused,) = re.findall("x-request-id: (.*)", answer)
    return [line | {"ours": job["job_id"], "refused": refused} for line in found]


def about_the_job(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (line for line in lines if line.get("job_id") == line["ours"])


def test_what_the_worker_the_engine_and_the_sender_log_has_the_job_and_its_request(
    lines: list[dict[str, Any]],
) -> None:
    found = [line for line in about_the_job(lines) if line["request_id"] == "mine-1"]
    assert {line["logger"] for line in found} >= {
        "hunyuan_runner.api.backend",  # is queued
        "hunyuan_runner.jobs.worker",  # begins, completed
        "hunyuan_runner.engine.process",
        "hunyuan_runner.weights",  # in the engine's process
        "hunyuan_runner.jobs.webhooks",
    }
    assert any(line["message"].endswith("completed") for line in found)


def test_a_line_about_a_request_has_its_id_and_the_job_of_its_path(
    lines: list[dict[str, Any]],
) -> None:
    requests = [line for line in lines if line["logger"] == "hunyuan_runner.api.front"]
    polls = [line for line in requests if line.get("path", "").startswith("/api/status/")]
    assert polls
    for line in polls:
        assert line["request_id"] not in (None, "mine-1")
        assert line["job_id"] == line["ours"]


def test_a_refused_connection_is_logged_with_the_id_of_its_answer(
    lines: list[dict[str, Any]],
) -> None:
    (line,) = [line for line in lines if line["request_id"] == line["refused"]]
    assert line["message"].startswith("refused 127.0.0.1: 400 ")


def test_no_line_has_a_prompt_or_the_path_of_a_webhook(lines: list[dict[str, Any]]) -> None:
    text = json.dumps(lines)
    assert PROMPT not in text
    assert "nobody" not in text
    assert "secret-path" not in text


@pytest.mark.parametrize(
    ("message", "suffix"),
    [("job j1 begins", " (r1)"), ("the model is small", " (job j1, r1)")],
    ids=["names the job", "does not"],
)
def test_a_line_of_text_names_its_job_and_its_request_once(message: str, suffix: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, message, (), None)
    with logs.about("j1", "r1"):
        logs._add_ids(record)
    assert record.__dict__["about"] == suffix
    outside = logging.LogRecord("x", logging.INFO, "x.py", 1, message, (), None)
    logs._add_ids(outside)
    assert outside.__dict__["about"] == ""
