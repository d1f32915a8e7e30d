"""One job, as the rest of the service sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from hunyuan_runner.clip_warning import ClipWarning
from hunyuan_runner.params import GenerationParams, Stage, WebhookEvent
from hunyuan_runner.quoting.estimate import Range


class JobState(StrEnum):
    """BentoML's task states; a job moves down this list, and back to pending by a retry."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


@dataclass(frozen=True)
class Caller:
    """On whose behalf the store is asked: what is submitted is theirs."""

    name: str  # empty for whoever came without a key
    sees_all: bool = False  # or only the jobs of this name

    def sees(self, owner: str) -> bool:
        """Whether the jobs of `owner` are shown to them."""
        return self.sees_all or owner == self.name


@dataclass(frozen=True)
class JobError:
    """Why a job failed: a stable code for programs, a sentence for people."""

    code: str
    message: str


@dataclass(frozen=True)
class Webhook:
    """Who is told what becomes of a job."""

    url: str
    events: tuple[WebhookEvent, ...]
    base: str = ""  # what the links in its messages begin with


@dataclass(frozen=True)
class Job:
    """A row of the store, with what follows from the rows around it."""

    id: str
    state: JobState
    params: GenerationParams
    priority: int
    metadata: dict[str, str]
    remixed_from: str | None
    seconds: float | None  # asked for in place of a number of frames
    webhook: Webhook | None
    stage: Stage | None
    step: int
    attempts: int
    resumed_from_step: int | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime | None
    error: JobError | None
    warnings: tuple[ClipWarning, ...]
    has_preview: bool
    draft_steps: int | None  # behind which it waits, with a draft, for a resume
    has_draft: bool
    pausing: bool  # it will wait behind the step under way
    queue_position: int | None  # 1 is next; None once it left the queue
    progress: float  # 0-1, over all stages by expected time
    eta: Range | None  # seconds until the clip is there, from now
