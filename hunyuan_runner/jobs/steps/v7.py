"""Let workers take the jobs that they can render."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns


def step(connection: sa.Connection) -> None:
    """Jobs that are there fit everywhere and may continue on any path, as they did before."""
    add_columns(
        connection,
        "hunyuan_jobs",
        sa.Column("peak_bytes", sa.JSON(none_as_null=True)),
        sa.Column("path", sa.Text),
    )
    add_columns(connection, "hunyuan_workers", sa.Column("skills", sa.JSON(none_as_null=True)))
