"""Counters and histograms over all jobs, kept in the job database for the metrics.

What happens to a job is counted in the transaction that changes the job. So the numbers are exact,
they survive restarts, and every front reports the same ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs.database import tallies, upsert
from hunyuan_runner.wire import JobState

Note = dict[str, Any]  # a row of the table, to be added to the one that is there
KEY = ("name", "model", "value", "bucket")
MINUTE, HOUR = 60, 3600
WAITS = (1, 5, 15, MINUTE, 300, 900, 1800, HOUR, 2 * HOUR, 4 * HOUR, 8 * HOUR, 24 * HOUR)
STEPS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, MINUTE, 120, 300, 600, 1200, HOUR)


@dataclass(frozen=True)
class Counter:
    """A number that only rises, by model or by a label of its own, or by both."""

    name: str  # without _total
    help: str
    label: str | None = None
    known: tuple[str, ...] = ()  # values of the label that are shown before they occur
    by_model: bool = True

    def of(self, model: str = "", value: str = "", amount: float = 1) -> Note:
        return _note(self.name, model, value, amount=amount)


@dataclass(frozen=True)
class Histogram:
    """Seconds, by model."""

    name: str
    help: str
    bounds: tuple[float, ...]  # the upper ones of all buckets but the last, which has none

    def of(self, model: str, seconds: float) -> Note:
        return _note(self.name, model, bucket=bisect_left(self.bounds, seconds), amount=seconds)


@dataclass(frozen=True)
class Tally:
    """What was counted of one metric, for one model and one value of its label."""

    model: str
    value: str
    buckets: tuple[int, ...]  # of a histogram: how many fell into each
    total: float


PROGRESS = Counter(
    "hunyuan_progress_reports", "Stages begun, and steps and tiles finished, by all runners."
)
ATTEMPTS = Counter("hunyuan_attempts", "Starts of a job by a runner.")
RESUMES = Counter("hunyuan_resumes", "Attempts that continued from a checkpoint.")
TAKE_OVERS = Counter(
    "hunyuan_takeovers", "Jobs that were queued again because their runner fell silent."
)
ENGINE_DEATHS = Counter(
    "hunyuan_engine_deaths",
    "Engines that died during a job.",
    label="code",
    known=("engine_died", "engine_stalled", "out_of_memory"),
)
ENDED = Counter(
    "hunyuan_jobs_ended",
    "Jobs that ended, by how.",
    label="state",
    known=("completed", "failed", "canceled"),
)
FAILURES = Counter(
    "hunyuan_job_failures",
    "Jobs that failed, by error code.",
    label="code",
    known=(
        *ENGINE_DEATHS.known,
        "disk_full",
        "generation_failed",
        "internal_error",
        "model_unavailable",
        "publishing_failed",
        "storage_failed",
    ),
)
WEBHOOK_ATTEMPTS = Counter(
    "hunyuan_webhook_attempts",
    "Webhooks sent: delivered, failed and to be sent again, or given up.",
    label="outcome",
    known=("delivered", "failed", "given_up"),
    by_model=False,
)
STEP_QUOTED = Counter(
    "hunyuan_step_quoted_seconds",
    "What the steps of hunyuan_step_seconds were expected to take.",
)
RENDER_QUOTED = Counter(
    "hunyuan_render_quoted_seconds",
    "What the jobs of hunyuan_render_seconds were expected to take, when they last started.",
)
WAIT = Histogram("hunyuan_wait_seconds", "From a job's submission to its first start.", WAITS)
RENDER = Histogram(
    "hunyuan_render_seconds", "Rendering of completed jobs, over all their attempts.", WAITS
)
STEP = Histogram("hunyuan_step_seconds", "Computed denoising steps.", STEPS)

COUNTERS = (
    PROGRESS,
    ATTEMPTS,
    RESUMES,
    TAKE_OVERS,
    ENGINE_DEATHS,
    ENDED,
    FAILURES,
    WEBHOOK_ATTEMPTS,
    STEP_QUOTED,
    RENDER_QUOTED,
)
HISTOGRAMS = (WAIT, RENDER, STEP)


def add(connection: sa.Connection, notes: Iterable[Note]) -> None:
    """Count these, in the transaction of what they are about."""
    if not (rows := list(notes)):
        return
    insert = upsert(connection, tallies)
    sums = {name: tallies.c[name] + insert.excluded[name] for name in ("number", "total")}
    connection.execute(insert.on_conflict_do_update(index_elements=KEY, set_=sums), rows)


def of_start(row: sa.Row[Any]) -> list[Note]:
    """What to count of a job that was just claimed."""
    attempt = ATTEMPTS.of(row.model)
    if row.attempts > 1:
        return [attempt]
    return [attempt, WAIT.of(row.model, max(row.started_at - row.created_at, 0) / 1000)]


def of_end(row: sa.Row[Any]) -> list[Note]:
    """What to count of a job that has just ended."""
    ended = ENDED.of(row.model, row.state)
    match row.state:
        case JobState.COMPLETED:
            return [ended, RENDER.of(row.model, row.rendered_ms / 1000)]
        case JobState.FAILED:
            return [ended, FAILURES.of(row.model, row.error_code)]
        case _:
            return [ended]


def read(connection: sa.Connection) -> dict[str, list[Tally]]:
    """Everything counted so far, by the metric's name."""
    bounds = {histogram.name: histogram.bounds for histogram in HISTOGRAMS}
    found: dict[str, list[Tally]] = {}
    groups: dict[tuple[str, str, str], list[sa.Row[Any]]] = {}
    for row in connection.execute(sa.select(tallies)):
        groups.setdefault((row.name, row.model, row.value), []).append(row)
    for (name, model, value), rows in groups.items():
        buckets = _buckets(rows, len(bounds.get(name, ())))
        tally = Tally(model, value, buckets, sum(row.total for row in rows))
        found.setdefault(name, []).append(tally)
    return found


def _buckets(rows: Sequence[sa.Row[Any]], bounds: int) -> tuple[int, ...]:
    numbers = [0] * (bounds + 1)
    for row in rows:
        numbers[min(row.bucket, bounds)] += row.number
    return tuple(numbers)


def _note(name: str, model: str, value: str = "", *, bucket: int = 0, amount: float = 1) -> Note:
    key = {"name": name, "model": model, "value": value, "bucket": bucket}
    return key | {"number": 1, "total": amount}
