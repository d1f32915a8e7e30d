"""The work ahead of places in the queue, from the sums that the database keeps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from hunyuan_runner.jobs.database import jobs, lanes, queue
from hunyuan_runner.jobs.queue_sums import TURNS
from hunyuan_runner.jobs.turns import WAITING, delay_of
from hunyuan_runner.quoting.estimate import WORK_FIELDS, Work

RANGES_AT_ONCE = 100  # in one statement; SQLite takes 500


class Place(NamedTuple):
    """A place in the queue; jobs go in the order of their places."""

    turn: int  # the delay of the job's lane included
    job_id: str


class _Stretches(NamedTuple):
    """Consecutive stretches of one lane."""

    owner: str
    priority: int
    delay: int
    first: int
    last: int

    def range(self, number: int, at_most: int) -> dict[str, Any]:
        """The parameters of the _range of this number, up to a turn with the delay included."""
        return {
            f"owner{number}": self.owner,
            f"priority{number}": self.priority,
            f"delay{number}": self.delay,
            f"first{number}": self.first * TURNS,
            f"last{number}": min((self.last + 1) * TURNS - 1, at_most - self.delay),
        }


class Sum(NamedTuple):
    """A number of jobs of one model, and their work."""

    jobs: int
    work: Work


_START = queue.c.stretch * TURNS + delay_of(queue)
_END = _START + (TURNS - 1)
_COLUMNS = (queue.c.jobs, *(queue.c[name] for name in WORK_FIELDS))
_BY_MODEL = sa.select(queue.c.model, *(sa.func.sum(column) for column in _COLUMNS)).group_by(
    queue.c.model
)
# The stretches that end before all of the places, and those between or around them.
_BEFORE = _BY_MODEL.where(sa.bindparam("first") > _END)
_BETWEEN = sa.select(
    queue.c.owner,
    queue.c.priority,
    queue.c.stretch,
    _START.label("start"),
    queue.c.model,
    *_COLUMNS,
).where(sa.bindparam("first") <= _END, sa.bindparam("last") >= _START)
_DELAYS = sa.select(lanes.c.owner, lanes.c.priority, lanes.c.delay)


def places_of(connection: sa.Connection, waiting: Sequence[sa.Row[Any]]) -> list[Place]:
    """The places of these waiting rows of `hunyuan_jobs`."""
    delays = {(row.owner, row.priority): row.delay for row in connection.execute(_DELAYS)}
    return [Place(row.turn + delays.get((row.owner, row.priority), 0), row.id) for row in waiting]


def ahead_of(connection: sa.Connection, places: Sequence[Place]) -> dict[Place, Mapping[str, Sum]]:
    """The jobs ahead of each of these places, by model."""
    ordered = sorted(places)
    turns = [place.turn for place in ordered]
    span = {"first": turns[0], "last": turns[-1]}
    sums: dict[str, list[float]] = {}
    for model, *counted in connection.execute(_BEFORE, span):
        _add(sums, model, counted)
    pieces: list[tuple[Place, str, Sequence[float]]] = []
    around: list[_Stretches] = []
    for owner, priority, stretch, start, model, *counted in connection.execute(_BETWEEN, span):
        next_place = bisect_left(turns, start)
        if next_place < len(turns) and turns[next_place] < start + TURNS:
            around.append(_Stretches(owner, priority, start - stretch * TURNS, stretch, stretch))
        else:
            pieces.append((Place(start, ""), model, counted))
    for job_id, turn, model, *counted in _within(connection, _joined(around), turns[-1]):
        pieces.append((Place(turn, job_id), model, counted))
    pieces.sort(key=lambda piece: piece[0], reverse=True)
    found: dict[Place, Mapping[str, Sum]] = {}
    for place in ordered:
        while pieces and pieces[-1][0] < place:
            _, model, sizes = pieces.pop()
            _add(sums, model, sizes)
        found[place] = {model: Sum(int(jobs), Work(*work)) for model, (jobs, *work) in sums.items()}
    return found


def queued_by_model(connection: sa.Connection) -> dict[str, Sum]:
    """All jobs in the queue."""
    found = connection.execute(_BY_MODEL)
    return {model: Sum(int(jobs), Work(*work)) for model, jobs, *work in found}


def _within(
    connection: sa.Connection, stretches: Sequence[_Stretches], at_most: int
) -> Iterator[Any]:
    """The jobs in these stretches, up to a turn: id, turn with the delay, model, 1 and work."""
    for start in range(0, len(stretches), RANGES_AT_ONCE):
        some = stretches[start : start + RANGES_AT_ONCE]
        parameters: dict[str, Any] = {}
        for number, each in enumerate(some):
            parameters |= each.range(number, at_most)
        yield from connection.execute(_ranges(len(some)), parameters)


@cache
def _ranges(count: int) -> sa.CompoundSelect[Any]:
    """The jobs in so many ranges of turns, asked for in one round trip."""
    return sa.union_all(*map(_range, range(count)))


def _range(number: int) -> sa.Select[Any]:
    """The jobs in one range of turns of one lane: for that, every database uses the index."""
    return sa.select(
        jobs.c.id,
        (jobs.c.turn + sa.bindparam(f"delay{number}", type_=sa.Integer)).label("turn"),
        jobs.c.model,
        sa.literal(1).label("jobs"),
        *(jobs.c[name] for name in WORK_FIELDS),
    ).where(
        WAITING,
        jobs.c.owner == sa.bindparam(f"owner{number}"),
        jobs.c.priority == sa.bindparam(f"priority{number}"),
        jobs.c.turn.between(sa.bindparam(f"first{number}"), sa.bindparam(f"last{number}")),
    )


def _joined(stretches: Sequence[_Stretches]) -> list[_Stretches]:
    """The same, with neighbours joined. A stretch has one row for each model."""
    joined: list[_Stretches] = []
    for one in sorted(stretches):
        before = joined[-1] if joined else None
        if before and before[:3] == one[:3] and one.first <= before.last + 1:
            joined[-1] = before._replace(last=one.last)
        else:
            joined.append(one)
    return joined


def _add(sums: dict[str, list[float]], model: str, counted: Sequence[float]) -> None:
    known = sums.setdefault(model, [0] * len(counted))
    sums[model] = [a + b for a, b in zip(known, counted, strict=True)]
