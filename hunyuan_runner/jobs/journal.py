"""What happened to every job, in order: the source of event streams and webhooks.

Each change of a job's row is recorded in the transaction that makes it, so that neither exists
without the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs import tallies
from hunyuan_runner.jobs.database import WRITERS_SILENCE, events, jobs, now_ms
from hunyuan_runner.jobs.deliveries import owe
from hunyuan_runner.jobs.job import ENDED, Job

ORDER_LOCK = 0x68756E79_65766E74  # any constant of our own


# Of an event: whether the job ended by it, and was not retried since.
_FINAL = sa.and_(events.c.state.in_(ENDED), events.c.run == jobs.c.run)
# What differs in the job's row as it was then.
_THEN: dict[str, sa.ColumnElement[Any]] = {
    "state": events.c.state,
    "stage": events.c.stage,
    "step": events.c.step,
    "part": events.c.part,
    "parts": events.c.parts,
    "progressed_at": sa.null().label("progressed_at"),  # at that very moment
} | {
    # How a job ended is known only for its last run.
    name: sa.case((_FINAL, jobs.c[name])).label(name)
    for name in ("completed_at", "expires_at", "error_code", "error_message")
}
_NOTE = sa.insert(events)
NEWEST = sa.select(sa.func.coalesce(sa.func.max(events.c.number), 0)).scalar_subquery()
_EVENTS: sa.Select[Any] = (
    sa.select(
        *(_THEN.get(column.name, column) for column in jobs.c),
        events.c.number,
        events.c.change,
        _FINAL.label("final"),
    )
    .join_from(events, jobs)
    .order_by(events.c.number)
)


class Change(StrEnum):
    """What kind of thing happened."""

    STATE = "state"  # the job moved to another state
    PROGRESS = "progress"  # the next stage, or one more step or tile of it
    PREVIEW = "preview"  # there is a new preview


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job."""

    number: int  # rises, over all jobs
    change: Change
    job: Job  # as it was then, as far as the journal knows
    owner: str
    final: bool  # the job ended by it, and was not retried since


@dataclass(frozen=True)
class JournalPage:
    """A page of events, in order."""

    events: list[JobEvent]
    number: int  # the journal was read up to this event
    has_more: bool


# A writer that is silent for too long (database.WRITERS_SILENCE) loses the lock.
_LOCK = sa.select(
    sa.func.set_config(
        "idle_in_transaction_session_timeout", sa.func.current_setting(WRITERS_SILENCE), True
    ),
    sa.func.pg_advisory_xact_lock(ORDER_LOCK),
)


@contextmanager
def writing(database: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that changes rows of jobs and records it. All processes take turns.

    So events become visible in the order of their numbers: a reader that has seen one has missed
    none before it. The lock is taken before any row, so two transactions cannot deadlock.
    """
    with database.begin() as connection:
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would at the first change
        else:
            connection.execute(_LOCK)
        yield connection


def record(connection: sa.Connection, row: sa.Row[Any], change: Change) -> None:
    """Record a change of a job, in the transaction of `writing` that makes it.

    `row` is the job's row after the change.
    """
    values = {
        "job_id": row.id,
        "run": row.run,
        "change": change,
        "state": row.state,
        "stage": row.stage,
        "step": row.step,
        "part": row.part,
        "parts": row.parts,
        "at": now_ms(),
    }
    connection.execute(_NOTE, values)
    if change is Change.STATE:
        owe(connection, row)
        if row.state in ENDED:
            tallies.add(connection, tallies.of_end(row))


def newest_number(connection: sa.Connection) -> int:
    """The number of the newest event; 0 before the first."""
    return int(connection.execute(sa.select(NEWEST)).scalar_one())


def rows_after(
    connection: sa.Connection,
    number: int,
    end: int,
    of: Sequence[sa.ColumnElement[bool]],
    limit: int,
) -> Sequence[sa.Row[Any]]:
    """The events after `number`, up to `end`, of the jobs that meet the conditions `of`, in order.

    Each is its job's row as it was then, with `number`, `change` and `final`.
    """
    query = _EVENTS.where(events.c.number > number, events.c.number <= end, *of).limit(limit)
    return connection.execute(query).all()


def without_superseded(rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """All changes of state, and only the newest progress and preview of each job."""
    newest = {(row.id, row.change): row.number for row in rows}
    return [
        row
        for row in rows
        if row.change == Change.STATE or row.number == newest[row.id, row.change]
    ]
