"""What happened to every job, in order: what event streams replay and webhooks are told.

Each change of a job's row is noted in the transaction that makes it, so that neither is ever seen
without the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

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
    # How a job ended is known of its last run alone.
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
    PROGRESS = "progress"  # another stage, or a step or a part of it more
    PREVIEW = "preview"  # there is a new one to look at


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job."""

    number: int  # rises, over all jobs
    change: Change
    job: Job  # as it was then, so far as the journal knows
    owner: str
    final: bool  # the job ended by it, and was not retried since


@dataclass(frozen=True)
class JournalPage:
    """What happened next, in order."""

    events: list[JobEvent]
    number: int  # up to which it was read
    has_more: bool


# A writer that falls silent, see database.WRITERS_SILENCE, loses the lock.
_LOCK = sa.select(
    sa.func.set_config(
        "idle_in_transaction_session_timeout", sa.func.current_setting(WRITERS_SILENCE), True
    ),
    sa.func.pg_advisory_xact_lock(ORDER_LOCK),
)


@contextmanager
def writing(database: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that changes jobs' rows and records it; one at a time, in all processes.

    So numbers become visible in their order, and who has read up to one has missed none below it.
    Taken before any row is, the lock also keeps two that want each other's rows apart.
    """
    with database.begin() as connection:
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # the driver would at the first change
        else:
            connection.execute(_LOCK)
        yield connection


def record(connection: sa.Connection, row: sa.Row[Any], change: Change) -> None:
    """Note what has just become of a job, in a transaction of `writing`.

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


def newest_number(connection: sa.Connection) -> int:
    """That of the latest event; 0 before the first."""
    return int(connection.execute(sa.select(NEWEST)).scalar_one())


def rows_after(
    connection: sa.Connection,
    number: int,
    end: int,
    of: Sequence[sa.ColumnElement[bool]],
    limit: int,
) -> Sequence[sa.Row[Any]]:
    """The events after `number`, up to `end`, of the jobs `of` these conditions, in order.

    Each is its job's row as it was then, with `number`, `change` and `final`.
    """
    query = _EVENTS.where(events.c.number > number, events.c.number <= end, *of).limit(limit)
    return connection.execute(query).all()


def without_superseded(rows: Sequence[sa.Row[Any]]) -> list[sa.Row[Any]]:
    """All changes of state, but of the progress and the previews of a job the newest alone."""
    newest = {(row.id, row.change): row.number for row in rows}
    return [
        row
        for row in rows
        if row.change == Change.STATE or row.number == newest[row.id, row.change]
    ]
