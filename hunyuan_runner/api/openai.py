"""OpenAI's Videos API: its SDK, and what is built on it, work against this service as they are.

https://platform.openai.com/docs/api-reference/videos describes the wire. What it has no word for
is mapped: a canceled job is a failed video with the error code `canceled`.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.bodies import MULTIPART, URLENCODED, media_type_of, read_form
from hunyuan_runner.api.errors import ApiError, refusals
from hunyuan_runner.api.files import (
    SPRITESHEET,
    THUMBNAIL,
    VIDEO,
    answers_with,
    file_response,
)
from hunyuan_runner.api.requests import (
    JOB_ID_PATTERN,
    IdempotencyKey,
    JobId,
    completed_job,
    require_json,
    require_own_page,
)
from hunyuan_runner.api.views import JobErrorView
from hunyuan_runner.jobs.job import Job, JobState
from hunyuan_runner.params import MAX_NUM_FRAMES, MAX_SIDE, MIN_SIDE, GenerationRequest, Prompt

OTHERS_MODELS = re.compile(r"sora-.*")  # named by code written for OpenAI: the default is meant
POLL_MS = 500, 10_000  # the least and the most a client is asked to wait between two looks
FORMS = (MULTIPART, URLENCODED)
FILES = {"video": VIDEO, "thumbnail": THUMBNAIL, "spritesheet": SPRITESHEET}


def _valid_size(size: str) -> str:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size, re.ASCII)
    if match is None or not all(MIN_SIDE <= int(side) <= MAX_SIDE for side in match.groups()):
        raise ValueError(
            f"must be WIDTHxHEIGHT, each from {MIN_SIDE} to {MAX_SIDE}, such as 640x480"
        )
    return size


def _no_reference(_: object) -> None:
    raise ValueError("is not supported: these models make videos from text alone")


class VideoRequest(BaseModel):
    """What the SDK sends. Other fields are ignored, as OpenAI's server does."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: Prompt = Field(examples=["A cat walks on grass"])
    model: str | None = Field(None, description="A model id of /api/models; sora-*: the default.")
    seconds: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Length, as a number or a string; default: the model's preset.",
    )
    size: Annotated[str, AfterValidator(_valid_size)] | None = Field(
        None,
        description="WIDTHxHEIGHT, odd sides rounded up to even ones; default: the preset's.",
        examples=["640x480"],
    )
    input_reference: SkipJsonSchema[Annotated[object, AfterValidator(_no_reference)]] = Field(
        None, exclude=True
    )

    def as_generation(self, backend: Backend) -> GenerationRequest:
        """The clip asked for. Raises ApiError."""
        named = self.model and not OTHERS_MODELS.fullmatch(self.model)
        model = backend.installed_model(self.model if named else None)
        wanted: dict[str, Any] = {"prompt": self.prompt, "model": model.id}
        if self.size is not None:
            wanted["width"], wanted["height"] = map(int, self.size.split("x"))
        if self.seconds is not None:
            wanted["num_frames"] = _frames(self.seconds, model.presets["standard"].fps)
        return GenerationRequest(**wanted)


def _frames(seconds: float, fps: float) -> int:
    """The number of frames, 4k+1, whose duration is nearest."""
    if seconds * fps > MAX_NUM_FRAMES:
        longest = int(MAX_NUM_FRAMES / fps)
        raise ApiError(422, "invalid_value", f"seconds must be at most {longest}", param="seconds")
    return 4 * round((seconds * fps - 1) / 4) + 1 if seconds * fps > 1 else 1


class RemixRequest(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt: Prompt


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
    seconds: str
    remixed_from_video_id: str | None
    error: JobErrorView | None

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
            seconds=f"{params.num_frames / params.fps:.3g}",
            remixed_from_video_id=job.remixed_from,
            error=_error(job),
        )


