"""What the API tells about a job and about itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from hunyuan_runner.clip_warning import ClipWarning, WarningCode
from hunyuan_runner.jobs.job import Job, JobState
from hunyuan_runner.jobs.store import Page
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import Fps, GenerationParams, PresetName, Stage
from hunyuan_runner.quoting.estimate import Range
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.quoting.quotes import Alternative, Estimate, Quote, in_time
from hunyuan_runner.schedule import StepCache


class RangeView(BaseModel):
    """Seconds, with the range they should fall in."""

    low: float
    expected: float
    high: float

    @classmethod
    def of(cls, seconds: Range) -> Self:
        return cls(**{name: round(value, 1) for name, value in asdict(seconds).items()})


class QuoteView(BaseModel):
    """What a clip costs by itself."""

    seconds: RangeView = Field(description="From its start to the finished file.")
    peak_memory_bytes: int
    cost: float | None = Field(description="By HUNYUAN_COST_PER_HOUR; null where that is not set.")


class AlternativeView(QuoteView):
    """What to ask for instead."""

    changes: dict[str, int | float | str | None] = Field(
        description="The fields to put into the request, or to leave out where null."
    )
    summary: str = Field(description="The same, for people.")

    @classmethod
    def of(cls, alternative: Alternative) -> Self:
        return cls(
            **_costs(alternative.quote),
            changes=dict(alternative.changes),
            summary=alternative.summary,
        )


class WarningView(BaseModel):
    """What to know of a clip that is taken all the same."""

    code: WarningCode
    message: str

    @classmethod
    def of(cls, warning: ClipWarning) -> Self:
        return cls(code=warning.code, message=warning.message)


class EstimateView(QuoteView):
    """What there is to know before a clip is queued."""

    fits: bool = Field(description="Whether a machine has the memory; if not, it is refused.")
    queue_seconds: float = Field(description="Until its turn would come, if it were queued now.")
    in_time: bool | None = Field(
        description="Whether it is there by deadline_seconds even if it takes long; null without."
    )
    params: GenerationParams = Field(description="The clip in full, as it would be queued.")
    alternatives: list[AlternativeView] = Field(
        description="What fits and is there in time, the nearest first; empty where this does."
    )
    warnings: list[WarningView] = Field(description="As the job would have them.")

    @classmethod
    def of(cls, estimate: Estimate, deadline_seconds: float | None) -> Self:
        quote, wait = estimate.quote, estimate.queue_seconds
        return cls(
            **_costs(quote),
            fits=quote.fits,
            queue_seconds=round(wait, 1),
            in_time=None if deadline_seconds is None else in_time(quote, deadline_seconds - wait),
            params=quote.params,
            alternatives=[AlternativeView.of(one) for one in estimate.alternatives],
            warnings=[WarningView.of(warning) for warning in estimate.warnings],
        )


def _costs(quote: Quote) -> dict[str, Any]:
    return {
        "seconds": RangeView.of(quote.seconds),
        "peak_memory_bytes": quote.peak_memory_bytes,
        "cost": None if quote.cost is None else round(quote.cost, 4),
    }


class JobErrorView(BaseModel):
    """Why a job failed: a stable code for programs, a sentence for people."""

    code: str
    message: str


class JobView(BaseModel):
    """A job, as every route shows it. Times are RFC 3339 in UTC; URLs are paths of this service, or
    whole if it knows its own (HUNYUAN_PUBLIC_URL)."""

    job_id: str
    status: JobState
    progress: float = Field(description="0 to 1, over all stages by expected time.")
    stage: Stage | None = Field(description="What the job is at; null once it ended.")
    step: int = Field(description="Denoising steps done.")
    num_inference_steps: int
    pausing: bool = Field(description="It will be paused behind the step under way.")
    queue_position: int | None = Field(description="1 is next; null while it is not in the queue.")
    eta_seconds: RangeView | None
    attempts: int = Field(description="How often a worker began it.")
    resumed_from_step: int | None = Field(
        description="The checkpoint the last attempt went on from."
    )
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None = Field(description="When it ended, however it ended.")
    expires_at: datetime | None = Field(description="When the job and its files are deleted.")
    params: GenerationParams = Field(description="The clip in full, its seed included.")
    draft_steps: int | None = Field(description="The step behind which it pauses with a draft.")
    model: str
    priority: int
    metadata: dict[str, str]
    remixed_from: str | None = Field(description="The job this one is a remix of.")
    webhook_url: str | None = Field(description="Without its query, which may carry a token.")
    video_url: str | None
    thumbnail_url: str | None
    preview_url: str | None = Field(
        description="A still while the clip is denoised, an animation once it is finished."
    )
    draft_url: str | None = Field(description="What it was expected to become, while it waits.")
    error: JobErrorView | None
    warnings: list[WarningView] = Field(
        description="Why the clip, or its time, may not be what was asked. It is rendered."
    )

    @classmethod
    def of(cls, job: Job, base: str) -> Self:
        """`base` is what its links begin with."""
        completed = job.state is JobState.COMPLETED
        return cls(
            job_id=job.id,
            status=job.state,
            progress=round(job.progress, 4),
            stage=job.stage,
            step=job.step,
            num_inference_steps=job.params.num_inference_steps,
            pausing=job.pausing,
            queue_position=job.queue_position,
            eta_seconds=RangeView.of(job.eta) if job.eta else None,
            attempts=job.attempts,
            resumed_from_step=job.resumed_from_step,
            created_at=job.created_at,
            started_at=job.started_at,
            completed_at=job.completed_at,
            expires_at=job.expires_at,
            params=job.params,
            draft_steps=job.draft_steps,
            model=job.params.model,
            priority=job.priority,
            metadata=job.metadata,
            remixed_from=job.remixed_from,
            webhook_url=without_query(job.webhook.url) if job.webhook else None,
            video_url=f"{base}/api/videos/{job.id}.mp4" if completed else None,
            thumbnail_url=f"{base}/api/jobs/{job.id}/thumbnail" if completed else None,
            preview_url=preview_url(job.id, base) if completed or job.has_preview else None,
            draft_url=f"{base}/api/jobs/{job.id}/draft"
            if job.has_draft and not completed
            else None,
            error=JobErrorView(code=job.error.code, message=job.error.message)
            if job.error
            else None,
            warnings=[WarningView.of(warning) for warning in job.warnings],
        )


def without_query(url: str) -> str:
    return urlsplit(url)._replace(query="", fragment="").geturl()


def preview_url(job_id: str, base: str) -> str:
    return f"{base}/api/jobs/{job_id}/preview"


class ProgressView(BaseModel):
    """How far a job is: what changes of its view while its state does not."""

    job_id: str
    stage: Stage | None
    step: int
    num_inference_steps: int
    progress: float
    eta_seconds: RangeView | None

    @classmethod
    def of(cls, job: Job) -> Self:
        view = JobView.of(job, base="")  # of whose links it shows none
        return cls(**{name: getattr(view, name) for name in cls.model_fields})


class PreviewView(BaseModel):
    """Where the new preview of a job is."""

    job_id: str
    preview_url: str

    @classmethod
    def of(cls, job: Job, base: str) -> Self:
        return cls(job_id=job.id, preview_url=preview_url(job.id, base))


class Canceled(BaseModel):
    """What became of a request to cancel many jobs."""

    canceled: int = Field(description="How many jobs were.")
    has_more: bool = Field(description="Whether more are left: ask again.")


class JobList(BaseModel):
    """A page of jobs, the newest first."""

    jobs: list[JobView]
    has_more: bool
    next: str | None = Field(description="Give this as `after` for the next page.")

    @classmethod
    def of(cls, page: Page, base: str) -> Self:
        return cls(
            jobs=[JobView.of(job, base) for job in page.jobs],
            has_more=page.has_more,
            next=page.jobs[-1].id if page.has_more else None,
        )


class PresetView(BaseModel):
    """The settings a model uses where the request names none."""

    model_config = ConfigDict(from_attributes=True)

    width: int
    height: int
    num_frames: int
    fps: Fps
    num_inference_steps: int
    guidance_scale: float
    flow_shift: float
    step_cache: StepCache


class ModelView(BaseModel):
    """A model this service can run."""

    id: str
    title: str
    licence: str
    parameters: float
    installed: bool
    default: bool = Field(description="Used where a request names no model.")
    presets: dict[PresetName, PresetView]


class ModelList(BaseModel):
    models: list[ModelView]


class QueueView(BaseModel):
    pending: int
    in_progress: int
    paused: int


class Health(BaseModel):
    """Whether jobs are taken and rendered."""

    status: Literal["ok", "no_worker"] = Field(
        description="no_worker: jobs are taken, and wait for a worker."
    )
    workers: int = Field(description="Workers that showed themselves lately.")
    queue: QueueView


class Ready(BaseModel):
    status: Literal["ok"] = "ok"


class PrecisionView(BaseModel):
    """What a model is computed in, and why."""

    precision: Precision
    reason: str


class RunnerView(BaseModel):
    """The machine of a live worker."""

    cpu: str
    threads: int
    memory_bytes: int
    models: dict[str, PrecisionView] = Field(description="By id: those it has the weights of.")

    @classmethod
    def of(cls, machine: Profile) -> Self:
        return cls(
            cpu=machine.cpu,
            threads=machine.threads,
            memory_bytes=machine.memory_bytes,
            models={
                model_id: PrecisionView(precision=ability.precision, reason=ability.reason)
                for model_id, ability in machine.models.items()
                if ability.installed
            },
        )


class HostView(BaseModel):
    """The machine that answers; workers may run on others."""

    cpu: str
    cores: int
    threads: int = Field(description="Threads of the engine.")
    memory_bytes: int


class Info(BaseModel):
    """What this service is, what it can do and where it runs."""

    name: str
    versions: dict[str, str | None]
    models: list[ModelView]
    bounds: dict[str, dict[str, float]] = Field(
        description="By field of POST /api/generate: the least and the most it takes."
    )
    max_pixel_frames: int = Field(description="The most that width x height x num_frames may be.")
    retention_hours: float = Field(description="How long ended jobs and their files are kept.")
    host: HostView
    runners: list[RunnerView] = Field(description="Where clips are rendered.")
