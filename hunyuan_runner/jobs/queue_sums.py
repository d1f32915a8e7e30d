"""The work in the queue, summed up by the database itself as jobs enter and leave it.

So a place in the queue is found without reading every job before it: their work is read from sums
over `TURNS` turns each. Triggers keep the sums, because every change of a job counts, including
those of a process of another version.
"""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.quoting.estimate import WORK_FIELDS
from hunyuan_runner.wire import JobState

BITS = 6
TURNS = 1 << BITS  # in one row of the sums

_KEY = ("owner", "priority", "stretch", "model")
_SUMS = ("jobs", *WORK_FIELDS)


def remove(connection: sa.Connection) -> None:
    """Remove the triggers and the sums. Does nothing if there are none."""
    if connection.dialect.name == "sqlite":
        for name in ("entered", "moved", "left"):
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS hunyuan_queue_{name}")
    else:
        connection.exec_driver_sql("DROP TRIGGER IF EXISTS hunyuan_queue_moved ON hunyuan_jobs")
    if sa.inspect(connection).has_table("hunyuan_queue"):
        connection.exec_driver_sql("DELETE FROM hunyuan_queue")


def install(connection: sa.Connection) -> None:
    """Sum up the queued jobs in `hunyuan_jobs`, and keep the sums from now on."""
    if connection.dialect.name == "sqlite":
        _create_sqlite_triggers(connection)
    else:
        _create_postgres_trigger(connection)
    connection.exec_driver_sql(
        f"INSERT INTO hunyuan_queue ({', '.join(_KEY + _SUMS)}) "
        f"SELECT owner, priority, turn >> {BITS}, model, count(*), "
        f"{', '.join(f'sum({name})' for name in WORK_FIELDS)} "
        f"FROM hunyuan_jobs WHERE {_waits('hunyuan_jobs')} "
        f"GROUP BY owner, priority, turn >> {BITS}, model"
    )


def _waits(row: str) -> str:
    """turns.WAITING, for the row of this name."""
    return f"{row}.state = '{JobState.PENDING}'"


_OF_OLD = (
    f"owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> {BITS} "
    "AND model = OLD.model"
)
_LEAVE = f"""
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, {", ".join(f"{name} = {name} - OLD.{name}" for name in WORK_FIELDS)}
    WHERE {_OF_OLD} AND {_waits("OLD")};
    DELETE FROM hunyuan_queue WHERE {_OF_OLD} AND jobs = 0;
"""
_ENTER = f"""
    INSERT INTO hunyuan_queue ({", ".join(_KEY + _SUMS)})
    SELECT NEW.owner, NEW.priority, NEW.turn >> {BITS}, NEW.model, 1,
        {", ".join(f"NEW.{name}" for name in WORK_FIELDS)}
    WHERE {_waits("NEW")}
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
    SET {", ".join(f"{name} = hunyuan_queue.{name} + excluded.{name}" for name in _SUMS)};
"""
_MOVED = "UPDATE OF state, turn"


def _create_sqlite_triggers(connection: sa.Connection) -> None:
    for name, event, body in (
        ("entered", "INSERT", _ENTER),
        ("moved", _MOVED, _LEAVE + _ENTER),
        ("left", "DELETE", _LEAVE),
    ):
        connection.exec_driver_sql(
            f"CREATE TRIGGER hunyuan_queue_{name} AFTER {event} ON hunyuan_jobs BEGIN {body} END"
        )


def _create_postgres_trigger(connection: sa.Connection) -> None:
    # OLD of an INSERT and NEW of a DELETE are null, so they match no row.
    connection.exec_driver_sql(
        "CREATE OR REPLACE FUNCTION hunyuan_sum_queue() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_LEAVE} {_ENTER} RETURN NULL; END $$"
    )
    connection.exec_driver_sql(
        f"CREATE TRIGGER hunyuan_queue_moved AFTER INSERT OR DELETE OR {_MOVED} ON hunyuan_jobs "
        "FOR EACH ROW EXECUTE FUNCTION hunyuan_sum_queue()"
    )
