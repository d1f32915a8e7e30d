"""Count the work of encoding, remember what jobs took, and note which paths computed them."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns

WORK = (
    "clips",
    "evaluations",
    "denoise_flops",
    "attention_flops",
    "decode_flops",
    "pixels",
    "encode_flops",
)
STAGES = ("encoding", "denoising", "decoding", "publishing")


def step(connection: sa.Connection) -> None:
    """Of jobs that are there, encoding does not count: it is a minute of their hours. Of their
    paths, only the last is known.

    The factors cannot be turned into times, so the next jobs teach anew. The queue's sums are made
    anew after all steps.
    """
    add_columns(
        connection,
        "hunyuan_jobs",
        sa.Column("encode_flops", sa.Float, nullable=False, server_default="0"),
        sa.Column("denoising_seconds", sa.Float),
        sa.Column("legs", sa.JSON(none_as_null=True)),
    )
    connection.exec_driver_sql("DROP TABLE IF EXISTS hunyuan_corrections")
    connection.exec_driver_sql("DROP TABLE hunyuan_queue")
    tables = sa.MetaData()
    sa.Table(
        "hunyuan_queue",
        tables,
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("priority", sa.Integer, primary_key=True),
        sa.Column("stretch", sa.Integer, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("jobs", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in WORK),
    )
    sa.Table(
        "hunyuan_timings",
        tables,
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("basis", "model", "precision")),
        *(sa.Column(name, sa.Float, nullable=False) for name in WORK),
        *(sa.Column(stage, sa.Float) for stage in STAGES),
        sa.Index("hunyuan_timings_subject", "basis", "model", "precision", "id"),
    )
    tables.create_all(connection)
