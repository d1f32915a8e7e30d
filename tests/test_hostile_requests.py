"""Requests that are made to cost much are refused before they do."""

from __future__ import annotations

import json
from typing import Any

import httpx
import psutil
import pytest

from bench.service import front_process
from hunyuan_runner.api.bodies import MAX_BODY_BYTES, MAX_FORM_BYTES, MAX_VALUES, MULTIPART
from hunyuan_runner.params import GenerationRequest
from tests import hostile
from tests.conftest import SHORT, Service

PLAIN = 100  # refused requests by which the others are measured
DEAREST = 100  # times what such a one costs
TRIES = 3  # of a request that seems too dear: the front has other things to do as well
LONGEST_ANSWER = 1000  # bytes
EMOJI = "\N{GRINNING FACE}"


@pytest.fixture(scope="module")
def front(service: Service) -> psutil.Process:
    return front_process(httpx.URL(service.url).port or 0)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def post(client: httpx.Client, request: hostile.Request) -> httpx.Response:
    headers = {"Content-Type": request.media_type}
    return client.post(request.path, content=request.body, headers=headers)


def test_what_is_refused_costs_little_and_is_not_echoed(
    client: httpx.Client, front: psutil.Process
) -> None:
    before = cpu_seconds(front)
    for _ in range(PLAIN):
        assert client.post("/api/generate", json={}).status_code == 422
    most = (cpu_seconds(front) - before) / PLAIN * DEAREST

    def is_dear(request: hostile.Request) -> bool:
        before = cpu_seconds(front)
        post(client, request)
        return cpu_seconds(front) - before > most

    for request in hostile.requests():
        answer = post(client, request)
        assert answer.status_code in (400, 413, 422), request.name
        assert len(answer.content) <= LONGEST_ANSWER, request.name
        assert not all(is_dear(request) for _ in range(TRIES)), request.name


def test_the_longest_request_that_is_valid_is_not_too_large(client: httpx.Client) -> None:
    """With every character escaped, as some clients write JSON."""
    webhook = "https://example.com/"
    longest = SHORT | {
        "prompt": EMOJI * 4000,
        "negative_prompt": EMOJI * 4000,
        "metadata": {f"{n:02}{EMOJI * 62}": EMOJI * 512 for n in range(16)},
        "webhook_url": webhook + "a" * (2048 - len(webhook)),
    }
    GenerationRequest.model_validate(longest)
    body = json.dumps(longest, ensure_ascii=True).encode()
    assert MAX_BODY_BYTES / 2 < len(body) < MAX_BODY_BYTES
    headers = {"Content-Type": "application/json"}
    too_many_frames = body[:-1] + b', "num_frames": 50}'
    answer = client.post("/api/generate", content=too_many_frames, headers=headers)
    assert answer.json()["error"]["param"] == "num_frames"


def test_a_text_of_nothing_but_commas_is_read(client: httpx.Client) -> None:
    commas = {"prompt": "," * 4000, "negative_prompt": "," * 4000}
    labels = {f"{n:02}{',' * 62}": "," * 512 for n in range(16)}
    request = SHORT | commas | {"metadata": labels, "num_frames": 50}
    answer = client.post("/api/generate", json=request)
    assert answer.json()["error"]["param"] == "num_frames"


def test_the_field_with_too_many_values_is_named(client: httpx.Client) -> None:
    answer = client.post(
        "/api/generate", json=SHORT | {"metadata": {str(n): "" for n in range(999)}}
    )
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "metadata"
    assert f"at most {MAX_VALUES}" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/api/jobs", "/livez", "/generate/status"])
def test_a_url_with_very_many_parameters_is_refused(client: httpx.Client, path: str) -> None:
    answer = client.get(f"{path}?{'&'.join(f'a{n}=1' for n in range(MAX_VALUES + 1))}")
    assert answer.status_code == 422
    assert "too many parameters" in answer.text


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        pytest.param(b"prompt=a+red%20circle", "a red circle", id="escaped"),
        pytest.param("prompt=ein+Käfer".encode(), "ein Käfer", id="in UTF-8"),
        pytest.param(b"&&prompt=50%&prompt=50%+off&", "50% off", id="a % and a name twice"),
        pytest.param(b"prompt==;", "=;", id="signs"),
    ],
)
def test_a_form_is_read_as_browsers_write_it(
    client: httpx.Client, fields: bytes, prompt: str
) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = fields + b"&size=64x64&seconds=0.1"
    video: dict[str, Any] = client.post("/v1/videos", content=form, headers=headers).json()
    assert video["prompt"] == prompt
    client.post(f"/api/jobs/{video['id']}/cancel")
    client.delete(f"/api/jobs/{video['id']}")


@pytest.mark.parametrize("size", [100, MAX_FORM_BYTES[MULTIPART], 5 * MAX_BODY_BYTES])
def test_an_image_of_any_size_is_said_not_to_be_supported(client: httpx.Client, size: int) -> None:
    image = ("cat.png", bytes(size), "image/png")
    answer = client.post("/v1/videos", data={"prompt": "A cat"}, files={"input_reference": image})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "input_reference"
    assert "is not supported" in answer.json()["error"]["message"]
