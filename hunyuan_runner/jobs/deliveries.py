"""What webhooks are owed: an outbox, written in the transactions in which jobs change state.

So there is a delivery exactly if its job is durably in the state that it tells of. Senders (see
webhooks.py) take deliveries by claims that run out: what a dead one had begun, another sends again.
Times are those of the database's clock, which all of them share.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

import sqlalchemy as sa

from hunyuan_runner.jobs.database import clock, deliveries, jobs, time_of
from hunyuan_runner.jobs.job import JobState
from hunyuan_runner.params import WebhookEvent

CLAIM_MS = 30_000  # longer than any attempt takes
GIVE_UP_MS = 24 * 3600 * 1000

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
    """How a delivery stands; a failed one is attempted no more."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Delivery:
    """One event of one job, on its way to the job's webhook."""

    id: str
    event: WebhookEvent
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
    """What came of an attempt: the status answered, or why there was none."""

    status: int | None = None
    error: str | None = None

    @property
    def state(self) -> DeliveryState:
        """The delivery's, while it is not too old: 410 says that nobody is there any more."""
        if self.status is not None and 200 <= self.status < 300:
            return DeliveryState.DELIVERED
        return DeliveryState.FAILED if self.status == 410 else DeliveryState.PENDING


def owe(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Owe the job's webhook, if it wants it, the news of the state that `row` has come to."""
    event = EVENTS.get(row.state)
    if row.webhook_url is None or event not in row.webhook_events:
        return
    # Each retry may end, and that is news; but a job starts once, however often it is gone on with.
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
            job=row._asdict(),
            state=DeliveryState.PENDING,
            created_at=now,
            next_attempt_at=now,
        )
    )


class Outbox:
    """The deliveries of all jobs."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # As a subquery: looked up once, so that an index can be searched for it.
        self._now = sa.select(clock(engine)).scalar_subquery()

    def of_job(self, job_id: str) -> list[Delivery]:
        """The job's deliveries, the oldest first."""
        query = sa.select(deliveries).where(deliveries.c.job_id == job_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(deliveries.c.created_at, deliveries.c.id))
            return [Delivery.of(row) for row in rows]

    def resend(self, job_id: str, delivery_id: str) -> Delivery:
        """Have a delivery attempted at once, however it stands. Raises DeliveryNotFound."""
        update = (
            sa.update(deliveries)
            .where(deliveries.c.job_id == job_id, deliveries.c.id == delivery_id)
            .values(state=DeliveryState.PENDING, next_attempt_at=self._now)
            .returning(deliveries)
        )
        with self._engine.begin() as connection:
            row = connection.execute(update).first()
        if row is None:
            raise DeliveryNotFound(delivery_id)
        return Delivery.of(row)

    def claim(self, limit: int) -> list[Attempt]:
        """Take up to so many of the deliveries that are due."""
        due = deliveries.c.next_attempt_at <= self._now
        chosen = (
            sa.select(deliveries.c.id)
            .where(due)
            # News first: receivers that never answer hold up none but each other.
            .order_by(deliveries.c.attempts, deliveries.c.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._engine.begin() as connection:
            ids = connection.execute(chosen).scalars().all()
            if not ids:
                return []
            claimed = connection.execute(
                sa.update(deliveries)
                .where(deliveries.c.id.in_(ids), due)  # SQLite does not lock what it selects
                .values(
                    attempts=deliveries.c.attempts + 1,
                    last_attempt_at=self._now,
                    next_attempt_at=self._now + CLAIM_MS,
                )
                .returning(deliveries)
            ).all()
            job_ids = {row.job_id for row in claimed}
            found = connection.execute(sa.select(jobs).where(jobs.c.id.in_(job_ids)))
            present = {row.id: row._asdict() for row in found}
        return [
            # What an older version did not write down is as it is now.
            Attempt(Delivery.of(row), row.next_attempt_at, present[row.job_id] | row.job)
            for row in claimed
        ]

    def settle(self, attempt: Attempt, outcome: Outcome, pause_ms: int) -> None:
        """Note what came of an attempt; where nothing did, the next is due after the pause."""
        delivery = attempt.delivery
        state, next_attempt_at = outcome.state, None
        if state is DeliveryState.PENDING:
            assert delivery.last_attempt_at is not None
            age = delivery.last_attempt_at - delivery.created_at
            if age.total_seconds() * 1000 + pause_ms > GIVE_UP_MS:
                state = DeliveryState.FAILED
            else:
                next_attempt_at = self._now + pause_ms
        with self._engine.begin() as connection:
            connection.execute(
                sa.update(deliveries)
                # Unless it was claimed or asked for again meanwhile.
                .where(
                    deliveries.c.id == delivery.id,
                    deliveries.c.next_attempt_at == attempt.claimed_until,
                )
                .values(
                    state=state,
                    last_status=outcome.status,
                    last_error=outcome.error,
                    next_attempt_at=next_attempt_at,
                )
            )
