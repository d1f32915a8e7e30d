"""The files of a job: the clip, its pictures, its draft and its manifest."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.document import answers_with, refusals
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.files import file_response, policy_for
from hunyuan_runner.api.requests import JobId, completed_job
from hunyuan_runner.manifest import PublishedManifest
from hunyuan_runner.storage.keys import (
    ANIMATION,
    DRAFT,
    THUMBNAIL,
    VIDEO,
    manifest_key,
    preview_key,
)
from hunyuan_runner.wire import JobState

router = APIRouter(tags=["files"])


@router.get(
    "/api/videos/{job_id}.mp4",
    operation_id="get_video",
    response_class=Response,
    responses=answers_with(VIDEO, redirects=True) | refusals(404, 409, 416, 503),
)
def get_video(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """Get the clip. Supports `Range` and `If-None-Match`."""
    job = completed_job(backend, job_id)
    return file_response(request, backend.storage, job, VIDEO, backend.settings.downloads)


@router.get(
    "/api/jobs/{job_id}/thumbnail",
    operation_id="get_thumbnail",
    response_class=Response,
    responses=answers_with(THUMBNAIL) | refusals(404, 409, 503),
)
def get_thumbnail(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """Get a still of the finished clip."""
    return file_response(request, backend.storage, completed_job(backend, job_id), THUMBNAIL)


@router.get(
    "/api/jobs/{job_id}/preview",
    operation_id="get_preview",
    response_class=Response,
    responses=answers_with(ANIMATION, THUMBNAIL) | refusals(404, 503),
)
def get_preview(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """Get a small WebP animation of the finished clip; before that, a still of the preview."""
    job = backend.jobs.get(job_id)
    if job.state is JobState.COMPLETED:
        return file_response(request, backend.storage, job, ANIMATION)
    if not job.has_preview:
        message = f"Job {job.id} is {job.state} and has no preview; ask again while it is denoised."
        raise ApiError(404, "no_preview", message)
    still = backend.storage.get(preview_key(job.id))
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy_for(THUMBNAIL.media_type),
    }
    return Response(still, media_type=THUMBNAIL.media_type, headers=headers)


@router.get(
    "/api/jobs/{job_id}/draft",
    operation_id="get_draft",
    response_class=Response,
    responses=answers_with(DRAFT, redirects=True) | refusals(404, 416, 503),
)
def get_draft(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """Get the draft of a job with `draft_steps`, as an MP4, until the job is completed."""
    job = backend.jobs.get(job_id)
    if job.state is JobState.COMPLETED or not job.has_draft:
        message = f"Job {job.id} is {job.state} and has no draft; submit a job with draft_steps."
        raise ApiError(404, "no_draft", message)
    return file_response(request, backend.storage, job, DRAFT, backend.settings.downloads)


@router.get(
    "/api/jobs/{job_id}/manifest",
    operation_id="get_manifest",
    responses=refusals(404, 409, 503),
)
def get_manifest(job_id: JobId, backend: FromBackend) -> PublishedManifest:
    """Get all that the finished clip depends on. The MP4 has it, too, for `hunyuan reproduce`."""
    job = completed_job(backend, job_id)
    return PublishedManifest.model_validate_json(backend.storage.get(manifest_key(job.id)))