STATUS: dict[JobState, Literal["queued", "in_progress", "completed", "failed"]] = {
    JobState.PENDING: "queued",
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


class VideosQuery(BaseModel):
    limit: int = Field(20, ge=1, le=100, description="Videos per page.")
    order: Literal["asc", "desc"] = Field("desc", description="desc: the newest first.")
    after: str | None = Field(
        None, pattern=JOB_ID_PATTERN, description="A video's id: the page begins behind it."
    )


async def _read_video_request(request: Request) -> VideoRequest:
    if media_type_of(request.headers) in FORMS:
        await require_own_page(request)
        return VideoRequest.model_validate(await read_form(request))
    await require_json(request)
    fields = await request.json() if await request.body() else {}
    return VideoRequest.model_validate(fields)


def _body_schema() -> dict[str, Any]:
    schema = VideoRequest.model_json_schema()
    fields = {name: _without_null(field) for name, field in schema["properties"].items()}
    form = schema | {"properties": fields}
    content = {"application/json": {"schema": schema}, FORMS[0]: {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A form leaves a field out; what it says is never null."""
    if "anyOf" not in field:
        return field
    kept = [kind for kind in field["anyOf"] if kind["type"] != "null"]
    return {key: value for key, value in field.items() if key != "default"} | {"anyOf": kept}


router = APIRouter(prefix="/v1/videos", tags=["OpenAI Videos"])


@router.post(
    "",
    operation_id="create_video",
    openapi_extra=_body_schema(),
    responses=refusals(400, 403, 409, 413, 415, 422, 503),
)
def create_video(
    wanted: Annotated[VideoRequest, Depends(_read_video_request)],
    backend: FromBackend,
    idempotency_key: IdempotencyKey = None,
) -> Video:
    """Queue a video. Takes a form, as the SDK sends, or JSON."""
    request = wanted.as_generation(backend)
    return Video.of(backend.submit(request, idempotency_key=idempotency_key))


@router.get("", operation_id="list_videos", responses=refusals(404, 422, 503))
def list_videos(query: Annotated[VideosQuery, Query()], backend: FromBackend) -> VideoList:
    """Videos, a page at a time."""
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
    """How far a video is. The header `openai-poll-after-ms` says when to look again."""
    job = backend.jobs.get(job_id)
    if job.eta is not None:
        least, most = POLL_MS
        milliseconds = int(min(max(job.eta.expected * 1000 / 10, least), most))
        response.headers["openai-poll-after-ms"] = str(milliseconds)
    return Video.of(job)


@router.get(
    "/{job_id}/content",
    operation_id="download_video",
    response_class=Response,
    responses=answers_with(*FILES.values()) | refusals(404, 409, 416, 422, 503),
)
def download_video(
    request: Request,
    job_id: JobId,
    backend: FromBackend,
    variant: Literal["video", "thumbnail", "spritesheet"] = "video",
) -> Response:
    """The finished video, a still of it, or sixteen of its frames in a grid."""
    return file_response(request, backend.storage, completed_job(backend, job_id), FILES[variant])


@router.delete("/{job_id}", operation_id="delete_video", responses=refusals(404, 409, 503))
def delete_video(job_id: JobId, backend: FromBackend) -> DeletedVideo:
    """Forget a video and its files, unless it is being rendered."""
    backend.jobs.delete(job_id)
    return DeletedVideo(id=job_id)


@router.post(
    "/{job_id}/remix",
    operation_id="remix_video",
    dependencies=[Depends(require_json)],
    responses=refusals(400, 404, 409, 413, 415, 422, 503),
)
def remix_video(
    job_id: JobId,
    wanted: RemixRequest,
    backend: FromBackend,
    idempotency_key: IdempotencyKey = None,
) -> Video:
    """Queue a finished video again with another prompt; all else, its seed included, stays."""
    job = completed_job(backend, job_id)
    params = job.params.model_dump() | {"prompt": wanted.prompt}
    request = GenerationRequest(**params, priority=job.priority, metadata=job.metadata)
    remix = backend.submit(request, idempotency_key=idempotency_key, remixed_from=job.id)
    return Video.of(remix)


def _epoch(time: datetime | None) -> int | None:
    return None if time is None else int(time.timestamp())


def _error(job: Job) -> JobErrorView | None:
    if job.error is not None:
        return JobErrorView(code=job.error.code, message=job.error.message)
    if job.state is JobState.CANCELED:
        return JobErrorView(code="canceled", message="The job was canceled.")
    return None
