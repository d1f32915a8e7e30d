"""The version of the job database, and the steps that bring an older one up to it.

`database.py` has the tables of the newest version, which an empty database gets at once. To change
them, raise SCHEMA_VERSION and add a step here. A step changes what the version before it
left, so it names tables and columns itself: those of database.py may change later.

All steps run in one transaction. A process that is killed in their midst leaves the older version,
and of several that start at once one takes the steps and the others wait for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from hunyuan_runner.jobs import queue_sums
from hunyuan_runner.jobs.database import database_of, jobs, metadata, schema
from hunyuan_runner.jobs.schema_version import SCHEMA_VERSION, refuse_newer
from hunyuan_runner.settings import Settings

UNNUMBERED = 1  # all versions up to 2026-11 wrote no number down
SCHEMA_LOCK = 0x68756E79  # any constant of our own: Postgres has one process at a time take steps

Step = Callable[[sa.Connection], None]


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
        database.dispose()
        raise
    return database


def known_version(connection: sa.Connection) -> int | None:
    """The version of this database; None if it is empty. Raises StoreUnusable if it is newer."""
    inspector = sa.inspect(connection)
    if inspector.has_table(schema.name):
        version = int(connection.execute(sa.select(schema.c.version)).scalar_one())
        refuse_newer(version)
        return version
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
    connection.execute(sa.insert(schema).values(version=SCHEMA_VERSION))


def _number_the_versions(connection: sa.Connection) -> None:
    """From any that wrote no number: these differ in what they had added by then."""
    _add_columns(
        connection,
        "hunyuan_jobs",
        sa.Column("seconds", sa.Float),
        sa.Column("webhook_base", sa.Text),
        sa.Column("warnings", sa.JSON),
    )
    are_ordered = "position" in _columns(connection, "hunyuan_deliveries")
    _add_columns(
        connection,
        "hunyuan_deliveries",
        sa.Column("position", sa.Integer, nullable=False, server_default="0"),
        sa.Column("owner", sa.Text, nullable=False, server_default=""),
        sa.Column("receiver", sa.Text, nullable=False, server_default=""),
        sa.Column("in_vain", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    if not are_ordered:
        _order_deliveries(connection)
    for statement in (
        "CREATE TABLE IF NOT EXISTS hunyuan_lanes (owner TEXT NOT NULL, priority INTEGER NOT NULL, "
        "delay INTEGER NOT NULL, PRIMARY KEY (owner, priority))",
        "CREATE TABLE IF NOT EXISTS hunyuan_queue (owner TEXT NOT NULL, priority INTEGER NOT NULL, "
        "stretch INTEGER NOT NULL, model TEXT NOT NULL, jobs INTEGER NOT NULL, "
        "clips FLOAT NOT NULL, evaluations FLOAT NOT NULL, denoise_flops FLOAT NOT NULL, "
        "attention_flops FLOAT NOT NULL, decode_flops FLOAT NOT NULL, pixels FLOAT NOT NULL, "
        "PRIMARY KEY (owner, priority, stretch, model))",
        "CREATE TABLE IF NOT EXISTS hunyuan_passage (id INTEGER NOT NULL, at BIGINT NOT NULL, "
        "doubted BIGINT NOT NULL, PRIMARY KEY (id))",
        "CREATE TABLE hunyuan_schema (version INTEGER NOT NULL, PRIMARY KEY (version))",
        "DROP INDEX IF EXISTS hunyuan_jobs_turn",
        "DROP INDEX IF EXISTS hunyuan_jobs_owner",
        "DROP INDEX IF EXISTS hunyuan_deliveries_due",
        "CREATE INDEX IF NOT EXISTS hunyuan_jobs_lane "
        "ON hunyuan_jobs (state, stage, owner, priority, turn, id)",
        "CREATE INDEX IF NOT EXISTS hunyuan_jobs_state ON hunyuan_jobs (state, id)",
        "CREATE INDEX IF NOT EXISTS hunyuan_jobs_of_owner ON hunyuan_jobs (owner, id)",
        "CREATE INDEX IF NOT EXISTS hunyuan_jobs_of_owner_state ON hunyuan_jobs (owner, state, id)",
        "CREATE INDEX IF NOT EXISTS hunyuan_jobs_expiry ON hunyuan_jobs (expires_at)",
        "CREATE INDEX IF NOT EXISTS hunyuan_deliveries_next "
        "ON hunyuan_deliveries (next_attempt_at, owner, receiver)",
    ):
        connection.exec_driver_sql(statement)


def _order_deliveries(connection: sa.Connection) -> None:
    """Write down what the deliveries of 2026-11-26 had in their jobs' rows alone."""
    deliveries = sa.table(
        "hunyuan_deliveries",
        *(sa.column(name) for name in ("id", "event", "job", "position", "owner", "receiver")),
    )
    for row in connection.execute(sa.select(deliveries)).all():
        job: dict[str, Any] = json.loads(row.job) if isinstance(row.job, str) else row.job
        connection.execute(
            sa.update(deliveries)
            .where(deliveries.c.id == row.id)
            .values(
                position=2 * job["run"] + (row.event != "started"),
                owner=job["owner"],
                receiver=urlsplit(job["webhook_url"]).netloc.lower(),
            )
        )


def _make_paused_a_state(connection: sa.Connection) -> None:
    """It was a stage of pending jobs, which all jobs in the queue were apart from those."""
    for table in ("hunyuan_jobs", "hunyuan_events"):
        connection.exec_driver_sql(
            f"UPDATE {table} SET state = 'paused' WHERE state = 'pending' AND stage = 'paused'"
        )
    connection.exec_driver_sql("DROP INDEX IF EXISTS hunyuan_jobs_lane")
    connection.exec_driver_sql(
        "CREATE INDEX hunyuan_jobs_in_lane ON hunyuan_jobs (state, owner, priority, turn, id)"
    )


# By the version that each leads to, from the one before it.
STEPS: dict[int, Step] = {2: _number_the_versions, 3: _make_paused_a_state}


def _add_columns(connection: sa.Connection, table: str, *columns: sa.Column[Any]) -> None:
    """Add those of these columns that are not there yet."""
    present = _columns(connection, table)
    for column in columns:
        if column.name not in present:
            definition = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN {definition}")


def _columns(connection: sa.Connection, table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(connection).get_columns(table)}
