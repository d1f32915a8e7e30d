"""Whose job is next: owners take turns, and an owner's turns go to its jobs by priority.

Start-time fair queueing with turns of equal length (Goyal, Vin and Cheng, 1996): a job gets the
turn after its owner's last waiting one, but none before the turn the service is at. So a thousand
jobs of one owner do not delay the first of another, and nobody saves up turns by staying away.

An owner's waiting jobs of one priority are a lane, in which they go by `turn`. A job that overtakes
lower priorities takes the first of their turns, and their lanes are delayed by a turn. The delay is
one number of the lane, not written in each of its rows, which may be a hundred thousand. A job that
is rendered keeps the turn at which it was claimed, even if its lane is delayed later.

An owner may also move a waiting job among their own. That changes no turn of another owner.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs.database import jobs, lanes, queue, upsert, workers
from hunyuan_runner.jobs.queue_sums import TURNS
from hunyuan_runner.jobs.skills import Skills
from hunyuan_runner.jobs.states import IN_PROGRESS, PENDING, is_in


class Move(StrEnum):
    """Where a waiting job goes, among the waiting jobs of its owner."""

    FIRST = "first"
    SOONER = "sooner"  # before the job that is ahead of it
    LATER = "later"  # after the next one


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
_LEASED = sa.exists().where(workers.c.executor_id == sa.bindparam("executor_id"))


@lru_cache
def first_for(skills: Skills) -> sa.Select[Any]:
    """As FIRST, of the jobs that a worker with these skills may render, if it has a lease.

    Its lease is a row of `hunyuan_workers` for the parameter `executor_id`. The sums of the queue
    say in which stretch of a lane its models begin, so that the jobs of others before it need not
    be read.
    """
    lane = (
        sa.select(queue.c.owner, queue.c.priority, sa.func.min(queue.c.stretch).label("stretch"))
        .where(queue.c.model.in_(skills.models))
        .group_by(queue.c.owner, queue.c.priority)
        .subquery()
    )
    delay = delay_of(lane)
    in_lane = (
        *(WAITING, jobs.c.owner == lane.c.owner, jobs.c.priority == lane.c.priority),
        skills.suffice,
    )
    first = (
        sa.select(sa.func.min(jobs.c.turn))
        .where(*in_lane, jobs.c.turn >= lane.c.stretch * TURNS)
        .scalar_subquery()
    )
    lanes_first = sa.select(lane, delay.label("delay"), (first + delay).label("first")).subquery()
    return (
        sa.select(jobs.c.id, lanes_first.c.first)
        .join(
            lanes_first,
            sa.and_(
                jobs.c.owner == lanes_first.c.owner,
                jobs.c.priority == lanes_first.c.priority,
                jobs.c.turn == lanes_first.c.first - lanes_first.c.delay,
            ),
        )
        .where(WAITING, skills.suffice, _LEASED)
        .order_by(lanes_first.c.first, jobs.c.id)
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
        _delay_lanes(connection, overtaken_lanes, turn + 1 - overtaken)
    return turn - _delay_of_lane(connection, owner, priority)


def move(connection: sa.Connection, row: sa.Row[Any], to: Move) -> Sequence[sa.Row[Any]]:
    """Move a waiting job. Returns the rows that changed, as they are after it: none if the job
    is there already.

    To be called in the transaction of `writing` that read the row.
    """
    if to is Move.FIRST:
        return _put_first(connection, row)
    other = _neighbour(connection, row, to)
    if other is None:
        return []
    return [*_give(connection, row, other), *_give(connection, other, row)]


def _put_first(connection: sa.Connection, row: sa.Row[Any]) -> Sequence[sa.Row[Any]]:
    """Delay all lanes of the owner by a turn, and give the job the turn that is free then.

    So their other jobs come a turn later among those of other owners, but none is rewritten.
    """
    if _neighbour(connection, row, Move.SOONER) is None:
        return []
    own = [lane for lane in connection.execute(_LANES) if lane.owner == row.owner]
    first = min(own, key=lambda lane: int(lane.first))
    _delay_lanes(connection, (queue.c.owner == row.owner,), 1)
    # With the priority of the job that it overtakes, because the next job with a higher one than
    # its own would overtake both.
    priority = max(first.priority, row.priority)
    turn = first.first - _delay_of_lane(connection, row.owner, priority)
    update = sa.update(jobs).where(jobs.c.id == row.id).values(priority=priority, turn=turn)
    return connection.execute(update.returning(jobs)).all()


def _neighbour(connection: sa.Connection, row: sa.Row[Any], to: Move) -> sa.Row[Any] | None:
    """The waiting job of the same owner that is next to this one, on the side it moves to."""
    turn = jobs.c.turn + delay_of(jobs)
    place = sa.tuple_(turn, jobs.c.id)
    own = sa.tuple_(
        row.turn + _delay_of_lane(connection, row.owner, row.priority), sa.literal(row.id)
    )
    query = sa.select(jobs).where(WAITING, jobs.c.owner == row.owner).limit(1)
    if to is Move.LATER:
        query = query.where(place > own).order_by(turn, jobs.c.id)
    else:
        query = query.where(place < own).order_by(turn.desc(), jobs.c.id.desc())
    return connection.execute(query).first()


def _give(connection: sa.Connection, row: sa.Row[Any], other: sa.Row[Any]) -> Sequence[sa.Row[Any]]:
    """Give a job the turn of the other one, which is a turn of its lane."""
    values = {"priority": other.priority, "turn": other.turn}
    update = sa.update(jobs).where(jobs.c.id == row.id).values(values)
    return connection.execute(update.returning(jobs)).all()


def in_order(connection: sa.Connection, owner: str | None, limit: int) -> Sequence[sa.Row[Any]]:
    """The rows of the first `limit` waiting jobs, in order; of one owner, if it is given."""
    waiting = sorted(connection.execute(_LANES), key=lambda lane: int(lane.first))
    # Each of these has a job that waits, so a lane that begins after them has none of the first.
    first = [lane for lane in waiting if owner in (None, lane.owner)][:limit]
    found = [
        (row.turn + lane.delay, row.id, row)
        for lane in first
        for row in connection.execute(_first_of(lane, limit))
    ]
    return [row for *_, row in sorted(found, key=lambda each: each[:2])[:limit]]


def _first_of(lane: sa.Row[Any], limit: int) -> sa.Select[Any]:
    in_lane = (jobs.c.owner == lane.owner, jobs.c.priority == lane.priority)
    order = (jobs.c.turn, jobs.c.id)
    return sa.select(jobs).where(WAITING, *in_lane).order_by(*order).limit(limit)


def _delay_lanes(
    connection: sa.Connection, which: Sequence[sa.ColumnElement[bool]], by: int
) -> None:
    """Delay the lanes of these rows of `hunyuan_queue`, by a number of turns."""
    those = sa.select(queue.c.owner, queue.c.priority, sa.literal(by)).where(*which)
    insert = upsert(connection, lanes).from_select([*lanes.c.keys()], those.distinct())
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=["owner", "priority"], set_={"delay": lanes.c.delay + by}
        )
    )


def _delay_of_lane(connection: sa.Connection, owner: str, priority: int) -> int:
    of = (lanes.c.owner == owner, lanes.c.priority == priority)
    return connection.execute(sa.select(lanes.c.delay).where(*of)).scalar() or 0
