"""Note which steps of a clip were computed on which path."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns


def step(connection: sa.Connection) -> None:
    """Of jobs that are there, only the last path is known."""
    add_columns(connection, "hunyuan_jobs", sa.Column("legs", sa.JSON(none_as_null=True)))
