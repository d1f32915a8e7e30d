"""Number the versions."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns, columns_of


def step(connection: sa.Connection) -> None:
    """From any that wrote no number: these differ in what they had added by then."""
    add_columns(
        connection,
        "hunyuan_jobs",
        sa.Column("seconds", sa.Float),
        sa.Column("webhook_base", sa.Text),
        sa.Column("warnings", sa.JSON),
    )
    are_ordered = "position" in columns_of(connection, "hunyuan_deliveries")
    add_columns(
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
