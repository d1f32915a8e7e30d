"""Make jobs findable by their prompts."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from hunyuan_runner.jobs.search import searchable
from hunyuan_runner.jobs.steps.columns import add_columns


def step(connection: sa.Connection) -> None:
    """Each job gets its prompt in the form in which it is searched."""
    column: sa.Column[Any] = sa.Column("search_text", sa.Text, nullable=False, server_default="")
    add_columns(connection, "hunyuan_jobs", column)
    jobs = sa.table("hunyuan_jobs", *map(sa.column, ("id", "params", "search_text")))
    for row in connection.execute(sa.select(jobs.c.id, jobs.c.params)).all():
        params = json.loads(row.params) if isinstance(row.params, str) else row.params
        found = sa.update(jobs).where(jobs.c.id == row.id)
        connection.execute(found.values(search_text=searchable(params["prompt"])))
