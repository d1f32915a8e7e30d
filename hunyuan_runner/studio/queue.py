"""What the queue panel shows: jobs that have not ended, and those that ended badly."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.studio.variations import group_of
from hunyuan_runner.wire import JobState

SHOWN = 30  # of the jobs in each state
ENDED_SHOWN = 5
CANCELED_SHOWN_FOR = timedelta(hours=1)
LONG_SECONDS = 60  # a job that takes longer is worth a notification

REMEDIES: Mapping[str, str] = {
    "generation_failed": "Try again: it continues from its last step. If it fails again, the log "
    "of the service says why.",
    "engine_died": "Most likely the memory ran out. Make a smaller or shorter clip, or close other "
    "programs on that machine and try again.",
    "out_of_memory": "Make a smaller or shorter clip, or close other programs on that machine and "
    "try again.",
    "engine_stalled": "Try again: it continues from its last step. If it stalls again, restart the "
    "service.",
    "model_unavailable": "Run “hunyuan models verify” on that machine, repair the model, then try "
    "again.",
    "disk_full": "Delete clips or make room on the disk, then try again: it continues from its "
    "last step.",
    "storage_failed": "Check the storage of the service, then try again: it continues from its "
    "last step.",
    "publishing_failed": "Try again: only the file has to be written.",
    "internal_error": "Try again. If it fails again, the log of the service says why.",
}


@dataclass(frozen=True)
class Queue:
    """The caller's jobs, as the panel shows them."""

    groups: Sequence[Sequence[Job]]  # of one job, or of the drafts of one prompt
    ended: Sequence[Job]  # failed, or canceled lately; the newest first
    has_more: bool  # than those in `groups`
    previews: Mapping[str, int]  # by job id: rises with each new preview
    number: int  # milliseconds at which it was read; events will not do, as jobs take theirs along

    @classmethod
    def of(cls, jobs: Jobs) -> Queue:
        number = time.time_ns() // 1_000_000  # before the jobs themselves
        page = jobs.unfinished(SHOWN)
        ended = _ended(jobs)
        with_preview = [job.id for job in (*page.jobs, *ended) if job.has_preview]
        previews = jobs.newest_previews(with_preview)
        return cls(_grouped(page.jobs), ended, page.has_more, previews, number)

    @property
    def running(self) -> Job | None:
        """The job whose progress stands in the title of the page."""
        jobs = (job for group in self.groups for job in group)
        return next((job for job in jobs if job.state is JobState.IN_PROGRESS), None)

    @property
    def waiting(self) -> int:
        """How many of the jobs wait in the queue."""
        return sum(job.state is JobState.PENDING for group in self.groups for job in group)

    @property
    def is_long(self) -> bool:
        """Whether one of the jobs takes so long that people will leave the page."""
        etas = (job.eta_seconds for group in self.groups for job in group)
        return any(eta is not None and eta.expected > LONG_SECONDS for eta in etas)

    @property
    def is_empty(self) -> bool:
        return not self.groups and not self.ended


def context(jobs: Jobs) -> dict[str, Any]:
    """What the templates of the panel need."""
    return {"queue": Queue.of(jobs), "remedies": REMEDIES}


def _grouped(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs in their order, each together with the others of its group."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(group_of(job) or job.id, []).append(job)
    # As they were submitted, so that no draft changes its place in the grid.
    found = [sorted(group, key=lambda job: job.id) for group in groups.values()]
    return sorted(found, key=_urgency)


def _urgency(group: Sequence[Job]) -> int:
    """What is rendered comes first, then what waits for a decision about its draft."""
    if any(job.state is JobState.IN_PROGRESS for job in group):
        return 0
    return 1 if any(job.has_draft for job in group) else 2


def _ended(jobs: Jobs) -> list[Job]:
    failed = jobs.list(state=JobState.FAILED, limit=ENDED_SHOWN).jobs
    since = datetime.now(UTC) - CANCELED_SHOWN_FOR
    canceled = [
        job
        for job in jobs.list(state=JobState.CANCELED, limit=ENDED_SHOWN).jobs
        if job.completed_at and job.completed_at > since and not group_of(job)
    ]
    newest_first = sorted([*failed, *canceled], key=_end, reverse=True)
    return newest_first[:ENDED_SHOWN]


def _end(job: Job) -> datetime:
    return job.completed_at or job.created_at
