"""Leases: how workers show they are alive, and how a dead one's jobs reach a living one."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import Iterable

import sqlalchemy as sa
from dbos import DBOS

from hunyuan_runner.jobs.database import clock, workers

logger = logging.getLogger(__name__)


class Lease:
    """A worker's row in the table of the living, renewed by the database's clock."""

    def __init__(self, engine: sa.Engine, lease_seconds: float) -> None:
        self._engine = engine
        self._lease_ms = int(lease_seconds * 1000)
        # Fresh at every start: what an earlier process of this host left behind is not ours.
        self.executor_id = f"{socket.gethostname()}-{secrets.token_hex(6)}"

    def renew(self) -> None:
        renewed = sa.update(workers).where(workers.c.executor_id == self.executor_id)
        now = clock(self._engine)
        with self._engine.begin() as connection:
            if connection.execute(renewed.values(beat_at=now)).rowcount == 0:
                connection.execute(
                    sa.insert(workers).values(executor_id=self.executor_id, beat_at=now)
                )

    def release(self) -> None:
        """Let the others take over at once what this worker had begun."""
        with self._engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.executor_id == self.executor_id))

    def living(self) -> set[str]:
        """The workers whose lease has not run out; the rows of the others are removed."""
        oldest = clock(self._engine) - self._lease_ms
        with self._engine.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.beat_at < oldest))
            return set(connection.execute(sa.select(workers.c.executor_id)).scalars())


def take_over(queue_name: str, living: Iterable[str]) -> None:
    """Put the jobs of workers that are not among the living back into the queue."""
    begun = DBOS.list_workflows(
        status="PENDING", queue_name=queue_name, load_input=False, load_output=False
    )
    dead = {workflow.executor_id for workflow in begun if workflow.executor_id} - set(living)
    if dead:
        logger.warning("taking over the jobs of %s", ", ".join(sorted(dead)))
        # Private, and the reason for the upper bound on dbos: only its paid service offers this.
        DBOS._recover_pending_workflows(sorted(dead))
