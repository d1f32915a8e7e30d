"""OpenAI's Videos and Models APIs, so that its SDK and programs that use it work here.

https://platform.openai.com/docs/api-reference/videos describes them. They know no canceled videos:
a canceled job is a failed video with the error code `canceled`.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from enum import Enum
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.document import answers_with, example, json_or_form, refusals
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.files import file_response
from hunyuan_runner.api.requests import (
    JOB_ID_PATTERN,
    IdempotencyKey,
    JobId,
    completed_job,
    require_json,
)
from hunyuan_runner.api.video_request import (
    FORMS,
    VideoRequest,
    own_model,
    read_video_request,
)
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import WrongState
from hunyuan_runner.params import ALIASES, GenerationRequest, Prompt
from hunyuan_runner.storage.keys import SPRITESHEET, THUMBNAIL, VIDEO
from hunyuan_runner.wire import ClipWarning, JobError, JobState

POLL_MS = 500, 10_000  # shortest and longest pause between two polls
STAYS = {*GenerationRequest.model_fields, *ALIASES} - {"prompt", "model"}  # fixed in a remix
EXAMPLE = {"prompt": "A cat walks on grass", "size": "128x96", "seconds": 1}
FILES = {"video": VIDEO, "thumbnail": THUMBNAIL, "spritesheet": SPRITESHEET}


class RemixRequest(BaseModel):
    """Another prompt. Other fields of a clip are refused, unknown fields are ignored."""

    model_config = ConfigDict(extra="allow", frozen=True)

    prompt: Prompt

    def refuse_other_changes(self) -> None:
        """Raises ApiError."""
        for name, value in (self.model_extra or {}).items():
            if name in STAYS and value not in (None, ""):
                message = f"{name} cannot be changed in a remix; create a new video instead"
                raise ApiError(422, "invalid_value", message, param=name)


class Video(BaseModel):
    """A job, in OpenAI's words. Times are seconds since the epoch."""

    id: str
    object: Literal["video"] = "video"
    model: str
    status: Literal["queued", "in_progress", "completed", "failed"]
    progress: int = Field(description="Percent.")
    created_at: int
    completed_at: int | None
    expires_at: int | None
    prompt: str
    size: str
    seconds: str = Field(description="The length that was asked for, or the clip's.")
    remixed_from_video_id: str | None
    error: JobError | None
    warnings: tuple[ClipWarning, ...] = Field(description="The job's warnings, as in /api/status.")

    @classmethod
    def of(cls, job: Job) -> Self:
        params = job.params
        return cls(
            id=job.id,
            model=params.model,
            status=STATUS[job.state],
            progress=int(job.progress * 100),
            created_at=int(job.created_at.timestamp()),
            completed_at=_epoch(job.completed_at),
            expires_at=_epoch(job.expires_at),
            prompt=params.prompt,
            size=f"{params.width}x{params.height}",
            seconds=f"{job.seconds or round(params.num_frames / params.fps, 3):.10g}",
            remixed_from_video_id=job.remixed_from,
            error=_error(job),
            warnings=job.warnings,
        )


STATUS: dict[JobState, Literal["queued", "in_progress", "completed", "failed"]] = {
    JobState.PENDING: "queued",
    JobState.PAUSED: "queued",
    JobState.IN_PROGRESS: "in_progress",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELED: "failed",
}


