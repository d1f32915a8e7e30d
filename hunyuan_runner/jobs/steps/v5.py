"""Count what happens, and note what logs and traces need."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns


def step(connection: sa.Connection) -> None:
    """Counting begins now. Jobs that are there were submitted by unknown requests."""
    add_columns(
        connection,
        "hunyuan_jobs",
        sa.Column("request_id", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("rendered_ms", sa.BigInteger, nullable=False, server_default="0"),
    )
    add_columns(
        connection,
        "hunyuan_workers",
        sa.Column("version", sa.Text),
        sa.Column("disk_size_bytes", sa.BigInteger),
        sa.Column("disk_free_bytes", sa.BigInteger),
    )
    connection.exec_driver_sql(
        "CREATE TABLE hunyuan_tallies (name TEXT NOT NULL, model TEXT NOT NULL, "
        "value TEXT NOT NULL, bucket INTEGER NOT NULL, number BIGINT NOT NULL, "
        "total FLOAT NOT NULL, PRIMARY KEY (name, model, value, bucket))"
    )
