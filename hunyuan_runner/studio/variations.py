"""Variations: several seeds of one prompt as drafts, of which one is finished.

The jobs of one group have the same label in their metadata. Each pauses with a draft after some
steps; the one that is approved goes on, and the others are canceled.
"""

from __future__ import annotations

import re
import secrets
from contextlib import suppress

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import JobNotFound, Jobs, WrongState
from hunyuan_runner.params import MAX_SEED, GenerationRequest

LABEL = "studio-variations"  # in the metadata; its value names the group
MAX_VARIATIONS = 9
DRAFT_SHARE = 0.25  # of the steps, unless the request says after which step
MAX_GROUP = 1000  # unfinished jobs of a caller, among which a group is looked for


def group_of(job: Job) -> str | None:
    """The group of drafts that a job belongs to. Owners have no group in common."""
    label = job.metadata.get(LABEL)
    return f"{job.owner}:{label}" if label else None


def count_of(variations: str) -> int:
    """How many variations this field of a form asks for; one if it is empty. Raises ApiError."""
    if not variations:
        return 1
    if not re.fullmatch("[1-9]", variations):
        message = f"variations must be a number from 1 to {MAX_VARIATIONS}"
        raise ApiError(422, "invalid_value", message, param="variations")
    return int(variations)


def submit(backend: Backend, wanted: GenerationRequest, count: int) -> list[Job]:
    """Queue `count` clips that differ in their seeds, as drafts; one clip as it is.

    The seeds follow the one of the request, or are random. Raises what Backend.submit() does, and
    then queues none.
    """
    if count == 1:
        return [backend.submit(wanted)]
    changes = {
        "metadata": wanted.metadata | {LABEL: secrets.token_hex(8)},
        "draft_steps": wanted.draft_steps or _draft_steps(backend, wanted),
    }
    queued: list[Job] = []
    try:
        for number in range(count):
            seed = None if wanted.seed is None else (wanted.seed + number) % (MAX_SEED + 1)
            queued.append(backend.submit(wanted.model_copy(update=changes | {"seed": seed})))
    except Exception:
        for job in queued:
            backend.jobs.delete(backend.jobs.cancel(job.id).id)
        raise
    return queued


def approve(jobs: Jobs, job_id: str) -> Job:
    """Finish this draft and cancel the others of its group. Raises JobNotFound or WrongState."""
    approved = jobs.resume(job_id)
    group = group_of(approved)
    for other in jobs.unfinished(MAX_GROUP).jobs:
        if group is not None and group_of(other) == group and other.id != job_id:
            with suppress(JobNotFound, WrongState):  # it has ended meanwhile
                jobs.cancel(other.id)
    return approved


def _draft_steps(backend: Backend, wanted: GenerationRequest) -> int:
    model = backend.installed_model(wanted.model)
    steps = wanted.resolve(model.id, model.presets).num_inference_steps
    return max(round(steps * DRAFT_SHARE), 1)
