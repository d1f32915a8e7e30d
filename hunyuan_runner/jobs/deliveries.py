"""The outbox of webhooks, written in the transactions in which jobs change state.

So there is a delivery exactly if its job is durably in the state that the delivery reports. Senders
(see webhooks.py) claim deliveries for a while: if one dies, another sends its deliveries again.
Times are those of the database's clock, which all senders share.

The events of a job are sent in order. Each waits until the one before it has been attempted. If
that failed, the later one supersedes it, so that a receiver that fails for a day gets the job's end
first when it is back. Owners and receivers have equal shares of each sender: one that never answers
delays no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from hunyuan_runner.jobs import tallies
from hunyuan_runner.jobs.database import clock, deliveries, jobs, time_of
from hunyuan_runner.params import WebhookEvent
from hunyuan_runner.wire import JobState

CLAIM_MS = 30_000  # longer than any attempt takes
CLAIM_LOCK = 0x68756E79_646C7679  # any constant of our own
# The most deliveries that one sender attempts at once for one owner, and for one receiver of it.
PER_OWNER = 64
PER_RECEIVER = 4
BATCH = 200

EVENTS: dict[str, WebhookEvent] = {
    JobState.IN_PROGRESS: "started",
    JobState.COMPLETED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELED: "canceled",
}


class DeliveryNotFound(LookupError):
    """The job has no such delivery."""

    def __init__(self, delivery_id: str) -> None:
        super().__init__(f"there is no delivery {delivery_id!r} of this job")


class DeliveryState(StrEnum):
    """The state of a delivery; a failed one is not attempted again.

    A superseded one was attempted in vain until a later event of the job came.
    """

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    SUPERSEDED = "superseded"


# The label of an attempt's metric, by the state in which it leaves the delivery.
OUTCOMES = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.PENDING: "failed",
    DeliveryState.FAILED: "given_up",
}


@dataclass(frozen=True)
class Delivery:
    """One event of one job, on its way to the job's webhook."""

    id: str
    event: WebhookEvent
    owner: str
    receiver: str  # the host and port of its webhook
    state: DeliveryState
    attempts: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    last_attempt_at: datetime | None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        return cls(
            id=row.id,
            event=row.event,
            owner=row.owner,
            receiver=row.receiver,
            state=DeliveryState(row.state),
            attempts=row.attempts,
            last_status=row.last_status,
            last_error=row.last_error,
            created_at=time_of(row.created_at),
            next_attempt_at=row.next_attempt_at and time_of(row.next_attempt_at),
            last_attempt_at=row.last_attempt_at and time_of(row.last_attempt_at),
        )


@dataclass(frozen=True)
class Attempt:
    """The right to send a delivery once."""

    delivery: Delivery
    claimed_until: int
    job: Mapping[str, Any]  # its row, as it was when the event happened


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt: the status of the answer, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def state(self) -> DeliveryState:
        """The state of the delivery, unless it is given up. 410 means that the receiver is gone."""
        if self.status is not None and 200 <= self.status < 300:
            return DeliveryState.DELIVERED
        return DeliveryState.FAILED if self.status == 410 else DeliveryState.PENDING


