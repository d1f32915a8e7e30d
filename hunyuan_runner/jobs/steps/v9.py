"""Count the work of encoding prompts."""

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


def step(connection: sa.Connection) -> None:
    """That of jobs which are there does not count: it is a minute of their hours.

    The sums are made anew after all steps. What jobs took is learnt anew.
    """
    column = sa.Column("encode_flops", sa.Float, nullable=False, server_default="0")
    add_columns(connection, "hunyuan_jobs", column)
    for table in ("hunyuan_queue", "hunyuan_timings"):
        connection.exec_driver_sql(f"DROP TABLE {table}")
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
        *(
            sa.Column(stage, sa.Float)
            for stage in ("encoding", "denoising", "decoding", "publishing")
        ),
        sa.Index("hunyuan_timings_subject", "basis", "model", "precision", "id"),
    )
    tables.create_all(connection)
