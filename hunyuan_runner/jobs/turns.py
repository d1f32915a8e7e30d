"""Whose job is next: owners take turns, and an owner's turns go to its jobs by priority.

Start-time fair queueing with turns of equal length (Goyal, Vin and Cheng, 1996): a job gets the
turn behind its owner's last waiting one, but none before the turn the service is at. So a thousand
jobs of one owner do not hold up the first of another, and nobody saves up turns by staying away.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs.database import jobs
from hunyuan_runner.jobs.job import JobState
from hunyuan_runner.params import Stage

WAITING = sa.and_(jobs.c.state == JobState.PENDING, jobs.c.stage == Stage.QUEUED)
RUNNING = jobs.c.state == JobState.IN_PROGRESS
# What a job becomes when its worker lets go of it half-way: it keeps its turn.
HANDED_BACK: dict[str, Any] = {
    "state": JobState.PENDING,
    "stage": sa.case((jobs.c.pausing, Stage.PAUSED), else_=Stage.QUEUED),
    "pausing": False,
    "executor_id": None,
}

# The turn the service is at, the first one that waits, and the owner's last.
_TURNS = sa.select(
    sa.select(sa.func.max(jobs.c.turn)).where(RUNNING).scalar_subquery(),
    sa.select(sa.func.min(jobs.c.turn)).where(WAITING).scalar_subquery(),
    sa.select(sa.func.max(jobs.c.turn))
    .where(sa.or_(WAITING, RUNNING), jobs.c.owner == sa.bindparam("owner"))
    .scalar_subquery(),
)


def next_turn(connection: sa.Connection, owner: str) -> int:
    """The turn, from 1, of a job that `owner` queues now."""
    at, upcoming, last = connection.execute(_TURNS, {"owner": owner}).one()
    now = at if at is not None else (upcoming or 1) - 1
    return int(max(now, last or 0)) + 1


def by_priority(connection: sa.Connection, owner: str) -> None:
    """Give the owner's turns to its waiting jobs by priority, then time."""
    rows = connection.execute(
        sa.select(jobs.c.id, jobs.c.turn)
        .where(WAITING, jobs.c.owner == owner)
        .order_by(jobs.c.priority.desc(), jobs.c.id)
    ).all()
    turns = sorted(row.turn for row in rows)
    moved = [
        {"job": row.id, "turn": turn}
        for row, turn in zip(rows, turns, strict=True)
        if row.turn != turn
    ]
    if moved:
        connection.execute(sa.update(jobs).where(jobs.c.id == sa.bindparam("job")), moved)
