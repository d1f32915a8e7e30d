"""Makes what the API answers from what the store and the quotes know. wire.py has the fields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from hunyuan_runner.catalogue import Model
from hunyuan_runner.jobs.capacity import Capacity, Load
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import Page
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.quoting.quotes import Alternative, Estimate, Quote, in_time
from hunyuan_runner.wire import (
    AlternativeView,
    CapacityView,
    EstimateView,
    JobList,
    JobRecord,
    JobState,
    JobView,
    KernelsView,
    ModelCapacity,
    ModelView,
    PrecisionView,
    PresetView,
    PreviewView,
    ProgressView,
    RangeView,
    RunnerView,
    Wire,
)


def job_view(job: Job, base: str) -> JobView:
    """`base` is what its links begin with."""
    completed = job.state is JobState.COMPLETED
    files = f"{base}/api/jobs/{job.id}"
    return JobView(
        **_named_alike(job, JobRecord),
        webhook_url=without_query(job.webhook.url) if job.webhook else None,
        video_url=f"{base}/api/videos/{job.id}.mp4" if completed else None,
        thumbnail_url=f"{files}/thumbnail" if completed else None,
        preview_url=f"{files}/preview" if completed or job.has_preview else None,
        draft_url=f"{files}/draft" if job.has_draft and not completed else None,
    )


def job_list(page: Page, base: str) -> JobList:
    return JobList(
        jobs=tuple(job_view(job, base) for job in page.jobs),
        has_more=page.has_more,
        next=page.jobs[-1].id if page.has_more else None,
    )


def progress_view(job: Job) -> ProgressView:
    return ProgressView(**_named_alike(job, ProgressView))


def preview_view(job: Job, base: str) -> PreviewView:
    return PreviewView(job_id=job.id, preview_url=f"{base}/api/jobs/{job.id}/preview")


def estimate_view(estimate: Estimate, deadline_seconds: float | None) -> EstimateView:
    quote, wait = estimate.quote, estimate.queue_seconds
    return EstimateView(
        **_costs(quote),
        fits=quote.fits,
        queue_seconds=wait,
        in_time=None if deadline_seconds is None else in_time(quote, deadline_seconds - wait),
        params=quote.params,
        alternatives=tuple(map(alternative_view, estimate.alternatives)),
        warnings=tuple(estimate.warnings),
    )


def alternative_view(alternative: Alternative) -> AlternativeView:
    return AlternativeView(
        **_costs(alternative.quote),
        changes=dict(alternative.changes),
        summary=alternative.summary,
    )


def model_view(
    model: Model, *, installed: bool, has_fast_decoder: bool, default: bool
) -> ModelView:
    return ModelView(
        id=model.id,
        title=model.title,
        licence=model.licence,
        parameters=model.parameters,
        installed=installed,
        fast_decoder=has_fast_decoder,
        default=default,
        presets={name: PresetView(**asdict(preset)) for name, preset in model.presets.items()},
    )


def runner_view(machine: Profile) -> RunnerView:
    return RunnerView(
        cpu=machine.cpu,
        threads=machine.threads,
        memory_bytes=machine.memory_bytes,
        kernels=machine.kernels and KernelsView(**vars(machine.kernels)),
        models={
            model_id: PrecisionView(precision=ability.precision, reason=ability.reason)
            for model_id, ability in machine.models.items()
            if ability.installed
        },
    )


def capacity_view(
    capacity: Capacity, models: Iterable[str], target_wait_seconds: float
) -> CapacityView:
    """With these models, and those of jobs and runners."""
    named = sorted({*models, *capacity.loads, *capacity.runners})
    return CapacityView(
        target_wait_seconds=target_wait_seconds,
        runners=capacity.live,
        models=tuple(
            ModelCapacity(
                model=model,
                runners=capacity.runners.get(model, 0),
                **_counts(capacity.loads.get(model, Load()), target_wait_seconds),
            )
            for model in named
        ),
        **_counts(capacity.load, target_wait_seconds),
    )


def _counts(load: Load, target_wait_seconds: float) -> dict[str, Any]:
    return {
        "queued_jobs": load.queued,
        "queued_seconds": load.queued_seconds,
        "running_jobs": len(load.remaining),
        "running_seconds": sum(load.remaining),
        "runners_wanted": load.runners_wanted(target_wait_seconds),
    }


def without_query(url: str) -> str:
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _named_alike(job: Job, view: type[Wire]) -> dict[str, Any]:
    """The fields of the view that a job has under the same name."""
    return {name: getattr(job, name) for name in view.model_fields}


def _costs(quote: Quote) -> dict[str, Any]:
    return {
        "seconds": RangeView(**asdict(quote.seconds)),
        "peak_memory_bytes": quote.peak_memory_bytes,
        "cost": None if quote.cost is None else round(quote.cost, 4),
    }
