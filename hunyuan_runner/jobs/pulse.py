"""Whether anything has happened. This is asked far more often than anything happens."""

from __future__ import annotations

import asyncio
import sqlite3

import sqlalchemy as sa

from hunyuan_runner.jobs.database import events, jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable

_FEEL = sa.select(
    sa.select(sa.func.max(events.c.number)).scalar_subquery(),
    sa.exists().where(jobs.c.id == sa.bindparam("job_id")),
)


class Pulse:
    """The number of the newest event, for one event loop. No job changes unless it does."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = database
        self._sqlite: sqlite3.Connection | None = None
        if database.dialect.name == "sqlite":
            # SQLAlchemy takes fifteen times as long as SQLite itself.
            self._query = str(_FEEL.compile(dialect=database.dialect))
            # SQLite hardly ever makes a reader wait. If it does, the event loop must not.
            path = str(database.url.database)
            self._sqlite = sqlite3.connect(path, timeout=0, check_same_thread=False)

    async def feel(self, job_id: str) -> int | None:
        """The number; None if there is no such job or the database does not answer."""
        try:
            if self._sqlite is None:
                return await asyncio.to_thread(self._ask_server, job_id)
            number, known = self._sqlite.execute(self._query, (job_id,)).fetchone()
        except (sqlite3.Error, JobsUnavailable):
            return None
        return int(number) if known else None

    def _ask_server(self, job_id: str) -> int | None:
        with self._database.connect() as connection:
            number, known = connection.execute(_FEEL, {"job_id": job_id}).one()
        return int(number) if known else None

    def close(self) -> None:
        if self._sqlite is not None:
            self._sqlite.close()
