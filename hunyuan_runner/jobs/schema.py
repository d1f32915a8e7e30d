"""Opening the job database, and bringing an older one up to the version of database.py.

An empty database gets the newest tables at once. An older one takes the steps of steps/. All of
them run in one transaction. A process that is killed in their midst leaves the older version,
and of several that start at once one takes the steps and the others wait for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module

import sqlalchemy as sa

from hunyuan_runner import __version__
from hunyuan_runner.jobs import queue_sums
from hunyuan_runner.jobs.database import database_of, jobs, metadata, schema
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, SELECT_VERSION, refuse_newer
from hunyuan_runner.settings import Settings

UNNUMBERED = 1  # all versions up to 2026-11 wrote no number down
SCHEMA_LOCK = 0x68756E79  # any constant of our own: Postgres has one process at a time take steps

Step = Callable[[sa.Connection], None]

# By the version that each leads to, from the one before it.
STEPS: dict[int, Step] = {
    number: import_module(f"hunyuan_runner.jobs.steps.v{number}").step
    for number in range(UNNUMBERED + 1, SCHEMA_VERSION + 1)
}


def open_database(settings: Settings) -> sa.Engine:
    """The job database, brought up to this version.

    Raises StoreUnusable if a newer version wrote it, JobsUnavailable if it cannot be used now, or
    OSError if there is no folder for it.
    """
    database = database_of(settings)
    try:
        with database.connect() as connection:
            version = known_version(connection)
        if version != SCHEMA_VERSION:
            with _alone(database) as connection:
                _bring_up_to_date(connection)
    except BaseException:
        database.dispose()  # a caller may try again and again
        raise
    return database


def known_version(connection: sa.Connection) -> int | None:
    """The version of this database; None if it is empty. Raises StoreUnusable if it is newer."""
    inspector = sa.inspect(connection)
    if inspector.has_table(schema.name):
        row = connection.execute(sa.text(SELECT_VERSION)).one()._asdict()
        refuse_newer(row)
        return int(row["version"])
    return UNNUMBERED if inspector.has_table(jobs.name) else None


@contextmanager
def _alone(database: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction in which no other process changes the schema."""
    with database.begin() as connection:
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        yield connection


def _bring_up_to_date(connection: sa.Connection) -> None:
    version = known_version(connection)  # again: another process may have been faster
    if version == SCHEMA_VERSION:
        return
    if version is None:
        metadata.create_all(connection)
    else:
        queue_sums.remove(connection)
        for number in range(version + 1, SCHEMA_VERSION + 1):
            STEPS[number](connection)
    queue_sums.install(connection)
    connection.execute(sa.delete(schema))
    connection.execute(sa.insert(schema).values(version=SCHEMA_VERSION, release=__version__))
