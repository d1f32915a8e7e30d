"""The routes of a BentoML task, answered from our job store.

`@bentoml.task` itself keeps its results in a file that it deletes at every start. BentoML's client
works with these routes instead (see docs/api.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, Field

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.document import CLIP_EXAMPLE, answers_with, example
from hunyuan_runner.api.errors import TASK_ROUTE, ApiError
from hunyuan_runner.api.files import file_response
from hunyuan_runner.api.requests import JOB_ID_PATTERN, IdempotencyKey, require_json
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.storage.keys import VIDEO
from hunyuan_runner.wire import ClipWarning, JobState, RangeView, Share, Wire


class TaskError(BaseModel):
    """A refusal, as BentoML's client expects it."""

    error: str


# BentoML has no word for a paused task: here it is pending, at the stage `paused`.
TaskState = Literal["pending", "in_progress", "completed", "failed", "canceled"]
STATES: dict[JobState, TaskState] = {
    JobState.PENDING: "pending",
    JobState.PAUSED: "pending",
    JobState.IN_PROGRESS: "in_progress",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELED: "canceled",
}


class TaskReceipt(BaseModel):
    """The id and state of a task."""

    task_id: str
    status: TaskState

    @classmethod
    def of(cls, job: Job) -> TaskReceipt:
        return cls(task_id=job.id, status=STATES[job.state])


class TaskStatus(Wire):
    """The four fields that BentoML's client reads, and the job's progress."""

    task_id: str
    status: TaskState
    created_at: datetime
    executed_at: datetime | None = Field(description="When the job ended.")
    progress: Share
    stage: Stage | None
    queue_position: int | None
    eta_seconds: RangeView | None
    warnings: tuple[ClipWarning, ...]

    @classmethod
    def of(cls, job: Job) -> TaskStatus:
        return cls(
            task_id=job.id,
            status=STATES[job.state],
            created_at=job.created_at,
            executed_at=job.completed_at,
            progress=job.progress,
            stage=job.stage,
            queue_position=job.queue_position,
            eta_seconds=job.eta_seconds,
            warnings=job.warnings,
        )


TaskId = Annotated[
    str, Query(pattern=JOB_ID_PATTERN, description="The `task_id` from the answer to submitting.")
]

router = APIRouter(
    prefix=TASK_ROUTE,
    tags=["BentoML task"],
    responses={"default": {"model": TaskError, "description": "Any refusal."}},
)


@router.post("", include_in_schema=False)
def call_task() -> None:
    headers = {"Allow": ""}
    raise ApiError(
        405,
        "method_not_allowed",
        "A clip takes longer than a request may; POST /generate/submit, then GET /generate/status.",
        headers=headers,
    )


@router.post(
    "/submit",
    operation_id="task_submit",
    dependencies=[Depends(require_json)],
    openapi_extra=example(CLIP_EXAMPLE),
)
def submit_task(
    wanted: GenerationRequest, backend: FromBackend, idempotency_key: IdempotencyKey = None
) -> TaskReceipt:
    """Queue a clip."""
    return TaskReceipt.of(backend.submit(wanted, idempotency_key=idempotency_key))


@router.get("/status", operation_id="task_status")
def task_status(task_id: TaskId, backend: FromBackend) -> TaskStatus:
    """Get the state and progress of a clip."""
    return TaskStatus.of(backend.jobs.get(task_id))


@router.get(
    "/get",
    operation_id="task_get",
    response_class=Response,
    responses=answers_with(VIDEO),
)
def task_result(request: Request, task_id: TaskId, backend: FromBackend) -> Response:
    """Get the clip once it is completed."""
    job = backend.jobs.get(task_id)
    if job.state is not JobState.COMPLETED:
        reason = f": {job.error.message}" if job.error else ""
        raise ApiError(400, "wrong_state", f"Task {job.id} is {job.state}, not completed{reason}")
    # Never redirected: not every BentoML client follows.
    return file_response(request, backend.storage, job, VIDEO)


@router.put("/cancel", operation_id="task_cancel")
def cancel_task(task_id: TaskId, backend: FromBackend) -> TaskReceipt:
    """Cancel a clip that is queued or being rendered."""
    return TaskReceipt.of(backend.jobs.cancel(task_id))


@router.post("/retry", operation_id="task_retry")
def retry_task(task_id: TaskId, backend: FromBackend) -> TaskReceipt:
    """Queue a failed or canceled clip again under the same id. It continues from its checkpoint."""
    return TaskReceipt.of(backend.jobs.retry(task_id))
