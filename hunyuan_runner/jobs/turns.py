"""Whose job is next: owners take turns, and an owner's turns go to its jobs by priority.

Start-time fair queueing with turns of equal length (Goyal, Vin and Cheng, 1996): a job gets the
turn after its owner's last waiting one, but none before the turn the service is at. So a thousand
jobs of one owner do not delay the first of another, and nobody saves up turns by staying away.

An owner's waiting jobs of one priority are a lane, in which they go by `turn`. A job that overtakes
lower priorities takes the first of their turns, and their lanes are delayed by a turn. The delay is
one number of the lane, not written in each of its rows, which may be a hundred thousand. A job that
is rendered keeps the turn at which it was claimed, even if its lane is delayed later.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs.database import jobs, lanes, queue, upsert
from hunyuan_runner.jobs.states import IN_PROGRESS, PENDING, is_in

WAITING = is_in(PENDING)
RUNNING = is_in(IN_PROGRESS)


def delay_of(table: sa.FromClause) -> sa.ColumnElement[int]:
    """The delay, in turns, of the lane that a row of this table belongs to."""
    of = sa.and_(lanes.c.owner == table.c.owner, lanes.c.priority == table.c.priority)
    known = sa.select(lanes.c.delay).where(of).correlate(table).scalar_subquery()
    return sa.func.coalesce(known, 0)


# The value of `turn` for a job that leaves its worker and keeps its turn in its lane.
SAME_TURN = jobs.c.turn - delay_of(jobs)

_present = sa.select(queue.c.owner, queue.c.priority).distinct().subquery()
_delay = delay_of(_present)


def _end(function: Any) -> sa.ScalarSelect[int]:
    in_lane = (jobs.c.owner == _present.c.owner, jobs.c.priority == _present.c.priority)
    return sa.select(function(jobs.c.turn)).where(WAITING, *in_lane).scalar_subquery()


# The lanes in which jobs wait, with their first and last turns, delay included.
_LANES = sa.select(
    _present,
    _delay.label("delay"),
    (_end(sa.func.min) + _delay).label("first"),
    (_end(sa.func.max) + _delay).label("last"),
)
_lane = _LANES.subquery()
FIRST = (
    sa.select(jobs.c.id, _lane.c.first)
    .join(
        _lane,
        sa.and_(
            jobs.c.owner == _lane.c.owner,
            jobs.c.priority == _lane.c.priority,
            jobs.c.turn == _lane.c.first - _lane.c.delay,
        ),
    )
    .where(WAITING)
    .order_by(_lane.c.first, jobs.c.id)
    .limit(1)
)
_OF_OWNER = jobs.c.owner == sa.bindparam("owner")
_RUNNING_TURNS = sa.select(
    sa.func.max(jobs.c.turn), sa.func.max(sa.case((_OF_OWNER, jobs.c.turn)))
).where(RUNNING)


def next_turn(connection: sa.Connection, owner: str, priority: int) -> tuple[int, int | None]:
    """The turn, from 1, of a job that `owner` queues now.

    Also returns the first turn of the owner's jobs that it overtakes, if there are any.
    """
    waiting = connection.execute(_LANES).all()
    at, own_at = connection.execute(_RUNNING_TURNS, {"owner": owner}).one()
    own = [lane for lane in waiting if lane.owner == owner]
    before = max((lane.last for lane in own if lane.priority >= priority), default=0)
    overtaken = min((lane.first for lane in own if lane.priority < priority), default=None)
    if overtaken is not None:
        return max(overtaken, before + 1), overtaken
    upcoming = min((lane.first for lane in waiting), default=1)
    now = at if at is not None else upcoming - 1
    return max(now, before, own_at or 0) + 1, None


def queue_up(connection: sa.Connection, owner: str, priority: int) -> int:
    """Make room for a new job of `owner`: delay the jobs that it overtakes. Returns its `turn`.

    To be called in the transaction of `writing` that gives the job this turn.
    """
    turn, overtaken = next_turn(connection, owner, priority)
    if overtaken is not None:
        overtaken_lanes = (queue.c.owner == owner, queue.c.priority < priority)
        later = turn + 1 - overtaken
        those = sa.select(queue.c.owner, queue.c.priority, sa.literal(later)).where(
            *overtaken_lanes
        )
        insert = upsert(connection, lanes).from_select([*lanes.c.keys()], those.distinct())
        connection.execute(
            insert.on_conflict_do_update(
                index_elements=["owner", "priority"], set_={"delay": lanes.c.delay + later}
            )
        )
    of = (lanes.c.owner == owner, lanes.c.priority == priority)
    delay = connection.execute(sa.select(lanes.c.delay).where(*of)).scalar()
    return turn - (delay or 0)
