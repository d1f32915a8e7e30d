"""Write down which release brought the tables to their version."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns


def step(connection: sa.Connection) -> None:
    """The schema's row is written anew after all steps, with its release."""
    column: sa.Column[str | None] = sa.Column("release", sa.Text)
    add_columns(connection, "hunyuan_schema", column)
