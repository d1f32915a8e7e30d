"""Every example in the OpenAPI document can be sent as it stands: "Try it out" does so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from docs.tables import openapi
from tests.conftest import finish


def bodies() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Of every operation with a body: method, path, media type and how the body is described."""
    for path, operations in openapi()["paths"].items():
        for method, operation in operations.items():
            for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
                yield method, path, media_type, body


BODIES = list(bodies())


@pytest.mark.parametrize(
    ("method", "path", "media_type", "body"), BODIES, ids=[" ".join(each[:3]) for each in BODIES]
)
def test_the_example_of_a_body_is_served(
    client: httpx.Client,
    clip: dict[str, Any],
    method: str,
    path: str,
    media_type: str,
    body: dict[str, Any],
) -> None:
    sent = {
        "application/json": {"json": body["example"]},
        "application/x-www-form-urlencoded": {"data": body["example"]},
        # A part for each field, as a browser does it.
        "multipart/form-data": {"files": {k: (None, f"{v}") for k, v in body["example"].items()}},
    }[media_type]
    answer = client.request(method, path.replace("{job_id}", clip["job_id"]), **sent)
    assert answer.is_success, answer.text
    told = answer.json()
    job_id = told.get("job_id") or told.get("task_id") or told.get("id")
    if job_id is not None:
        job = client.get(f"/api/status/{job_id}").json()
        assert finish(client, job)["status"] == "completed"
        client.delete(f"/api/jobs/{job_id}")


def test_there_is_a_body_for_each_way_to_ask_for_a_clip() -> None:
    asked = {(path, media_type) for _, path, media_type, _ in BODIES}
    assert len(asked) >= 7
    assert ("/v1/videos", "multipart/form-data") in asked


def test_every_field_that_a_form_fills_in_is_served(client: httpx.Client) -> None:
    """Swagger UI shows a form field by field, each with the example of its own."""
    (form,) = (
        body["schema"]["properties"]
        for _, path, media_type, body in BODIES
        if (path, media_type) == ("/v1/videos", "multipart/form-data")
    )
    filled = {name: field["example"] for name, field in form.items() if "example" in field}
    filled |= {name: field["default"] for name, field in form.items() if "default" in field}
    assert filled.keys() >= {"prompt", "size", "metadata", "n"}
    answer = client.post("/v1/videos", data=filled | {"metadata": '{"order": "17"}'})
    assert answer.status_code == 200, answer.text
    client.delete(f"/v1/videos/{answer.json()['id']}")
