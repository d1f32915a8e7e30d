"""The tables of the job store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from hunyuan_runner.jobs.unavailable import (
    NO_ANSWER,
    TOO_BUSY,
    JobsUnavailable,
    known_trouble,
    reason_of,
)
from hunyuan_runner.quoting.estimate import TIMED_STAGES, WORK_FIELDS
from hunyuan_runner.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

BUSY_SECONDS = 10  # the longest wait for a lock, or for a connection of the pool
# Connections beyond the pool's 5. There are fewer writers, so some are left while all writers wait.
MAX_OVERFLOW = 20
SILENT_SECONDS = 10  # after which a connection to a Postgres that is out of reach is given up
NETWORK_LIMITS = {
    "connect_timeout": 5,  # seconds
    "tcp_user_timeout": SILENT_SECONDS * 1000,
    "keepalives_idle": SILENT_SECONDS // 2,
    "keepalives_interval": 1,
    "keepalives_count": SILENT_SECONDS // 2,
}
SILENCE_SECONDS = 60  # after which Postgres ends an idle transaction of a reader
WRITERS_SILENCE = "hunyuan.writers_silence"  # a variable of each connection: milliseconds

metadata = sa.MetaData()

# Times are milliseconds since the epoch.
jobs = sa.Table(
    "hunyuan_jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),  # the name of the API key
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("search_text", sa.Text, nullable=False, server_default=""),  # see search.py
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False, server_default="0"),  # in its lane: turns.py
    # The job whose params this one has, with another prompt; it may have been deleted.
    sa.Column("remixed_from", sa.Text),
    sa.Column("seconds", sa.Float),  # as requested; the frames come as near to it as possible
    sa.Column("webhook_url", sa.Text),
    sa.Column("webhook_events", sa.JSON(none_as_null=True)),  # the events it is sent
    sa.Column("webhook_base", sa.Text),  # what the links in its messages begin with
    # The request that submitted it, for logs and traces.
    sa.Column("request_id", sa.Text),
    sa.Column("traceparent", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("started_at", sa.BigInteger),
    sa.Column("completed_at", sa.BigInteger),
    sa.Column("expires_at", sa.BigInteger),
    # Rises each time the job is queued again: writes of an earlier run no longer count.
    sa.Column("run", sa.Integer, nullable=False),
    # The worker that may write to this row. The writes of a former one change nothing.
    sa.Column("executor_id", sa.Text),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("failed_starts", sa.Integer, nullable=False, default=0),
    sa.Column("resumed_from_step", sa.Integer),
    sa.Column("stage", sa.Text),
    sa.Column("step", sa.Integer, nullable=False, default=0),
    # The tiles done and in all, in a stage that is counted in tiles.
    sa.Column("part", sa.Integer, nullable=False, server_default="0"),
    sa.Column("parts", sa.Integer, nullable=False, server_default="1"),
    sa.Column("progressed_at", sa.BigInteger),
    sa.Column("rendered_ms", sa.BigInteger, nullable=False, server_default="0"),  # of all attempts
    # What denoising takes, by the computed steps of this attempt; null before the first of them.
    sa.Column("denoising_seconds", sa.Float),
    # What decides the clip's bits, as of its last step: skills.path_of. Null before the first.
    sa.Column("path", sa.Text),
    sa.Column("legs", sa.JSON(none_as_null=True)),  # its paths, by their first steps: legs.py
    sa.Column("has_preview", sa.Boolean, nullable=False, default=False),
    sa.Column("draft_steps", sa.Integer),  # it pauses after this step, with a draft
    sa.Column("has_draft", sa.Boolean, nullable=False, server_default=sa.false()),
    # The worker is to pause it after its current step.
    sa.Column("pausing", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("warnings", sa.JSON(none_as_null=True)),  # ClipWarnings; null: none
    sa.Column("error_code", sa.Text),
    sa.Column("error_message", sa.Text),
    # estimate.Work, so that the queue's remaining work is one sum
    sa.Column("clips", sa.Float, nullable=False),
    sa.Column("evaluations", sa.Float, nullable=False, server_default="0"),
    sa.Column("denoise_flops", sa.Float, nullable=False),
    sa.Column("attention_flops", sa.Float, nullable=False, server_default="0"),
    sa.Column("decode_flops", sa.Float, nullable=False),
    sa.Column("pixels", sa.Float, nullable=False),
    sa.Column("encode_flops", sa.Float, nullable=False, server_default="0"),
    sa.Column("peak_bytes", sa.JSON(none_as_null=True)),  # by precision; null: it fits everywhere
    sa.Index("hunyuan_jobs_in_lane", "state", "owner", "priority", "turn", "id"),
    sa.Index("hunyuan_jobs_state", "state", "id"),
    sa.Index("hunyuan_jobs_of_owner", "owner", "id"),
    sa.Index("hunyuan_jobs_of_owner_state", "owner", "state", "id"),
    sa.Index("hunyuan_jobs_expiry", "expires_at"),
)

# The delays of lanes, in turns: an owner's waiting jobs of one priority come so much later than
# their `turn`. A lane that was never overtaken has no row. See turns.py.
lanes = sa.Table(
    "hunyuan_lanes",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("priority", sa.Integer, primary_key=True),
    sa.Column("delay", sa.Integer, nullable=False),
)

# The number of jobs in the queue, and their work. Only triggers write it; see queue_sums.py.
queue = sa.Table(
    "hunyuan_queue",
    metadata,
    sa.Column("owner", sa.Text, primary_key=True),
    sa.Column("priority", sa.Integer, primary_key=True),
    sa.Column("stretch", sa.Integer, primary_key=True),  # of queue_sums.TURNS turns of the lane
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("jobs", sa.Integer, nullable=False),
    *(sa.Column(name, sa.Float, nullable=False) for name in WORK_FIELDS),
)

# What happened to the jobs; see journal.py.
events = sa.Table(
    "hunyuan_events",
    metadata,
    sa.Column(
        "number", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True
    ),  # rises, over all jobs
    sa.Column(
        "job_id", sa.Text, sa.ForeignKey("hunyuan_jobs.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("run", sa.Integer, nullable=False),
    sa.Column("change", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("stage", sa.Text),
    sa.Column("step", sa.Integer, nullable=False),
    sa.Column("part", sa.Integer, nullable=False, server_default="0"),
    sa.Column("parts", sa.Integer, nullable=False, server_default="1"),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Index("hunyuan_events_job", "job_id", "number"),
    sqlite_autoincrement=True,  # a number is never used twice
)

# The webhooks' messages, and the results of sending them; see deliveries.py.
deliveries = sa.Table(
    "hunyuan_deliveries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "job_id", sa.Text, sa.ForeignKey("hunyuan_jobs.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("event", sa.Text, nullable=False),
    # Its order among the deliveries of its job.
    sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),  # the job's
    sa.Column("receiver", sa.Text, nullable=False, server_default=""),  # host and port
    sa.Column("job", sa.JSON, nullable=False),  # its row, as it was when the event happened
    sa.Column("state", sa.Text, nullable=False),
    # The latest attempt failed, and no other has begun.
    sa.Column("in_vain", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("last_status", sa.Integer),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # During an attempt, the time at which another sender may assume that this one died.
    sa.Column("next_attempt_at", sa.BigInteger),
    sa.Column("last_attempt_at", sa.BigInteger),
    sa.Index("hunyuan_deliveries_next", "next_attempt_at", "owner", "receiver"),
    sa.Index("hunyuan_deliveries_job", "job_id"),
)

# Random values that all processes share, generated once.
shared_secrets = sa.Table(
    "hunyuan_secrets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

# The keys of submissions, so that a client can repeat one without queueing a second job.
submissions = sa.Table(
    "hunyuan_submissions",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # owner:key
    sa.Column("fingerprint", sa.Text, nullable=False),  # of the request
    sa.Column(
        "job_id", sa.Text, sa.ForeignKey("hunyuan_jobs.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Index("hunyuan_submissions_job", "job_id"),
)

workers = sa.Table(
    "hunyuan_workers",
    metadata,
    sa.Column("executor_id", sa.Text, primary_key=True),
    sa.Column("beat_at", sa.BigInteger, nullable=False),
    sa.Column("profile", sa.JSON(none_as_null=True)),  # profile.Profile of its machine
    sa.Column("skills", sa.JSON(none_as_null=True)),  # skills.Skills that it has
    sa.Column("version", sa.Text),  # of hunyuan-runner
    # Of the disk of its data folder.
    sa.Column("disk_size_bytes", sa.BigInteger),
    sa.Column("disk_free_bytes", sa.BigInteger),
)

# What has happened to all jobs; see tallies.py.
tallies = sa.Table(
    "hunyuan_tallies",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),  # of the metric
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),  # of its label
    sa.Column("bucket", sa.Integer, primary_key=True),  # of a histogram
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("total", sa.Float, nullable=False),
)

# One row: the time by which ended jobs expire, and for how many milliseconds the clock has differed
# from it. See retention.py.
passage = sa.Table(
    "hunyuan_passage",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("doubted", sa.BigInteger, nullable=False),
)

# One row: which version of these tables this is, and the release that made it so; see steps/.
schema = sa.Table(
    "hunyuan_schema",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("release", sa.Text),  # null if it was a version that wrote none
)

# What the latest finished jobs took, in seconds by stage; see estimate.Timing. A stage that was
# interrupted is null.
timings = sa.Table(
    "hunyuan_timings",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("basis", sa.Text, nullable=False),  # profile.Ability.basis
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("precision", sa.Text, nullable=False),
    *(sa.Column(name, sa.Float, nullable=False) for name in WORK_FIELDS),
    *(sa.Column(stage, sa.Float) for stage in TIMED_STAGES),
    sa.Index("hunyuan_timings_subject", "basis", "model", "precision", "id"),
)


def database_of(settings: Settings) -> sa.Engine:
    """The job database, to which this does not connect yet.

    Raises OSError if there is no folder for it.
    """
    url = _database_url(settings)
    if url.get_backend_name() == "sqlite":
        settings.sqlite_path.parent.mkdir(parents=True, exist_ok=True)
        database = sa.create_engine(
            url, poolclass=_Pool, max_overflow=MAX_OVERFLOW, pool_timeout=BUSY_SECONDS
        )
    else:
        # What the URL itself says goes first: its author knows the network.
        limits = {name: limit for name, limit in NETWORK_LIMITS.items() if name not in url.query}
        database = sa.create_engine(
            url,
            poolclass=_Pool,
            pool_pre_ping=True,
            max_overflow=MAX_OVERFLOW,
            pool_timeout=BUSY_SECONDS,
            connect_args=limits,
        )
    if database.dialect.name == "sqlite":
        sa.event.listen(database, "connect", _configure_sqlite)
    else:
        sa.event.listen(database, "connect", _limit_waits(settings.lease_seconds))
    sa.event.listen(database, "handle_error", _raise_unavailable)
    return database


@contextmanager
def reading(database: sa.Engine) -> Iterator[sa.Connection]:
    """A connection on which all statements see the same state of the database."""
    with database.connect() as connection:
        if database.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        else:
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


def clock(database: sa.Engine) -> sa.ColumnElement[int]:
    """The database's own time, in milliseconds: the one clock that all workers share."""
    if database.dialect.name == "sqlite":
        now = (sa.func.julianday("now") - 2440587.5) * 86_400_000
    else:
        now = sa.func.extract("epoch", sa.func.clock_timestamp()) * 1000
    return sa.cast(now, sa.BigInteger)


