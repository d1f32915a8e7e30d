"""The library: clips that are finished, and every other job that one looks for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import HTMLResponse, JSONResponse, Response

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.errors import ApiError, as_api_error
from hunyuan_runner.api.requests import JOB_ID_PATTERN, JobId
from hunyuan_runner.api.routes.jobs import MAX_SEARCH
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import JobNotFound, Jobs, WrongState
from hunyuan_runner.manifest import Manifest
from hunyuan_runner.params import GenerationParams, GenerationRequest
from hunyuan_runner.storage.keys import manifest_key
from hunyuan_runner.storage.protocol import ObjectNotFound
from hunyuan_runner.studio.code import programs
from hunyuan_runner.studio.forms import form_of
from hunyuan_runner.studio.rendering import render
from hunyuan_runner.wire import JobState

CARDS_PER_PAGE = 24
DELETED_AT_ONCE = 100

router = APIRouter()

Form = Annotated[dict[str, str], Depends(form_of)]


class LibraryQuery(BaseModel):
    """Which jobs to show: the finished ones unless another state is chosen, or "" for all."""

    model_config = ConfigDict(extra="forbid")

    status: JobState | Literal[""] = JobState.COMPLETED
    search: str = Field("", max_length=MAX_SEARCH)
    after: str | None = Field(None, pattern=JOB_ID_PATTERN)


@dataclass(frozen=True)
class Library:
    """One page of cards, and what it was asked by."""

    jobs: list[Job]
    query: LibraryQuery
    has_more: bool = False
    states: tuple[JobState, ...] = tuple(JobState)
    max_search: int = MAX_SEARCH

    @property
    def shows_all_finished(self) -> bool:
        return self.query.status is JobState.COMPLETED and not self.query.search.strip()

    @property
    def next_query(self) -> str:
        """The query of the next page."""
        return urlencode(self.query.model_dump(mode="json") | {"after": self.jobs[-1].id})


def context(jobs: Jobs, query: LibraryQuery | None = None) -> dict[str, Any]:
    """What the library shows."""
    query = query or LibraryQuery()
    page = jobs.list(
        state=query.status or None,
        search=query.search,
        limit=CARDS_PER_PAGE,
        after=query.after,
        after_deleted=True,  # as the last card of the page may have been
    )
    return {"library": Library(page.jobs, query, page.has_more)}


@router.get("/library")
def cards(
    request: Request, query: Annotated[LibraryQuery, Query()], backend: FromBackend
) -> HTMLResponse:
    """A page of cards."""
    return render(request, "library/cards.html", **context(backend.jobs, query))


@router.get("/library/{job_id}")
def player(request: Request, job_id: JobId, backend: FromBackend) -> HTMLResponse:
    """The clip of a job, how it was made, and what can be done with it."""
    job = backend.jobs.get(job_id)
    return _player(request, backend, job.params, _manifest(backend, job), job)


@router.post("/library/{job_id}/again")
def again(job_id: JobId, backend: FromBackend) -> Response:
    """Queue the clip of a job with a new seed."""
    clip = backend.jobs.get(job_id).params.model_dump(exclude={"seed"}, exclude_none=True)
    queued = backend.submit(GenerationRequest(**clip))
    said = {"jobs-changed": {"ids": [queued.id]}, "say": "Queued again, with a new seed."}
    return Response(status_code=204, headers={"HX-Trigger": json.dumps(said)})


@router.post("/library/delete")
def delete(form: Form, backend: FromBackend) -> JSONResponse:
    """Delete the jobs `ids`, separated by spaces. The answer has the reasons for those it kept."""
    job_ids = form.get("ids", "").split()
    if len(job_ids) > DELETED_AT_ONCE:
        message = f"At most {DELETED_AT_ONCE} jobs can be deleted at once."
        raise ApiError(422, "invalid_value", message, param="ids")
    kept = {}
    for job_id in job_ids:
        try:
            backend.jobs.delete(job_id)
        except JobNotFound:
            pass  # it was deleted elsewhere, or has expired
        except WrongState as error:
            kept[job_id] = as_api_error(error).message
    return JSONResponse({"kept": kept})


@router.post("/library/recipe")
def recipe(request: Request, form: Form, backend: FromBackend) -> HTMLResponse:
    """How a file was made, from the manifest in it. Raises ApiError."""
    try:
        manifest = Manifest.model_validate_json(form.get("manifest", ""))
        clip = GenerationParams.model_validate(manifest.params.model_dump())
    except ValidationError as error:
        message = f"The settings in this file cannot be used here: {as_api_error(error).message}."
        raise ApiError(422, "invalid_value", message, param="manifest") from error
    return _player(request, backend, clip, manifest)


def _player(
    request: Request,
    backend: Backend,
    clip: GenerationParams,
    manifest: Manifest | None,
    job: Job | None = None,
) -> HTMLResponse:
    with_key = bool(backend.settings.accepted_keys)
    return render(
        request,
        "library/player.html",
        clip=clip,
        manifest=manifest,
        job=job,
        model=MODELS.get(clip.model),
        missing=_why_missing(backend, clip.model),
        settings=clip.model_dump(mode="json") | {"draft_steps": None},
        programs=programs(clip, _service_url(request), with_key=with_key),
    )


def _manifest(backend: Backend, job: Job) -> Manifest | None:
    """The manifest of a job; None if it is not completed, or an early version wrote none."""
    if job.state is not JobState.COMPLETED:
        return None
    try:
        return Manifest.model_validate_json(backend.storage.get(manifest_key(job.id)))
    except (ObjectNotFound, ValidationError):
        return None


def _why_missing(backend: Backend, model_id: str) -> str:
    """Why clips of this model cannot be made here; empty if they can."""
    try:
        backend.installed_model(model_id)
    except ApiError as error:
        return error.message
    return ""


def _service_url(request: Request) -> str:
    """The URL of the service: where the browser has this page from, unless it knows its own."""
    base: str = request.scope["base"]
    if "://" in base:
        return base
    page = urlsplit(request.headers.get("HX-Current-URL", ""))  # sent by htmx
    if page.scheme in ("http", "https") and page.netloc:
        return f"{page.scheme}://{page.netloc}{page.path.rstrip('/')}"
    return f"{request.url.scheme}://{request.headers.get('Host', '')}{base}"
