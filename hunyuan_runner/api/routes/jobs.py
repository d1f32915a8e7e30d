"""Jobs: submit a clip, estimate it, follow it, stop it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.document import CLIP_EXAMPLE, example, refusals
from hunyuan_runner.api.requests import JOB_ID_PATTERN, IdempotencyKey, JobId, require_json
from hunyuan_runner.api.views import estimate_view, job_list, job_view
from hunyuan_runner.jobs.states import WAITING
from hunyuan_runner.params import EstimateRequest, GenerationRequest
from hunyuan_runner.wire import Canceled, EstimateView, JobList, JobState, JobView

MAX_SEARCH = 100  # characters

router = APIRouter(tags=["jobs"])


class JobsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: JobState | None = Field(None, description="Return only jobs in this state.")
    search: str = Field(
        "",
        max_length=MAX_SEARCH,
        description="Return only jobs whose prompt has all of these words, or words that contain "
        "them. Upper and lower case are the same.",
        examples=["cat"],
    )
    limit: int = Field(20, ge=1, le=100, description="Jobs per page.")
    after: str | None = Field(
        None, pattern=JOB_ID_PATTERN, description="A job id: the page starts after this job."
    )


class CancelQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: Literal[JobState.PENDING, JobState.PAUSED, JobState.IN_PROGRESS] | None = Field(
        None,
        description="Cancel only jobs in this state; by default those that wait: pending and "
        "paused.",
    )
    all_users: bool = Field(
        False,
        description="Cancel the jobs of all users, with an admin's key.",
    )


@router.post(
    "/api/generate",
    operation_id="submit_job",
    status_code=202,
    dependencies=[Depends(require_json)],
    openapi_extra=example(CLIP_EXAMPLE),
    responses=refusals(400, 409, 413, 415, 422, 503, 507),
)
def submit_job(
    wanted: GenerationRequest,
    backend: FromBackend,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue a clip. Poll the path in `Location` until the job is completed."""
    job = backend.submit(wanted, idempotency_key=idempotency_key)
    response.headers["Location"] = f"{backend.base}/api/status/{job.id}"
    return job_view(job, backend.base)


@router.post(
    "/api/estimate",
    operation_id="estimate",
    dependencies=[Depends(require_json)],
    openapi_extra=example(CLIP_EXAMPLE | {"deadline_seconds": 600}),
    responses=refusals(400, 413, 415, 422, 503),
)
def estimate(wanted: EstimateRequest, backend: FromBackend) -> EstimateView:
    """Estimate a clip without queueing it: time, memory, cost, and alternatives that need less."""
    return estimate_view(backend.estimate(wanted), wanted.deadline_seconds)


@router.get(
    "/api/status/{job_id}",
    operation_id="get_job",
    response_model=JobView,
    responses=refusals(404, 503),
)
def get_job(job_id: JobId, backend: FromBackend) -> Response:
    """Get a job: its state, its progress and the URLs of its files."""
    # As a Response: FastAPI would validate the view again, in a thread, and polls are frequent.
    view = job_view(backend.jobs.get(job_id), backend.base)
    return Response(view.model_dump_json(), media_type="application/json")


@router.get("/api/jobs", operation_id="list_jobs", responses=refusals(404, 422, 503))
def list_jobs(query: Annotated[JobsQuery, Query()], backend: FromBackend) -> JobList:
    """List jobs, the newest first, a page at a time."""
    page = backend.jobs.list(
        state=query.status, search=query.search, limit=query.limit, after=query.after
    )
    return job_list(page, backend.base)


@router.post(
    "/api/jobs/cancel",
    operation_id="cancel_jobs",
    responses=refusals(422, 503),
)
def cancel_jobs(query: Annotated[CancelQuery, Query()], backend: FromBackend) -> Canceled:
    """Cancel all your jobs that wait, up to 500 per request; repeat while `has_more` is true."""
    states = WAITING if query.status is None else (query.status,)
    canceled, has_more = backend.jobs.cancel_all(states, everybody=query.all_users)
    return Canceled(canceled=canceled, has_more=has_more)


@router.post(
    "/api/jobs/{job_id}/cancel",
    operation_id="cancel_job",
    responses=refusals(404, 409, 503),
)
def cancel_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Cancel a job that is queued or being rendered. Its checkpoint is kept for a retry."""
    return job_view(backend.jobs.cancel(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/retry",
    operation_id="retry_job",
    responses=refusals(404, 409, 503),
)
def retry_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Queue a failed or canceled job again. It continues from its checkpoint."""
    return job_view(backend.jobs.retry(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/pause",
    operation_id="pause_job",
    responses=refusals(404, 409, 503),
)
def pause_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Pause a job: at once if it is queued, otherwise after the current step."""
    return job_view(backend.jobs.pause(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/resume",
    operation_id="resume_job",
    responses=refusals(404, 409, 503),
)
def resume_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Resume a paused job from exactly where it stopped; this also approves its draft."""
    return job_view(backend.jobs.resume(job_id), backend.base)


@router.delete(
    "/api/jobs/{job_id}",
    operation_id="delete_job",
    status_code=204,
    responses=refusals(404, 409, 503),
)
def delete_job(job_id: JobId, backend: FromBackend) -> None:
    """Delete a job and its files. Cancel it first if it is being rendered."""
    backend.jobs.delete(job_id)
