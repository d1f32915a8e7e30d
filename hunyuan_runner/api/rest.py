"""The REST routes: submit a clip, follow it, fetch it; and what this service is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from hunyuan_runner import __version__
from hunyuan_runner.api import events, metrics, openai, pages, tasks, webhooks
from hunyuan_runner.api.auth import KEY_SCHEMES, OPEN_PATHS
from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.document import CLIP_EXAMPLE, example, parameters_of
from hunyuan_runner.api.errors import (
    ERROR_SCHEMAS,
    INTERNAL,
    KNOWN_ERRORS,
    ApiError,
    as_api_error,
    error_response,
    refusals,
)
from hunyuan_runner.api.files import (
    ANIMATION,
    DRAFT,
    THUMBNAIL,
    VIDEO,
    answers_with,
    file_response,
    policy_for,
)
from hunyuan_runner.api.names import did_you_mean
from hunyuan_runner.api.requests import (
    JOB_ID_PATTERN,
    IdempotencyKey,
    JobId,
    completed_job,
    require_json,
)
from hunyuan_runner.api.views import (
    Canceled,
    EstimateView,
    Health,
    HostView,
    Info,
    JobList,
    JobView,
    ModelList,
    ModelView,
    PresetView,
    QueueView,
    Ready,
    RunnerView,
)
from hunyuan_runner.catalogue import MODELS, Model
from hunyuan_runner.jobs.job import JobState
from hunyuan_runner.machine.host import cpu_name, memory_bytes, package_versions, usable_cores
from hunyuan_runner.manifest import PublishedManifest
from hunyuan_runner.params import MAX_PIXEL_FRAMES, EstimateRequest, GenerationRequest, Stage
from hunyuan_runner.storage.keys import manifest_key, preview_key

BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "minLength", "maxLength")

router = APIRouter()
probes = APIRouter(tags=["operations"])  # which need no key


class JobsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: JobState | None = Field(None, description="Only jobs in this state.")
    limit: int = Field(20, ge=1, le=100, description="Jobs per page.")
    after: str | None = Field(
        None, pattern=JOB_ID_PATTERN, description="A job id: the page begins behind it."
    )


class CancelQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: Literal[JobState.PENDING, JobState.IN_PROGRESS] = Field(
        JobState.PENDING, description="Those that wait, or those that are rendered."
    )
    all_users: bool = Field(
        False, description="With an admin's key, everybody's; otherwise your own all the same."
    )


class _Api(FastAPI):
    """Tells in its document which routes take a key. FastAPI would by dependencies, to be solved
    for every request, though the front has looked at the key by then."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema:
            return self.openapi_schema
        document = super().openapi()  # which keeps it
        document["components"]["securitySchemes"] = KEY_SCHEMES
        document["components"]["schemas"] |= ERROR_SCHEMAS
        for path, operations in document["paths"].items():
            if path not in OPEN_PATHS:
                for operation in operations.values():
                    operation["security"] = [{scheme: []} for scheme in KEY_SCHEMES]
        for operations in (*document["paths"].values(), *document["webhooks"].values()):
            for operation in operations.values():
                # FastAPI's own, which no route answers: an id that cannot be is one that is not.
                if operation["responses"].get("422", {}).get("description") == "Validation Error":
                    del operation["responses"]["422"]
        for schema in ("HTTPValidationError", "ValidationError"):
            del document["components"]["schemas"][schema]
        return document


def create_app() -> FastAPI:
    """All that the front answers by itself, once its state has a `backend` and a `tail`."""
    app = _Api(
        title="hunyuan-runner",
        version=__version__,
        summary="Text-to-video on plain CPUs: a prompt goes in, a job is queued, an MP4 comes out.",
        openapi_url=None,  # pages.py answers it, with where the service is
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        webhooks=webhooks.told,
    )
    app.state.backend = app.state.tail = None  # until the job store is open
    for routes in (
        router,
        events.router,
        webhooks.router,
        tasks.router,
        openai.router,
        openai.models,
        metrics.router,
        probes,
        pages.router,
    ):
        app.include_router(routes)
    for path, files in pages.static_files().items():
        app.mount(path, files)
    for error in KNOWN_ERRORS:
        app.add_exception_handler(error, _refuse)
    app.add_exception_handler(Exception, _fail)
    return app


