"""Make paused a state."""

from __future__ import annotations

import sqlalchemy as sa


def step(connection: sa.Connection) -> None:
    """It was a stage of pending jobs, which all jobs in the queue were apart from those."""
    for table in ("hunyuan_jobs", "hunyuan_events"):
        connection.exec_driver_sql(
            f"UPDATE {table} SET state = 'paused' WHERE state = 'pending' AND stage = 'paused'"
        )
    connection.exec_driver_sql("DROP INDEX IF EXISTS hunyuan_jobs_lane")
    connection.exec_driver_sql(
        "CREATE INDEX hunyuan_jobs_in_lane ON hunyuan_jobs (state, owner, priority, turn, id)"
    )
