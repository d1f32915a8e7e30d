"""Leases: how workers show that they are alive, and how others take over from dead ones."""

from __future__ import annotations

import logging
import secrets
import socket
from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Self

import sqlalchemy as sa

from hunyuan_runner import __version__
from hunyuan_runner.jobs import tallies
from hunyuan_runner.jobs.database import clock, jobs, workers
from hunyuan_runner.jobs.journal import Change, record, writing
from hunyuan_runner.jobs.skills import Skills, skills_of_json
from hunyuan_runner.jobs.states import TAKE_OVER
from hunyuan_runner.jobs.turns import SAME_TURN
from hunyuan_runner.machine.disk import Room
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.tracing import begin

logger = logging.getLogger(__name__)

_ORPHANED = jobs.c.executor_id.not_in(sa.select(workers.c.executor_id))


@dataclass(frozen=True)
class Runner:
    """A runner as its lease describes it."""

    executor_id: str
    seen_at: float  # in seconds since the epoch, by the database's clock
    version: str | None
    disk_size_bytes: int | None  # of its data folder; None if it has not looked yet
    disk_free_bytes: int | None

    @classmethod
    def of(cls, row: sa.Row[Any]) -> Self:
        seen_at = row.beat_at / 1000
        sizes = row.disk_size_bytes, row.disk_free_bytes
        return cls(row.executor_id, seen_at, row.version, *sizes)


class Lease:
    """A worker's row in the table of live workers, renewed by the database's clock."""

    def __init__(self, database: sa.Engine, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._looked_at = monotonic()
        self._silent: dict[tuple[str, int], float] = {}  # seconds, by worker and its last beat
        self._written: dict[str, Any] = {}  # of its row, as of the last beat
        # New at every start: the jobs of an earlier process on this host are not ours.
        self.executor_id = f"{socket.gethostname()}-{secrets.token_hex(6)}"

    def renew(self, profile: Profile, disk: Room | None = None) -> None:
        """Show that this worker is alive, on the machine that `profile` describes."""
        renewed = sa.update(workers).where(workers.c.executor_id == self.executor_id)
        beat = {"beat_at": clock(self._database)}
        row = {
            "profile": profile.as_json(),
            "skills": Skills.of(profile).as_json(),
            "version": __version__,
            "disk_size_bytes": disk and disk.size,
            "disk_free_bytes": disk and disk.free,
        }
        # A profile has three thousand characters, and stays the same for days.
        changes = row if row != self._written else {}
        with self._database.begin() as connection:
            if connection.execute(renewed.values(beat | changes)).rowcount == 0:
                values = {"executor_id": self.executor_id, **beat, **row}
                connection.execute(sa.insert(workers).values(values))
        self._written = row

    def skills(self, profile: Profile) -> Skills:
        """What this worker can render, and what the others can."""
        others = sa.select(workers.c.skills).where(workers.c.executor_id != self.executor_id)
        with self._database.connect() as connection:
            found = map(skills_of_json, connection.execute(others).scalars())
            return replace(Skills.of(profile), others=frozenset().union(*found))

    def release(self) -> None:
        """Let the other workers take over at once what this one had started."""
        with self._database.begin() as connection:
            connection.execute(sa.delete(workers).where(workers.c.executor_id == self.executor_id))

    def take_over(self) -> None:
        """Put the jobs of workers whose lease has run out back into the queue."""
        dead = self._fallen_silent()
        if not dead and not self._has_orphans():
            return  # all workers look all the time: no lock
        update = TAKE_OVER.update(_ORPHANED, turn=SAME_TURN)
        with writing(self._database) as connection:
            for executor_id, beat_at in dead:  # unless it has just renewed it
                last_beat = (workers.c.executor_id == executor_id, workers.c.beat_at == beat_at)
                connection.execute(sa.delete(workers).where(*last_beat))
            for row in connection.execute(update).all():
                record(connection, row, Change.STATE)
                tallies.add(connection, [tallies.TAKE_OVERS.of(row.model)])
                begin("take over", row.traceparent, {"job_id": row.id}).end()
                logger.warning(
                    "job %s is queued again: its worker is gone", row.id, extra={"job_id": row.id}
                )

    def _has_orphans(self) -> bool:
        """Whether a job belongs to a worker that is gone."""
        query = sa.select(jobs.c.id).where(TAKE_OVER.allowed, _ORPHANED).limit(1)
        with self._database.connect() as connection:
            return connection.execute(query).first() is not None

    def _fallen_silent(self) -> list[tuple[str, int]]:
        """The workers whose beat has not changed for the length of a lease, with that beat.

        Counted in the seconds that this process watched, because clocks may be set forward or back.
        A look that comes late counts for half a lease at most: if this process or the database
        stood still, the other workers may have been held up as well.
        """
        now = monotonic()
        watched = min(now - self._looked_at, self._lease_seconds / 2)
        self._looked_at = now
        others = sa.select(workers.c.executor_id, workers.c.beat_at).where(
            # This worker is alive, even if its own beat took long to write.
            workers.c.executor_id != self.executor_id
        )
        with self._database.connect() as connection:
            beats = [(row.executor_id, row.beat_at) for row in connection.execute(others)]
        self._silent = {
            beat: self._silent[beat] + watched if beat in self._silent else 0.0 for beat in beats
        }
        return [beat for beat, silent in self._silent.items() if silent > self._lease_seconds]
