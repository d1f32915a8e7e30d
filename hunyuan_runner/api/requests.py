"""What the routes share in reading a request."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Header, Path, Request

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.bodies import media_type_of
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.jobs.job import Job, JobState

JOB_ID_FORM = "[A-Za-z0-9_-]{1,64}"
JOB_ID_PATTERN = f"^{JOB_ID_FORM}$"

JobId = Annotated[
    str, Path(pattern=JOB_ID_PATTERN, description="The job_id that submitting answered.")
]

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Your name for this submission: sent again, it queues no second job.",
    ),
]


async def require_json(request: Request) -> None:
    """Refuse other bodies: a page of another site can have a browser send a form, but not JSON."""
    if media_type_of(request.headers) != "application/json" and await request.body():
        message = "Send JSON, with the header Content-Type: application/json."
        raise ApiError(415, "not_json", message)


async def require_own_page(request: Request) -> None:
    """Refuse what a browser sends for a page of another site, where a form has to be taken."""
    origin = request.headers.get("Origin")
    settings = request.app.state.settings
    if origin is None or urlsplit(origin).netloc == request.headers.get("Host"):
        return
    if settings.public_url and urlsplit(settings.public_url)[:2] == urlsplit(origin)[:2]:
        return  # by a proxy that names a host of its own
    if origin not in settings.cors_origins and "*" not in settings.cors_origins:
        raise ApiError(403, "foreign_page", "A page of another site may not do this.")


def completed_job(backend: Backend, job_id: str) -> Job:
    """Raises JobNotFound, or ApiError while there is no clip."""
    job = backend.jobs.get(job_id)
    if job.state is not JobState.COMPLETED:
        raise ApiError(409, "wrong_state", f"Job {job.id} is {job.state}, not completed.")
    return job
