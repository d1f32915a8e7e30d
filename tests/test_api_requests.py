"""Requests that cannot be served: each answer says what is allowed, and no job is queued."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hunyuan_runner.api.bodies import MAX_BODY_BYTES
from tests.conftest import SHORT

ERROR_FIELDS = {"code", "message", "param", "type"}
UNKNOWN = "no-such-job"


@pytest.fixture(autouse=True)
def no_job_is_queued(client: httpx.Client) -> Iterator[None]:
    newest = _newest(client)
    yield
    assert _newest(client) == newest


def _newest(client: httpx.Client) -> str | None:
    jobs = client.get("/api/jobs", params={"limit": 1}).json()["jobs"]
    return jobs[0]["job_id"] if jobs else None


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == ERROR_FIELDS
    assert "Traceback" not in answer.text
    return error


@pytest.mark.parametrize(
    ("fields", "param", "expected"),
    [
        pytest.param({"prompt": None}, "prompt", "string", id="a prompt that is null"),
        pytest.param({"prompt": "  "}, "prompt", "at least 1 character", id="an empty prompt"),
        pytest.param({"prompt": "a" * 5000}, "prompt", "at most 4000", id="a long prompt"),
        pytest.param({"num_frames": 50}, "num_frames", "49 or 53", id="frames that are not 4k+1"),
        pytest.param({"num_frames": 0}, "num_frames", "greater than", id="no frames"),
        pytest.param({"width": 63}, "width", "64", id="too narrow"),
        pytest.param({"height": 1281}, "height", "1280", id="too high"),
        pytest.param({"width": "wide"}, "width", "integer", id="a word for a number"),
        pytest.param({"width": 100.5}, "width", "integer", id="half a pixel"),
        pytest.param({"fps": 0}, "fps", "1", id="no frames per second"),
        pytest.param({"num_inference_steps": 101}, "num_inference_steps", "100", id="many steps"),
        pytest.param({"seed": -2}, "seed", "-1", id="a negative seed"),
        pytest.param({"size": "1792x1024"}, "size", "from 64 to 1280", id="a size too large"),
        pytest.param({"seconds": 60}, "seconds", "at most 17", id="too long"),
        pytest.param({"fps": 60.5}, "fps", "60", id="too many frames per second"),
        pytest.param({"steps": 3}, "steps", "num_inference_steps", id="two numbers of steps"),
        pytest.param({"seconds": 9}, "seconds", "num_frames contradict", id="two lengths"),
        pytest.param({"size": "64x128"}, "size", "height contradict", id="two sizes"),
        pytest.param({"seed": 2**32}, "seed", "4294967295", id="a seed too large"),
        pytest.param({"guidance_scale": 0.5}, "guidance_scale", "1", id="too little guidance"),
        pytest.param({"flow_shift": 0}, "flow_shift", "0", id="no shift"),
        pytest.param({"priority": 11}, "priority", "10", id="above the highest priority"),
        pytest.param({"preset": "best"}, "preset", "'fast'", id="an unknown preset"),
        pytest.param({"model": "sora"}, "model", "demo", id="an unknown model"),
        pytest.param(
            {"model": "hunyuanvideo"},
            "model",
            "hunyuan models download",
            id="a model not installed",
        ),
        pytest.param({"metadata": {"a": 1}}, "metadata.a", "string", id="a label that is none"),
        pytest.param({"metadata": {"a": "x" * 600}}, "metadata.a", "512", id="a long label"),
        pytest.param({"with": 100}, "with", "did you mean width", id="a misspelt field"),
        pytest.param({"nonsense": 1}, "nonsense", "not a known field", id="an unknown field"),
        pytest.param(
            {"width": 1280, "height": 1280, "num_frames": 257},
            "num_frames",
            "at most 69 at 1280x1280",
            id="more pixels than may be",
        ),
        pytest.param(
            {"true_cfg_scale": 3}, None, "negative_prompt", id="guidance away from nothing"
        ),
    ],
)
def test_a_bad_field_is_named_with_what_would_be_right(
    client: httpx.Client, fields: dict[str, Any], param: str | None, expected: str
) -> None:
    error = error_of(client.post("/api/generate", json=SHORT | fields), 422)
    assert error["param"] == param
    assert expected in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_missing_prompt_is_asked_for(client: httpx.Client) -> None:
    error = error_of(client.post("/api/generate", json={}), 422)
    assert (error["code"], error["param"]) == ("missing", "prompt")
    assert error_of(client.post("/api/generate"), 422)["code"] == "missing"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param(b"{", 400, "malformed_json", id="cut off"),
        pytest.param(b"\xff\xfe", 400, "malformed_json", id="not UTF-8"),
        pytest.param(b"[]", 422, "invalid_value", id="a list"),
        pytest.param(b'"a cat"', 422, "invalid_value", id="a string"),
        pytest.param(b"{" * 100_000, 400, None, id="deeply nested"),
        pytest.param(b'{"prompt": "a cat", "seed": 1e999}', 422, "invalid_value", id="infinity"),
        pytest.param(b'{"prompt": "\\ud800"}', 422, "invalid_value", id="half a character"),
    ],
)
def test_a_body_that_is_no_request_is_refused(
    client: httpx.Client, body: bytes, status: int, code: str | None
) -> None:
    headers = {"Content-Type": "application/json"}
    error = error_of(client.post("/api/generate", content=body, headers=headers), status)
    assert code is None or error["code"] == code


def test_a_refusal_without_a_field_names_the_body_or_begins_with_the_field_that_is_wrong(
    client: httpx.Client,
) -> None:
    error = error_of(client.post("/api/generate", json=[]), 422)
    assert error["message"].startswith("the body must be ")
    error = error_of(client.post("/api/generate", json=SHORT | {"true_cfg_scale": 3.0}), 422)
    assert error["message"].startswith("true_cfg_scale above 1 needs ")


def test_a_form_of_another_page_is_refused(client: httpx.Client) -> None:
    body = json.dumps(SHORT)
    answer = client.post("/api/generate", content=body, headers={"Content-Type": "text/plain"})
    assert error_of(answer, 415)["code"] == "not_json"


def test_a_huge_body_is_refused(client: httpx.Client) -> None:
    answer = client.post("/api/generate", content=b" " * (MAX_BODY_BYTES + 1))
    assert error_of(answer, 413)["code"] == "body_too_large"


def test_a_huge_body_of_unknown_length_is_refused(client: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 10_000 + 10):
            yield b" " * 10_000

    assert error_of(client.post("/api/generate", content=chunks()), 413)["code"] == "body_too_large"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/status/{id}"),
        ("POST", "/api/jobs/{id}/cancel"),
        ("POST", "/api/jobs/{id}/retry"),
        ("DELETE", "/api/jobs/{id}"),
        ("GET", "/api/videos/{id}.mp4"),
        ("GET", "/api/jobs/{id}/thumbnail"),
        ("GET", "/api/jobs/{id}/preview"),
    ],
)
@pytest.mark.parametrize(
    "job_id", [UNKNOWN, "..%2F..%2Fetc%2Fpasswd", "%00", "a" * 100, "é", "%27%20OR%201=1"]
)
def test_an_unknown_id_is_404(client: httpx.Client, method: str, path: str, job_id: str) -> None:
    answer = client.request(method, path.replace("{id}", job_id))
    assert error_of(answer, 404)["code"] == "not_found"


def test_files_of_a_job_that_is_not_done_are_409(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    for path in (
        f"/api/videos/{running_job['job_id']}.mp4",
        f"/api/jobs/{running_job['job_id']}/thumbnail",
    ):
        assert error_of(client.get(path), 409)["code"] == "wrong_state"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1000", "limit"),
        ("limit=x", "limit"),
        ("status=done", "status"),
        ("page=2", "page"),
    ],
)
def test_a_bad_query_is_named(client: httpx.Client, query: str, param: str) -> None:
    assert error_of(client.get(f"/api/jobs?{query}"), 422)["param"] == param


def test_a_list_after_an_unknown_job_is_404(client: httpx.Client) -> None:
    error_of(client.get("/api/jobs", params={"after": UNKNOWN}), 404)


def test_an_unknown_path_and_a_wrong_method_have_different_codes(client: httpx.Client) -> None:
    assert "GET /" in error_of(client.get("/api/nothing"), 404)["message"]
    answer = client.put("/api/generate", json=SHORT)
    assert "POST" in error_of(answer, 405)["message"]
    assert answer.headers["Allow"] == "POST"


def test_a_path_of_its_own_takes_no_methods_of_a_job_s(client: httpx.Client) -> None:
    assert client.get("/api/jobs/cancel").headers["Allow"] == "POST"
    assert client.get("/api/jobs/some-job/cancel").headers["Allow"] == "POST"
    assert client.post("/api/jobs/some-job").headers["Allow"] == "DELETE"