class VideoList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Video]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedVideo(BaseModel):
    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class OpenAIModel(BaseModel):
    """A model that is installed here."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When it was installed, in seconds since the epoch.")
    owned_by: str = Field(description="The owner of the repository that it comes from.")

    @classmethod
    def of(cls, backend: Backend, model: Model) -> Self:
        index = backend.settings.model_dir(model.id) / "model_index.json"
        owner, _, _ = (model.repo or "hunyuan-runner").partition("/")
        return cls(id=model.id, created=int(index.stat().st_mtime), owned_by=owner)


class OpenAIModels(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIModel]


class VideosQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100, description="Videos per page.")
    order: Literal["asc", "desc"] = Field("desc", description="desc: newest first.")
    after: str | None = Field(
        None, pattern=JOB_ID_PATTERN, description="A video's id; the page begins after it."
    )


TAGS: list[str | Enum] = ["OpenAI"]
router = APIRouter(prefix="/v1/videos", tags=TAGS)
models = APIRouter(prefix="/v1/models", tags=TAGS)


@router.post(
    "",
    operation_id="create_video",
    openapi_extra=json_or_form(VideoRequest, FORMS, EXAMPLE),
    responses=refusals(400, 403, 409, 413, 415, 422, 503, 507),
)
def create_video(
    wanted: Annotated[VideoRequest, Depends(read_video_request)],
    backend: FromBackend,
    idempotency_key: IdempotencyKey = None,
) -> Video:
    """Queue a video. Takes any field of a clip, as JSON or as a form (which the SDK sends)."""
    return Video.of(backend.submit(wanted, idempotency_key=idempotency_key))


@router.get("", operation_id="list_videos", responses=refusals(404, 422, 503))
def list_videos(query: Annotated[VideosQuery, Query()], backend: FromBackend) -> VideoList:
    """A page of videos."""
    page = backend.jobs.list(
        limit=query.limit, after=query.after, newest_first=query.order == "desc"
    )
    videos = [Video.of(job) for job in page.jobs]
    return VideoList(
        data=videos,
        first_id=videos[0].id if videos else None,
        last_id=videos[-1].id if videos else None,
        has_more=page.has_more,
    )


@router.get("/{job_id}", operation_id="retrieve_video", responses=refusals(404, 503))
def retrieve_video(job_id: JobId, backend: FromBackend, response: Response) -> Video:
    """The state of a video. The header `openai-poll-after-ms` says when to poll again."""
    job = backend.jobs.get(job_id)
    if job.eta_seconds is not None:
        least, most = POLL_MS
        milliseconds = int(min(max(job.eta_seconds.expected * 1000 / 10, least), most))
        response.headers["openai-poll-after-ms"] = str(milliseconds)
    return Video.of(job)


@router.get(
    "/{job_id}/content",
    operation_id="download_video",
    response_class=Response,
    responses=answers_with(*FILES.values(), redirects=True) | refusals(404, 409, 416, 422, 503),
)
def download_video(
    request: Request,
    job_id: JobId,
    backend: FromBackend,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> Response:
    """The finished video, a still image, or a grid of sixteen frames."""
    job, file = completed_job(backend, job_id), FILES[variant]
    downloads = backend.settings.downloads if file is VIDEO else "proxy"
    return file_response(request, backend.storage, job, file, downloads)


@router.delete("/{job_id}", operation_id="delete_video", responses=refusals(404, 409, 503))
def delete_video(job_id: JobId, backend: FromBackend) -> DeletedVideo:
    """Delete a video and its files. A video that is not finished is canceled first."""
    with suppress(WrongState):  # it has ended
        backend.jobs.cancel(job_id)
    backend.jobs.delete(job_id)
    return DeletedVideo(id=job_id)


@router.post(
    "/{job_id}/remix",
    operation_id="remix_video",
    dependencies=[Depends(require_json)],
    openapi_extra=example({"prompt": "A dog runs"}),
    responses=refusals(400, 404, 409, 413, 415, 422, 503, 507),
)
def remix_video(
    job_id: JobId,
    wanted: RemixRequest,
    backend: FromBackend,
    idempotency_key: IdempotencyKey = None,
) -> Video:
    """Queue a finished video again with another prompt. All other settings stay, also the seed."""
    job = completed_job(backend, job_id)
    wanted.refuse_other_changes()
    params = job.params.model_dump() | {"prompt": wanted.prompt, "seconds": job.seconds}
    request = GenerationRequest(**params, priority=job.priority, metadata=job.metadata)
    remix = backend.submit(request, idempotency_key=idempotency_key, remixed_from=job.id)
    return Video.of(remix)


@models.get("", operation_id="list_openai_models", responses=refusals())
def list_openai_models(backend: FromBackend) -> OpenAIModels:
    """The models that are installed."""
    installed = filter(backend.is_installed, MODELS.values())
    return OpenAIModels(data=[OpenAIModel.of(backend, model) for model in installed])


@models.get("/{model}", operation_id="retrieve_openai_model", responses=refusals(404))
def retrieve_openai_model(
    model: Annotated[str, Path(description="Its id; sora-* means the default.")],
    backend: FromBackend,
) -> OpenAIModel:
    """One model. A name such as `sora-2` means the service's default."""
    try:
        return OpenAIModel.of(backend, backend.installed_model(own_model(model)))
    except ApiError as refusal:
        raise ApiError(404, refusal.code, refusal.message, param=refusal.param) from None


def _epoch(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())


def _error(job: Job) -> JobError | None:
    if job.error is not None:
        return job.error
    if job.state is JobState.CANCELED:
        return JobError(code="canceled", message="The job was canceled.")
    return None
