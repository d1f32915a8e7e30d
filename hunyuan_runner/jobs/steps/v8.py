"""Remember what the latest jobs took, in place of the factors by which predictions were wrong, and
what a running job's steps take."""

from __future__ import annotations

import sqlalchemy as sa

from hunyuan_runner.jobs.steps.columns import add_columns

WORK = ("clips", "evaluations", "denoise_flops", "attention_flops", "decode_flops", "pixels")
STAGES = ("encoding", "denoising", "decoding", "publishing")


def step(connection: sa.Connection) -> None:
    """The factors cannot be turned into times. The next jobs teach anew."""
    connection.exec_driver_sql("DROP TABLE IF EXISTS hunyuan_corrections")
    timings = sa.Table(
        "hunyuan_timings",
        sa.MetaData(),
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("precision", sa.Text, nullable=False),
        *(sa.Column(name, sa.Float, nullable=False) for name in WORK),
        *(sa.Column(stage, sa.Float) for stage in STAGES),
        sa.Index("hunyuan_timings_subject", "basis", "model", "precision", "id"),
    )
    timings.create(connection)
    add_columns(connection, "hunyuan_jobs", sa.Column("denoising_seconds", sa.Float))