def owe(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Add a delivery for the new state of the job `row`, if its webhook wants that event."""
    event = EVENTS.get(row.state)
    if row.webhook_url is None or event not in row.webhook_events:
        return
    # Each run may end, but a job starts once, even if it is resumed or retried.
    delivery_id = f"{row.id}-{event}" if event == "started" else f"{row.id}-{row.run}-{event}"
    known = sa.select(deliveries.c.id).where(deliveries.c.id == delivery_id)
    if connection.execute(known).first() is not None:
        return
    now = clock(connection.engine)
    connection.execute(
        sa.insert(deliveries).values(
            id=delivery_id,
            job_id=row.id,
            event=event,
            position=2 * row.run + (event != "started"),
            owner=row.owner,
            receiver=urlsplit(row.webhook_url).netloc.lower(),
            job=row._asdict(),
            state=DeliveryState.PENDING,
            created_at=now,
            next_attempt_at=now,
        )
    )


_other = deliveries.alias("other")  # of the same job


def _another(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Whether the job has another pending delivery that meets these conditions."""
    pending = _other.c.state == DeliveryState.PENDING
    return sa.exists().where(_other.c.job_id == deliveries.c.job_id, pending, *conditions)


# Whether it is this delivery's turn among those of its job.
_FIRST_OF_JOB = sa.and_(
    ~_another(_other.c.position < deliveries.c.position, ~_other.c.in_vain),
    ~sa.and_(deliveries.c.in_vain, _another(_other.c.position > deliveries.c.position)),
)


class _Load:
    """The number of deliveries that a sender attempts now, by owner and by receiver."""

    def __init__(self, under_way: Iterable[Delivery]) -> None:
        self._owners: Counter[str] = Counter()
        self._receivers: Counter[tuple[str, str]] = Counter()
        for delivery in under_way:
            self._add(delivery)

    def not_full(self, share: int) -> list[sa.ColumnElement[bool]]:
        """Conditions: the owner and receiver of a delivery have less than this share. Empty if all
        have less."""
        owners = [owner for owner, number in self._owners.items() if number >= share]
        share = min(share, PER_RECEIVER)
        receivers = [pair for pair, number in self._receivers.items() if number >= share]
        conditions: list[sa.ColumnElement[bool]] = []
        if owners:
            conditions.append(deliveries.c.owner.not_in(owners))
        if receivers:
            pair = sa.tuple_(deliveries.c.owner, deliveries.c.receiver)
            conditions.append(pair.not_in(receivers))
        return conditions

    def take(self, rows: Sequence[sa.Row[Any]], share: int, limit: int) -> list[str]:
        """Count the rows that fit into the shares, up to a limit, and return their ids."""
        taken: list[str] = []
        for row in rows:
            pair = row.owner, row.receiver
            fits = self._owners[row.owner] < share
            if fits and self._receivers[pair] < min(share, PER_RECEIVER) and len(taken) < limit:
                self._add(row)
                taken.append(row.id)
        return taken

    def _add(self, delivery: Delivery | sa.Row[Any]) -> None:
        self._owners[delivery.owner] += 1
        self._receivers[delivery.owner, delivery.receiver] += 1


class Outbox:
    """The deliveries of all jobs."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database
        # As a subquery it is computed once, so that the index can be used.
        self._now = sa.select(clock(database)).scalar_subquery()
        self._due = sa.and_(deliveries.c.next_attempt_at <= self._now, _FIRST_OF_JOB)

    def of_job(self, job_id: str) -> list[Delivery]:
        """The job's deliveries, the oldest first."""
        query = sa.select(deliveries).where(deliveries.c.job_id == job_id)
        with self._database.connect() as connection:
            rows = connection.execute(query.order_by(deliveries.c.position, deliveries.c.id))
            return [Delivery.of(row) for row in rows]

    def pending(self) -> int:
        """The number of deliveries to be attempted, now or later."""
        waiting = deliveries.c.next_attempt_at.is_not(None)
        with self._database.connect() as connection:
            query = sa.select(sa.func.count()).select_from(deliveries).where(waiting)
            return int(connection.execute(query).scalar_one())

    def resend(self, job_id: str, delivery_id: str) -> Delivery:
        """Make a delivery due now, in whatever state it is. Raises DeliveryNotFound."""
        update = (
            sa.update(deliveries)
            .where(deliveries.c.job_id == job_id, deliveries.c.id == delivery_id)
            .values(state=DeliveryState.PENDING, in_vain=False, next_attempt_at=self._now)
            .returning(deliveries)
        )
        with self._database.begin() as connection:
            row = connection.execute(update).first()
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return Delivery.of(row)

    def claim(self, limit: int, under_way: Iterable[Delivery] = ()) -> list[Attempt]:
        """Claim up to `limit` due deliveries, besides those under way already."""
        load = _Load(under_way)
        claimed: list[sa.Row[Any]] = []
        with self._database.begin() as connection:
            if self._database.dialect.name == "postgresql":
                # No other sender may look while this one claims. On SQLite the update checks again.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CLAIM_LOCK)))
            share = 1  # each gets one before any gets a second, and so on
            while share <= PER_OWNER and len(claimed) < limit:
                not_full = load.not_full(share)
                rows = connection.execute(self._waiting(not_full)).all()
                if ids := load.take(rows, share, limit - len(claimed)):
                    claimed += self._take(connection, ids)
                if len(rows) < BATCH:
                    if not not_full and len(ids) == len(rows):
                        break  # that was all
                    share *= 2
            return self._attempts(connection, claimed)

    def _waiting(self, not_full: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
        """The due deliveries, those never attempted first."""
        columns = deliveries.c.id, deliveries.c.owner, deliveries.c.receiver
        query = sa.select(*columns).where(self._due, *not_full)
        return query.order_by(deliveries.c.attempts, deliveries.c.next_attempt_at).limit(BATCH)

    def _take(self, connection: sa.Connection, ids: list[str]) -> Sequence[sa.Row[Any]]:
        claimed = connection.execute(
            sa.update(deliveries)
            .where(deliveries.c.id.in_(ids), self._due)
            .values(
                attempts=deliveries.c.attempts + 1,
                in_vain=False,
                last_attempt_at=self._now,
                next_attempt_at=self._now + CLAIM_MS,
            )
            .returning(deliveries)
        ).all()
        connection.execute(
            sa.update(deliveries)
            .where(
                deliveries.c.job_id.in_({row.job_id for row in claimed}),
                deliveries.c.state == DeliveryState.PENDING,
                deliveries.c.in_vain,
                _another(_other.c.position > deliveries.c.position),
            )
            .values(state=DeliveryState.SUPERSEDED, in_vain=False, next_attempt_at=None)
        )
        return claimed

    def _attempts(self, connection: sa.Connection, claimed: Sequence[sa.Row[Any]]) -> list[Attempt]:
        found = connection.execute(
            sa.select(jobs).where(jobs.c.id.in_({row.job_id for row in claimed}))
        )
        present = {row.id: row._asdict() for row in found}
        return [
            # An older version wrote fewer columns; those are as they are now.
            Attempt(Delivery.of(row), row.next_attempt_at, present[row.job_id] | row.job)
            for row in claimed
        ]

    def settle(self, attempt: Attempt, outcome: Outcome, pause_ms: int | None) -> None:
        """Write down the result of an attempt. If it failed, the next is due after the pause, in
        milliseconds; without a pause the delivery is given up."""
        state, next_attempt_at = outcome.state, None
        if state is DeliveryState.PENDING:
            if pause_ms is None:
                state = DeliveryState.FAILED
            else:
                next_attempt_at = self._now + pause_ms
        with self._database.begin() as connection:
            connection.execute(
                sa.update(deliveries)
                # Unless it was claimed or made due again meanwhile.
                .where(
                    deliveries.c.id == attempt.delivery.id,
                    deliveries.c.next_attempt_at == attempt.claimed_until,
                )
                .values(
                    state=state,
                    in_vain=state is DeliveryState.PENDING,
                    last_status=outcome.status,
                    last_error=outcome.error,
                    next_attempt_at=next_attempt_at,
                )
            )
            counted = OUTCOMES[state]
            tallies.add(connection, [tallies.WEBHOOK_ATTEMPTS.of(value=counted)])

    def catch_up(self) -> None:
        """Make deliveries due whose time was set by a clock that has been set back since."""
        seen_at = sa.func.coalesce(deliveries.c.last_attempt_at, deliveries.c.created_at)
        later = self._now + CLAIM_MS
        with self._database.begin() as connection:
            connection.execute(
                sa.update(deliveries)
                .where(deliveries.c.next_attempt_at > later, seen_at > later)
                .values(next_attempt_at=self._now)
            )
