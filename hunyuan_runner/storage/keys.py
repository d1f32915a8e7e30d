"""The storage key of each file of a job, and how those that users get are served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True)
class ClipFile:
    """A kind of file that a job has. Once written, such a file never changes."""

    key: Callable[[str], str]
    media_type: str
    suffix: str  # after the job's id, in the name to save the file under

    def name(self, job_id: str) -> str:
        """The name to save the file under."""
        return f"{job_id}{self.suffix}"

    def headers(self, job_id: str) -> dict[str, str]:
        """How a bucket serves the file itself.

        As an attachment, because a browser ignores the `download` of a link to another site. A
        player in a page plays it all the same.
        """
        return {
            "Content-Type": self.media_type,
            "Content-Disposition": f'attachment; filename="{self.name(job_id)}"',
        }


VIDEO = ClipFile(video_key, "video/mp4", ".mp4")
THUMBNAIL = ClipFile(thumbnail_key, "image/jpeg", ".jpg")
DRAFT = ClipFile(draft_key, "video/mp4", "-draft.mp4")
ANIMATION = ClipFile(animation_key, "image/webp", ".webp")
SPRITESHEET = ClipFile(spritesheet_key, "image/jpeg", "-spritesheet.jpg")
