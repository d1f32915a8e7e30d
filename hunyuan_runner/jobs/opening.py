"""Opening the job store. A lasting fault ends the start; a passing one is waited for."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from hunyuan_runner.jobs.schema_version import SELECT_VERSION, StoreUnusable, refuse_newer
from hunyuan_runner.jobs.unavailable import JobsUnavailable, reason_of
from hunyuan_runner.settings import Settings

PAUSE_SECONDS = 1.0  # between two tries

log = logging.getLogger(__name__)

T = TypeVar("T")


async def when_it_opens(open_store: Callable[[], T]) -> T:
    """Call `open_store` until it raises nothing, and return its result. Log why it fails."""
    logged = None
    while True:
        try:
            opened = await asyncio.to_thread(open_store)
        except Exception as error:  # of any kind: the rest of the service works without
            if (reason := reason_of(error)) != logged:
                log.warning("the job store cannot be opened, trying again: %s", logged := reason)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            if logged is not None:
                log.info("the job store is open")
            return opened


def require_usable(settings: Settings) -> None:
    """Raises StoreUnusable if the store cannot be opened, however long one waits.

    A store that does not answer now may do so later: that is no reason.
    """
    if settings.database_url is not None:
        _require_known_version(settings)
        return
    path = settings.sqlite_path
    if not path.exists():
        return
    problem = _problem_of(path) if path.is_file() else "it is not a file"
    if problem is not None:
        raise StoreUnusable(
            f"the job database {path} cannot be used: {problem}. Put a backup in its place; or "
            f"move {path.parent} away, with the clips in it, to begin with an empty one."
        )


def schema_found(settings: Settings) -> int | None:
    """The version of the job database; None if it is empty, or not there yet.

    Raises StoreUnusable if it is newer, JobsUnavailable if it does not answer.
    """
    if settings.database_url is None and not settings.sqlite_path.exists():
        return None
    # Only here: with SQLite, the process that starts the others needs no SQLAlchemy.
    from hunyuan_runner.jobs.database import database_of
    from hunyuan_runner.jobs.schema import known_version

    database = database_of(settings)
    try:
        with database.connect() as connection:
            return known_version(connection)
    finally:
        database.dispose()


def clock_difference(settings: Settings) -> float:
    """Seconds by which this machine's clock is ahead of the job database's.

    Raises JobsUnavailable if that does not answer.
    """
    import sqlalchemy as sa

    from hunyuan_runner.jobs.database import clock, database_of, now_ms

    database = database_of(settings)
    try:
        with database.connect() as connection:
            theirs = int(connection.execute(sa.select(clock(database))).scalar_one())
            return (now_ms() - theirs) / 1000
    finally:
        database.dispose()


def _require_known_version(settings: Settings) -> None:
    try:
        schema_found(settings)
    except JobsUnavailable as error:
        log.warning("the job database cannot be looked at yet: %s", reason_of(error))


def _problem_of(path: Path) -> str | None:
    """What is wrong with this SQLite file for good, if anything is.

    Raises StoreUnusable if it is sound, but of a newer version.
    """
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                return str(found)
            named = "SELECT 1 FROM sqlite_master WHERE name = 'hunyuan_schema'"
            if connection.execute(named).fetchone():
                connection.row_factory = sqlite3.Row
                refuse_newer(dict(connection.execute(SELECT_VERSION).fetchone()))
            return None
    except sqlite3.OperationalError:  # it is locked, or its disk is full: that may pass
        return None
    except sqlite3.DatabaseError as error:
        return str(error)
