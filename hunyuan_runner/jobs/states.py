"""The states of a job, and every way in which it moves from one to another.

    submit ──▶ pending ──claim──▶ in_progress ──complete──▶ completed
                │  ▲  ◀─hand back, take over─┘ │
          pause │  │ resume                    ├──fail────▶ failed ────┐
                ▼  │                           │                       │ retry
               paused ◀──stop to pause─────────┘                       ├──▶ pending
                                                                       │
               pending, paused, in_progress ──cancel──▶ canceled ──────┘

A job that is asked to pause while it is rendered stays `in_progress`, with `pausing` set, up to the
end of its step. A job that is not rendered can be deleted; one that has ended expires by itself.

Store, claim and lease build their statements from the table below: the WHERE from `sources` and
`stages`, the values from `targets` and `writes`. What depends on the moment (times, the error, the
worker's name, the turn in the queue) comes from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import ReturningUpdate

from hunyuan_runner.jobs.database import jobs
from hunyuan_runner.params import Stage
from hunyuan_runner.wire import JobState

PENDING, PAUSED, IN_PROGRESS = JobState.PENDING, JobState.PAUSED, JobState.IN_PROGRESS
COMPLETED, FAILED, CANCELED = JobState.COMPLETED, JobState.FAILED, JobState.CANCELED
WAITING = (PENDING, PAUSED)  # in the queue, or for somebody who resumes it


def is_in(*states: JobState) -> sa.ColumnElement[bool]:
    """Whether a row of `hunyuan_jobs` is in one of these states."""
    return jobs.c.state.in_(states) if len(states) > 1 else jobs.c.state == states[0]


@dataclass(frozen=True)
class Transition:
    """One way in which a job changes."""

    event: str
    sources: tuple[JobState, ...]  # it is allowed in these; none: there is no row yet
    targets: tuple[JobState, ...]  # it leads to one of these; none: the row is deleted
    writes: Mapping[str, Any] = field(default_factory=dict)  # by column
    stages: tuple[Stage, ...] = ()  # it is allowed at these alone; none: at all
    rule: str = ""  # for a caller whose job is in another state

    @property
    def allowed(self) -> sa.ColumnElement[bool]:
        """Whether a row of `hunyuan_jobs` may take it."""
        if not self.stages:
            return is_in(*self.sources)
        return sa.and_(is_in(*self.sources), jobs.c.stage.in_(self.stages))

    @property
    def values(self) -> dict[str, Any]:
        """What it writes. The state only if it changes, because triggers count such changes."""
        if self.targets == self.sources:
            return dict(self.writes)
        return {"state": self.targets[0], **self.writes}

    def update(self, *of: sa.ColumnElement[bool], **values: Any) -> ReturningUpdate[Any]:
        """Have the jobs of these conditions take it, if they may; returns their rows after it."""
        allowed = (*of, self.allowed)
        return sa.update(jobs).where(*allowed).values(self.values | values).returning(jobs)


def _unless_pausing(otherwise: object, if_pausing: object) -> sa.Case[Any]:
    return sa.case((jobs.c.pausing, if_pausing), else_=otherwise)


_LET_GO = {"executor_id": None, "pausing": False}
_BACK = _LET_GO | {
    "state": _unless_pausing(PENDING, PAUSED),
    "stage": _unless_pausing(Stage.QUEUED, Stage.PAUSED),
}
_ANEW = _LET_GO | {
    "run": jobs.c.run + 1,
    "stage": Stage.QUEUED,
    "failed_starts": 0,
    "progressed_at": None,
    "completed_at": None,
    "expires_at": None,
    "error_code": None,
    "error_message": None,
}

# What users do.
SUBMIT = Transition("submit", (), (PENDING,), {"run": 1, "stage": Stage.QUEUED})
PAUSE = Transition(
    "pause",
    (PENDING,),
    (PAUSED,),
    {"stage": Stage.PAUSED},
    rule="only a queued or denoising job can be paused",
)
ASK_TO_PAUSE = Transition(
    "pause",
    (IN_PROGRESS,),
    (IN_PROGRESS,),
    {"pausing": True},
    stages=(Stage.LOADING, Stage.ENCODING, Stage.DENOISING),
    rule=PAUSE.rule,
)
MOVE = Transition("move", (PENDING,), (PENDING,), rule="only a queued job can be moved")
RESUME = Transition("resume", (PAUSED,), (PENDING,), _ANEW, rule="only a paused job can be resumed")
CANCEL = Transition(
    "cancel",
    (PENDING, PAUSED, IN_PROGRESS),
    (CANCELED,),
    _LET_GO,
    rule="only a pending, paused or running job can be canceled",
)
RETRY = Transition(
    "retry",
    (FAILED, CANCELED),
    (PENDING,),
    _ANEW,
    rule="only a failed or canceled job can be retried",
)
DELETE = Transition(
    "delete",
    (PENDING, PAUSED, COMPLETED, FAILED, CANCELED),
    (),
    rule="cancel it before deleting it",
)

# What the worker does that has claimed the job.
CLAIM = Transition(
    "claim",
    (PENDING, IN_PROGRESS),  # again, if the worker could not write down how the job ended
    (IN_PROGRESS,),
    {
        "stage": Stage.LOADING,
        "attempts": jobs.c.attempts + 1,
        "failed_starts": jobs.c.failed_starts + 1,  # until it finishes a step
    },
)
REPORT = Transition("report progress", (IN_PROGRESS,), (IN_PROGRESS,))
STOP_TO_PAUSE = Transition(
    "stop to pause",
    (IN_PROGRESS,),
    (PAUSED,),
    _LET_GO | {"stage": Stage.PAUSED, "failed_starts": 0},
)
HAND_BACK = Transition("hand back", (IN_PROGRESS,), (PENDING, PAUSED), _BACK | {"failed_starts": 0})
COMPLETE = Transition("complete", (IN_PROGRESS,), (COMPLETED,), _LET_GO)
FAIL = Transition("fail", (IN_PROGRESS,), (FAILED,), _LET_GO)

# What happens by itself.
TAKE_OVER = Transition("take over", (IN_PROGRESS,), (PENDING, PAUSED), _BACK)
EXPIRE = Transition("expire", (COMPLETED, FAILED, CANCELED), ())

TRANSITIONS = (
    SUBMIT,
    PAUSE,
    ASK_TO_PAUSE,
    MOVE,
    RESUME,
    CANCEL,
    RETRY,
    DELETE,
    CLAIM,
    REPORT,
    STOP_TO_PAUSE,
    HAND_BACK,
    COMPLETE,
    FAIL,
    TAKE_OVER,
    EXPIRE,
)
