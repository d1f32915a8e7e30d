"""What several routes read from a request, and require of it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Header, Path, Request

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.bodies import media_type_of
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.wire import JobState

JOB_ID_FORM = "[A-Za-z0-9_-]{1,64}"
JOB_ID_PATTERN = f"^{JOB_ID_FORM}$"

JobId = Annotated[
    str, Path(pattern=JOB_ID_PATTERN, description="The `job_id` from the answer to submitting.")
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Your own name for this submission. Sending it again queues no second job.",
    ),
]


async def require_json(request: Request) -> None:
    """Refuse a body that is not JSON: a page of another site can make a browser send a form."""
    if media_type_of(request.headers) != "application/json" and await request.body():
        message = "Send the body as JSON, with Content-Type: application/json."
        raise ApiError(415, "not_json", message)


async def require_own_page(request: Request) -> None:
    """Refuse a form that a browser sends from a page of another site."""
    origin = request.headers.get("Origin")
    settings = request.app.state.settings
    if origin is None or urlsplit(origin).netloc == request.headers.get("Host"):
        return
    if settings.public_url and urlsplit(settings.public_url)[:2] == urlsplit(origin)[:2]:
        return  # the page has the public URL, and a proxy changed Host
    if origin not in settings.cors_origins and "*" not in settings.cors_origins:
        message = (
            "A page of another site may not send this; HUNYUAN_CORS_ORIGINS can allow its origin."
        )
        raise ApiError(403, "foreign_page", message)


def completed_job(backend: Backend, job_id: str) -> Job:
    """The job. Raises JobNotFound, or ApiError with 409 unless it is completed."""
    job = backend.jobs.get(job_id)
    if job.state is not JobState.COMPLETED:
        raise ApiError(
            409, "wrong_state", f"Job {job.id} is {job.state}, not completed, so it has no clip."
        )
    return job