@router.post(
    "/api/generate",
    tags=["jobs"],
    operation_id="submit_job",
    status_code=202,
    dependencies=[Depends(require_json)],
    openapi_extra=example(CLIP_EXAMPLE),
    responses=refusals(400, 409, 413, 415, 422, 503),
)
def submit_job(
    wanted: GenerationRequest,
    backend: FromBackend,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue a clip. Poll the path in `Location` until it is completed."""
    job = backend.submit(wanted, idempotency_key=idempotency_key)
    response.headers["Location"] = f"{backend.base}/api/status/{job.id}"
    return JobView.of(job, backend.base)


@router.post(
    "/api/estimate",
    tags=["jobs"],
    operation_id="estimate",
    dependencies=[Depends(require_json)],
    openapi_extra=example(CLIP_EXAMPLE | {"deadline_seconds": 600}),
    responses=refusals(400, 413, 415, 422, 503),
)
def estimate(wanted: EstimateRequest, backend: FromBackend) -> EstimateView:
    """What a clip would take: seconds, memory, money; and what to ask for if that is too much."""
    return EstimateView.of(backend.estimate(wanted), wanted.deadline_seconds)


@router.get(
    "/api/status/{job_id}",
    tags=["jobs"],
    operation_id="get_job",
    response_model=JobView,
    responses=refusals(404, 503),
)
def get_job(job_id: JobId, backend: FromBackend) -> Response:
    """One job: its state, how far it is, and where its files are."""
    # As a Response: FastAPI would check the view again, in a thread, and many ask this often.
    view = JobView.of(backend.jobs.get(job_id), backend.base)
    return Response(view.model_dump_json(), media_type="application/json")


@router.get("/api/jobs", tags=["jobs"], operation_id="list_jobs", responses=refusals(404, 422, 503))
def list_jobs(query: Annotated[JobsQuery, Query()], backend: FromBackend) -> JobList:
    """Jobs, the newest first, a page at a time."""
    page = backend.jobs.list(state=query.status, limit=query.limit, after=query.after)
    return JobList.of(page, backend.base)


@router.post(
    "/api/jobs/cancel",
    tags=["jobs"],
    operation_id="cancel_jobs",
    responses=refusals(422, 503),
)
def cancel_jobs(query: Annotated[CancelQuery, Query()], backend: FromBackend) -> Canceled:
    """End all of your jobs that wait, up to 500 at once: while `has_more`, ask again."""
    canceled, has_more = backend.jobs.cancel_all(query.status, everybody=query.all_users)
    return Canceled(canceled=canceled, has_more=has_more)


@router.post(
    "/api/jobs/{job_id}/cancel",
    tags=["jobs"],
    operation_id="cancel_job",
    responses=refusals(404, 409, 503),
)
def cancel_job(job_id: JobId, backend: FromBackend) -> JobView:
    """End a job that is queued or rendered. Its checkpoint stays, for a retry."""
    return JobView.of(backend.jobs.cancel(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/retry",
    tags=["jobs"],
    operation_id="retry_job",
    responses=refusals(404, 409, 503),
)
def retry_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Queue a failed or canceled job again; it goes on from its checkpoint."""
    return JobView.of(backend.jobs.retry(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/pause",
    tags=["jobs"],
    operation_id="pause_job",
    responses=refusals(404, 409, 503),
)
def pause_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Have a job wait: at once if it is queued, else behind the step under way."""
    return JobView.of(backend.jobs.pause(job_id), backend.base)


@router.post(
    "/api/jobs/{job_id}/resume",
    tags=["jobs"],
    operation_id="resume_job",
    responses=refusals(404, 409, 503),
)
def resume_job(job_id: JobId, backend: FromBackend) -> JobView:
    """Queue a paused job again; it goes on from exactly where it is, its draft approved."""
    return JobView.of(backend.jobs.resume(job_id), backend.base)


@router.delete(
    "/api/jobs/{job_id}",
    tags=["jobs"],
    operation_id="delete_job",
    status_code=204,
    responses=refusals(404, 409, 503),
)
def delete_job(job_id: JobId, backend: FromBackend) -> None:
    """Forget a job and its files. Cancel it first if it is being rendered."""
    backend.jobs.delete(job_id)


@router.get(
    "/api/videos/{job_id}.mp4",
    tags=["files"],
    operation_id="get_video",
    response_class=Response,
    responses=answers_with(VIDEO) | refusals(404, 409, 416, 503),
)
def get_video(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """The clip. Takes Range and If-None-Match."""
    return file_response(request, backend.storage, completed_job(backend, job_id), VIDEO)


@router.get(
    "/api/jobs/{job_id}/thumbnail",
    tags=["files"],
    operation_id="get_thumbnail",
    response_class=Response,
    responses=answers_with(THUMBNAIL) | refusals(404, 409, 503),
)
def get_thumbnail(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """A still of the finished clip."""
    return file_response(request, backend.storage, completed_job(backend, job_id), THUMBNAIL)


@router.get(
    "/api/jobs/{job_id}/preview",
    tags=["files"],
    operation_id="get_preview",
    response_class=Response,
    responses=answers_with(ANIMATION, THUMBNAIL) | refusals(404, 503),
)
def get_preview(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """The finished clip as a small animation (WebP); before that, a still of what it becomes."""
    job = backend.jobs.get(job_id)
    if job.state is JobState.COMPLETED:
        return file_response(request, backend.storage, job, ANIMATION)
    if not job.has_preview:
        raise ApiError(404, "no_preview", f"Job {job.id} is {job.state} and has no preview yet.")
    still = backend.storage.get(preview_key(job.id))
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy_for(THUMBNAIL.media_type),
    }
    return Response(still, media_type=THUMBNAIL.media_type, headers=headers)


@router.get(
    "/api/jobs/{job_id}/draft",
    tags=["files"],
    operation_id="get_draft",
    response_class=Response,
    responses=answers_with(DRAFT) | refusals(404, 416, 503),
)
def get_draft(request: Request, job_id: JobId, backend: FromBackend) -> Response:
    """What a job with `draft_steps` is expected to become, as an MP4, until it is completed."""
    job = backend.jobs.get(job_id)
    if job.state is JobState.COMPLETED or not job.has_draft:
        raise ApiError(404, "no_draft", f"Job {job.id} is {job.state} and has no draft.")
    return file_response(request, backend.storage, job, DRAFT)


@router.get(
    "/api/jobs/{job_id}/manifest",
    tags=["files"],
    operation_id="get_manifest",
    responses=refusals(404, 409, 503),
)
def get_manifest(job_id: JobId, backend: FromBackend) -> PublishedManifest:
    """All that the finished clip depends on; it is in the MP4, too, for `hunyuan reproduce`."""
    job = completed_job(backend, job_id)
    return PublishedManifest.model_validate_json(backend.storage.get(manifest_key(job.id)))


@router.get("/api/models", tags=["service"], operation_id="list_models", responses=refusals())
def list_models(backend: FromBackend) -> ModelList:
    """The models this service knows, and which of them are installed."""
    return ModelList(models=[_model_view(backend, model) for model in MODELS.values()])


@router.get("/api/info", tags=["service"], operation_id="get_info", responses=refusals(503))
def get_info(backend: FromBackend) -> Info:
    """What this service is, what it can do and where it runs."""
    settings = backend.settings
    return Info(
        name="hunyuan-runner",
        versions=package_versions(),
        models=list_models(backend).models,
        bounds=_bounds(),
        max_pixel_frames=MAX_PIXEL_FRAMES,
        retention_hours=settings.retention_hours,
        host=HostView(
            cpu=cpu_name(),
            cores=usable_cores(),
            threads=settings.threads or usable_cores(),
            memory_bytes=memory_bytes(),
        ),
        runners=[RunnerView.of(machine) for machine in backend.jobs.forecast().machines.values()],
    )


@probes.get("/health", operation_id="get_health", responses=refusals(503, open_to_all=True))
def get_health(backend: FromBackend) -> Health:
    """Whether jobs are taken and rendered."""
    counts = backend.jobs.counts()
    workers = backend.jobs.live_workers()
    return Health(
        status="ok" if workers else "no_worker",
        workers=workers,
        queue=QueueView(
            pending=counts[JobState.PENDING],
            in_progress=counts[JobState.IN_PROGRESS],
            paused=counts[Stage.PAUSED],
        ),
    )


@probes.get("/livez", operation_id="get_livez")
async def get_livez() -> Ready:
    """Whether this process runs: the platform's health check."""
    return Ready()


@probes.get("/readyz", operation_id="get_readyz", responses=refusals(503, open_to_all=True))
def get_readyz(backend: FromBackend) -> Ready:
    """Whether jobs are taken. They are before a worker is up; /health tells about workers."""
    backend.jobs.check()
    return Ready()


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        error.headers = {"Allow": ", ".join(sorted(_methods(request)))}
    refusal = as_api_error(error)
    if refusal is not error and refusal.code == "unknown_field":
        known = parameters_of(request.app.openapi(), *_operation(request))
        refusal.message += did_you_mean(f"{refusal.param}", known)
    return error_response(refusal, request.scope["path"])


async def _fail(request: Request, _error: Exception) -> Response:
    return error_response(INTERNAL, request.scope["path"])  # the front logs it


def _operation(request: Request) -> tuple[str, str]:
    """Where the document describes it."""
    return request.scope["route"].path, request.method.lower()


def _methods(request: Request) -> set[str]:
    """What this path takes: it may be served by several routes, of which Starlette names one."""
    documented = request.app.openapi()["paths"]
    asked = request.scope["path"]
    if asked in documented:  # itself, and no job of that name
        return {method.upper() for method in documented[asked]}
    return {
        method.upper()
        for path, operations in documented.items()
        if compile_path(path)[0].fullmatch(asked)
        for method in operations
    }


def _model_view(backend: Backend, model: Model) -> ModelView:
    return ModelView(
        id=model.id,
        title=model.title,
        licence=model.licence,
        parameters=model.parameters,
        installed=backend.is_installed(model),
        default=model.id == backend.settings.model,
        presets={name: PresetView.model_validate(preset) for name, preset in model.presets.items()},
    )


def _bounds() -> dict[str, dict[str, float]]:
    fields = GenerationRequest.model_json_schema()["properties"]
    rules = {name: field.get("anyOf", [field])[0] for name, field in fields.items()}
    return {
        name: found
        for name, rule in rules.items()
        if (found := {key: rule[key] for key in BOUNDS if key in rule})
    }
