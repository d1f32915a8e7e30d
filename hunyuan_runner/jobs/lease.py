"""Leases: how workers show they are alive, and how a dead one's jobs reach a living one."""

from __future__ import annotations

import logging
import secrets
import socket

import sqlalchemy as sa

from hunyuan_runner.jobs.database import clock, jobs, workers
from hunyuan_runner.jobs.journal import Change, record, writing
from hunyuan_runner.jobs.turns import HANDED_BACK, RUNNING
from hunyuan_runner.profile import Profile

logger = logging.getLogger(__name__)


class Lease:
    """A worker's row in the table of the living, renewed by the database's clock."""

    def __init__(self, engine: sa.Engine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_ms = int(lease_seconds * 1000)
        # Fresh at every start: what an earlier process of this host left behind is not ours.
        self.executor_id = f"{socket.gethostname()}-{secrets.token_hex(6)}"

    def renew(self, profile: Profile) -> None:
        """Be alive, on the machine that `profile` describes."""
        renewed = sa.update(workers).where(workers.c.executor_id == self.executor_id)
        row = {"beat_at": clock(self._engine), "profile": profile.as_json()}
        with self._engine.begin() as connection:
            if connection.execute(renewed.values(row)).rowcount == 0:
                connection.execute(sa.insert(workers).values(executor_id=self.executor_id, **row))

    def release(self) -> None:
        """Let the others take over at once what this worker had begun."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.executor_id == self.executor_id))

    def take_over(self) -> None:
        """Put what other workers were rendering whose lease has run out back into the queue."""
        # Who looks is alive, though writing its own beat down may have taken longer than a lease.
        dead = sa.and_(
            workers.c.executor_id != self.executor_id,
            workers.c.beat_at < clock(self._engine) - self._lease_ms,
        )
        orphaned = (
            sa.update(jobs)
            .where(RUNNING, jobs.c.executor_id.not_in(sa.select(workers.c.executor_id)))
            .values(HANDED_BACK)
            .returning(jobs)
        )
        with writing(self._engine) as connection:
            connection.execute(sa.delete(workers).where(dead))
            for row in connection.execute(orphaned).all():
                record(connection, row, Change.STATE)
                logger.warning("job %s goes on: its worker is gone", row.id)
