"""Under which key each file of a job is stored."""

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
    """A still of what the clip is becoming, while it is denoised."""
    return f"{job_prefix(job_id)}/preview.jpg"


def draft_key(job_id: str) -> str:
    """What a job that waits behind some of its steps is expected to become."""
    return f"{job_prefix(job_id)}/draft.mp4"


def manifest_key(job_id: str) -> str:
    """How the finished clip came about."""
    return f"{job_prefix(job_id)}/manifest.json"


def checkpoint_key(job_id: str) -> str:
    return f"{job_prefix(job_id)}/checkpoint.safetensors"
