"""Whether the service runs, takes jobs and renders them. These routes need no key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.document import refusals
from hunyuan_runner.downloads import unfinished_downloads
from hunyuan_runner.wire import DownloadView, Health, JobState, QueueView, Ready

router = APIRouter(tags=["operations"])


@router.get("/health", operation_id="get_health", responses=refusals(503, open_to_all=True))
def get_health(backend: FromBackend) -> Health:
    """Whether the service accepts jobs and has workers that render them."""
    counts = backend.jobs.counts()
    workers = backend.jobs.live_workers()
    status: Literal["ok", "no_worker", "disk_low"] = "ok" if workers else "no_worker"
    if backend.jobs.scarce_room() is not None:
        status = "disk_low"
    return Health(
        status=status,
        workers=workers,
        queue=QueueView(
            pending=counts[JobState.PENDING],
            in_progress=counts[JobState.IN_PROGRESS],
            paused=counts[JobState.PAUSED],
        ),
        downloads=tuple(
            DownloadView(
                model=download.model_id, bytes=download.bytes, total_bytes=download.total_bytes
            )
            for download in unfinished_downloads(backend.settings)
        ),
    )


@router.get("/livez", operation_id="get_livez")
async def get_livez() -> Ready:
    """Whether this process runs. Use this as the platform's health check."""
    return Ready(status="ok")


@router.get("/readyz", operation_id="get_readyz", responses=refusals(503, open_to_all=True))
def get_readyz(backend: FromBackend) -> Ready:
    """Whether the service accepts jobs. It does so without workers, too; see /health for those."""
    backend.jobs.check()
    return Ready(status="ok")