def upsert(connection: sa.Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT into the table that takes `on_conflict_do_update`."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # imported only where it is used: it takes 2 MB

    return postgresql.insert(table)


def now_ms() -> int:
    """This host's time, in milliseconds since the epoch, as users are shown it."""
    return time.time_ns() // 1_000_000


def time_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def _database_url(settings: Settings) -> sa.URL:
    if settings.database_url is None:
        return sa.URL.create("sqlite", database=str(settings.sqlite_path))
    url = sa.make_url(settings.database_url.get_secret_value())
    return url.set(drivername="postgresql+psycopg")


def _configure_sqlite(connection: Any, _record: object) -> None:
    # Writers wait at the start of their transaction instead of failing half-way, readers never wait
    # for writers, and a commit is on the disk before it returns.
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _limit_waits(silence_seconds: float) -> Callable[[Any, object], None]:
    """Set up a connection so that Postgres ends the transaction of a host that falls silent.

    Otherwise its locks would be held until TCP notices, for two hours, while all others wait. The
    holder of the writers' lock may be silent for `silence_seconds` (journal.writing sets that),
    others for longer: a reader on a busy host delays nobody. A wait for a lock that another program
    holds ends, too.
    """
    limit = (
        f"SET idle_in_transaction_session_timeout = {SILENCE_SECONDS * 1000};"
        f"SET {WRITERS_SILENCE} = {round(silence_seconds * 1000)};"
        f"SET lock_timeout = {BUSY_SECONDS * 1000}"
    )

    def configure(connection: Any, _record: object) -> None:
        connection.execute(limit)
        connection.commit()

    return configure


class _Pool(sa.QueuePool):
    """Raises JobsUnavailable if all connections stay in use."""

    # Its logger would be one of ours by the class's name, and log "Pool disposed" at every stop.
    _sqla_logger_namespace = "sqlalchemy.pool.QueuePool"

    def connect(self) -> sa.PoolProxiedConnection:
        try:
            return super().connect()
        except sa.exc.TimeoutError as error:
            raise JobsUnavailable(TOO_BUSY, reason_of(error)) from error


def _raise_unavailable(context: sa.ExceptionContext) -> None:
    """Raises JobsUnavailable in place of an error that is the database's and not a statement's."""
    error = context.sqlalchemy_exception
    if context.is_pre_ping or not isinstance(error, sa.exc.DBAPIError):
        return
    trouble = known_trouble(str(error.orig))
    # psycopg calls the end of a silent transaction an internal error.
    if trouble or context.is_disconnect or isinstance(error, sa.exc.OperationalError):
        raise JobsUnavailable(trouble or NO_ANSWER, reason_of(error))
