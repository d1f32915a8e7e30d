"""The storage key of each file of a job."""

from __future__ import annotations

JOBS_PREFIX = "jobs"


def job_prefix(job_id: str) -> str:
    return f"{JOBS_PREFIX}/{job_id}"


def video_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}/video.mp4"


def thumbnail_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}/thumbnail.jpg"


def animation_key(job_id: str) -> str:
    """An animated preview of the finished clip."""
    return f"{job_prefix(job_id)}/preview.webp"


def spritesheet_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}/spritesheet.jpg"


def preview_key(job_id: str) -> str:
    """A still picture of the clip while it is denoised."""
    return f"{job_prefix(job_id)}/preview.jpg"


def draft_key(job_id: str) -> str:
    """What the clip of a paused job would look like."""
    return f"{job_prefix(job_id)}/draft.mp4"


def manifest_key(job_id: str) -> str:
    """How the finished clip was made: see manifest.py."""
    return f"{job_prefix(job_id)}/manifest.json"


def checkpoint_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}/checkpoint.safetensors"
