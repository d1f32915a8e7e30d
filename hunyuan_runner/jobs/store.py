"""The durable record of every job, and the queue the workers take them from.

A row of `hunyuan_jobs` is the whole truth about a job: its state, its turn, the worker that renders
it and how far it is. A request changes the row, and workers look at it.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Self, Unpack

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import tallies
from hunyuan_runner.jobs.capacity import Capacity
from hunyuan_runner.jobs.database import (
    events,
    jobs,
    now_ms,
    queue,
    reading,
    submissions,
    workers,
)
from hunyuan_runner.jobs.deliveries import Outbox
from hunyuan_runner.jobs.forecast import Forecast
from hunyuan_runner.jobs.job import ENDED, Caller, Job, Webhook
from hunyuan_runner.jobs.journal import (
    Change,
    JobEvent,
    JournalPage,
    newest_number,
    record,
    rows_after,
    without_superseded,
    writing,
)
from hunyuan_runner.jobs.lease import Runner
from hunyuan_runner.jobs.places import Place
from hunyuan_runner.jobs.pulse import Pulse
from hunyuan_runner.jobs.retention import Passage, expiry
from hunyuan_runner.jobs.schema import open_database
from hunyuan_runner.jobs.search import mentions, searchable
from hunyuan_runner.jobs.signing import secret_of, session_secret
from hunyuan_runner.jobs.skills import peaks_of
from hunyuan_runner.jobs.standing import Standing
from hunyuan_runner.jobs.states import (
    ASK_TO_PAUSE,
    CANCEL,
    DELETE,
    EXPIRE,
    IN_PROGRESS,
    MOVE,
    PAUSE,
    PAUSED,
    PENDING,
    RESUME,
    RETRY,
    SUBMIT,
    Transition,
    is_in,
)
from hunyuan_runner.jobs.tallies import Tally
from hunyuan_runner.jobs.turns import Move, in_order, move, next_turn, queue_up
from hunyuan_runner.jobs.unavailable import DISK_FULL, JobsUnavailable
from hunyuan_runner.logs import REQUEST_ID
from hunyuan_runner.machine.disk import Room
from hunyuan_runner.params import DEFAULT_PRIORITY, GenerationParams, Kept
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import JOBS_PREFIX, job_prefix
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.wire import ClipWarning, JobState

ORPHAN_AGE = timedelta(hours=1)  # of files without a job: long enough for any upload to end
EXPIRED_PER_SWEEP = 1000
CANCELED_AT_ONCE = 500
EVENTS_PER_PAGE = 500  # more than one job has, unless it starts over and over
EVENTS_LOOKED_AT = 10_000  # for a page: those of other users are skipped


class JobNotFound(LookupError):
    """There is no job with this id."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id!r}; it may have been deleted or have expired")
        self.job_id = job_id


class WrongState(Exception):
    """The state of the job does not allow this."""

    def __init__(self, job: Job, wanted: str) -> None:
        super().__init__(f"job {job.id} is {job.state}; {wanted}")
        self.job = job


class QueueFull(Exception):
    """The caller has the most waiting jobs that one caller may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"you already have {limit} jobs waiting, which is the limit")


class DiskLow(Exception):
    """The disk has too little room for another job."""

    def __init__(self, room: Room) -> None:
        super().__init__(room.too_little)


class KeyReused(Exception):
    """The key of this submission was used before, for a different one."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} was used for a different request; choose a new one")


@dataclass(frozen=True)
class Submission:
    """A client's key for a submission, and a digest of what it asks for. The same submission again
    means the same job."""

    key: str
    fingerprint: str
    former_fingerprint: str = ""  # the digest that earlier versions took


@dataclass(frozen=True)
class Page:
    """One page of a list of jobs."""

    jobs: list[Job]
    has_more: bool


_DEFAULTS: Kept = {"priority": DEFAULT_PRIORITY, "metadata": {}}
# Statements that run all the time are built once.
_INSERT = sa.insert(jobs).returning(jobs)
_OF_OWNER = jobs.c.owner == sa.bindparam("owner")
_PAUSED = is_in(PAUSED)
_WAITING_OF = sa.select(
    sa.select(sa.func.coalesce(sa.func.sum(queue.c.jobs), 0))
    .where(queue.c.owner == sa.bindparam("owner"))
    .scalar_subquery()
    + sa.select(sa.func.count()).where(_PAUSED, _OF_OWNER).scalar_subquery()
)
# The database itself counts the jobs in the queue.
_COUNTS = sa.union_all(
    sa.select(sa.literal(PENDING).label("state"), sa.func.sum(queue.c.jobs)),
    sa.select(jobs.c.state, sa.func.count()).where(~is_in(PENDING)).group_by(jobs.c.state),
)


class Jobs:
    """Submits, looks up and changes jobs. Thread-safe; every process opens its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._caller = Caller("", sees_all=True)
        self.database = open_database(settings)
        self.outbox = Outbox(self.database)
        self._standing = Standing(self.database, settings)
        self._passage = Passage(self.database, settings)
        self._storage = open_storage(settings)

    def seen_by(self, caller: Caller) -> Self:
        """This store as `caller` may use it: without the jobs that they may not see.

        It needs no closing.
        """
        view = copy(self)
        view._caller = caller
        return view

    def submit(
        self,
        params: GenerationParams,
        *,
        remixed_from: str | None = None,
        warnings: Sequence[ClipWarning] = (),
        webhook: Webhook | None = None,
        submission: Submission | None = None,
        traceparent: str | None = None,
        **kept: Unpack[Kept],
    ) -> Job:
        """Queue a clip, unless the same submission of the caller has queued it before.

        `kept` is stored in the columns of the same names. Raises KeyReused if the caller used the
        submission's key for another request before, QueueFull, or DiskLow.
        """
        job_id = _new_job_id()
        owner = self._caller.name
        row = {
            "id": job_id,
            "owner": owner,
            "model": params.model,
            "params": params.model_dump(),
            "search_text": searchable(params.prompt),
            "remixed_from": remixed_from,
            "warnings": [warning.model_dump() for warning in warnings] or None,
            "webhook_url": webhook and webhook.url,
            "webhook_events": webhook and webhook.events,
            "webhook_base": webhook and webhook.base,
            "request_id": REQUEST_ID.get(),
            "traceparent": traceparent,
            "created_at": now_ms(),
            **SUBMIT.values,
            **asdict(Work.of(params, MODELS[params.model])),
            "peak_bytes": peaks_of(params),
            **_DEFAULTS,
            **kept,
        }
        try:
            with writing(self.database) as connection:
                turn = queue_up(connection, owner, row["priority"])
                queued = connection.execute(_INSERT, row | {"turn": turn}).one()
                if submission is not None:
                    self._name(connection, submission, job_id)
                self._require_room(connection)
                if (room := self.scarce_room()) is not None:
                    raise DiskLow(room)
                record(connection, queued, Change.STATE)
        except IntegrityError:
            if submission is None:
                raise
            return self.get(self._submitted_before(submission))
        return self._view(queued)

    def _name(self, connection: sa.Connection, submission: Submission, job_id: str) -> None:
        """Raises IntegrityError if the caller used this key before."""
        values = {
            "key": self._full_key(submission),
            "fingerprint": submission.fingerprint,
            "job_id": job_id,
        }
        connection.execute(sa.insert(submissions).values(values))

    def _full_key(self, submission: Submission) -> str:
        return f"{self._caller.name}:{submission.key}"  # a name has no colon

    def _submitted_before(self, submission: Submission) -> str:
        query = sa.select(submissions).where(submissions.c.key == self._full_key(submission))
        with self.database.connect() as connection:
            row = connection.execute(query).one()
        if row.fingerprint not in (submission.fingerprint, submission.former_fingerprint):
            raise KeyReused(submission.key)
        return str(row.job_id)

    def _require_room(self, connection: sa.Connection) -> None:
        """Raises QueueFull if the caller's newest job is one too many."""
        limit = self._settings.max_queued
        if connection.execute(_WAITING_OF, {"owner": self._caller.name}).scalar_one() > limit:
            raise QueueFull(limit)

    def scarce_room(self) -> Room | None:
        """The room for jobs and their files on this machine if it is too little for a new job.

        None if there is enough, or if they are all kept on other machines.
        """
        return None if (room := self._standing.room()) is None or room.accepts_jobs else room

    def get(self, job_id: str) -> Job:
        """Raises JobNotFound."""
        with reading(self.database) as connection:
            return self._standing.view(connection, self._row(connection, job_id))

    def recall(self, row: Mapping[str, Any]) -> Job:
        """The job as it was when this was its row."""
        # An earlier version knew fewer columns.
        then: Any = SimpleNamespace(**dict.fromkeys(jobs.c.keys()) | dict(row))
        with reading(self.database) as connection:
            return self._standing.view(connection, then)

    def list(
        self,
        *,
        state: JobState | None = None,
        search: str = "",
        limit: int = 20,
        after: str | None = None,
        after_deleted: bool = False,
        newest_first: bool = True,
    ) -> Page:
        """Jobs by time of submission, starting after the job `after` if given.

        Each word of `search` is in their prompts, as a word or in one, in whatever case. Raises
        JobNotFound if there is no job `after`, unless with `after_deleted`.
        """
        # Ids sort by time.
        order = jobs.c.id.desc() if newest_first else jobs.c.id
        found = mentions(self.database, search)
        query = sa.select(jobs).where(*self._visible(), *found).order_by(order)
        if state is not None:
            query = query.where(is_in(state))
        if after is not None:
            if not after_deleted:
                with reading(self.database) as connection:
                    self._row(connection, after)
            query = query.where(jobs.c.id < after if newest_first else jobs.c.id > after)
        with reading(self.database) as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
            views = self._standing.views(connection, rows[:limit])
        return Page(views, has_more=len(rows) > limit)

    def unfinished(self, limit: int) -> Page:
        """The jobs that have not ended: those being rendered, those that wait, in the order of
        the queue, and the paused ones, the newest first. At most `limit` of each."""
        newest_first = sa.select(jobs).where(*self._visible()).order_by(jobs.c.id.desc())
        owner = None if self._caller.sees_all else self._caller.name
        with reading(self.database) as connection:
            found = [
                connection.execute(newest_first.where(is_in(IN_PROGRESS)).limit(limit + 1)).all(),
                in_order(connection, owner, limit + 1),
                connection.execute(newest_first.where(_PAUSED).limit(limit + 1)).all(),
            ]
            shown = [row for rows in found for row in rows[:limit]]
            views = self._standing.views(connection, shown)
        return Page(views, has_more=any(len(rows) > limit for rows in found))

    def newest_previews(self, job_ids: Collection[str]) -> dict[str, int]:
        """The number of the newest preview event of each of these jobs that has one."""
        found = (
            sa.select(events.c.job_id, sa.func.max(events.c.number))
            .where(events.c.job_id.in_(job_ids), events.c.change == Change.PREVIEW)
            .group_by(events.c.job_id)
        )
        with self.database.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(found)}

    def latest_event(self, job_id: str) -> JobEvent:
        """The job as it is now, as an event. Raises JobNotFound."""
        with reading(self.database) as connection:
            number = newest_number(connection)  # first, so that no later event is missed
            row = self._row(connection, job_id)
            job = self._standing.view(connection, row)
        return JobEvent(number, Change.STATE, job, row.owner, final=job.state in ENDED)

    def events_after(
        self, number: int, job_id: str | None = None, limit: int = EVENTS_PER_PAGE
    ) -> JournalPage:
        """The events after `number` of one job, or of all.

        A full page has every change of state, but only the newest progress of each job.
        """
        of = self._visible() if job_id is None else self._named(job_id)
        with reading(self.database) as connection:
            newest = newest_number(connection)
            if newest <= number:
                return JournalPage([], newest, has_more=False)
            end = newest if job_id is not None else min(newest, number + EVENTS_LOOKED_AT)
            rows = rows_after(connection, number, end, of, limit)
            full = len(rows) == limit
            kept = without_superseded(rows) if full else rows
            views = self._standing.views(connection, kept)
        events = [
            JobEvent(row.number, Change(row.change), job, row.owner, row.final)
            for row, job in zip(kept, views, strict=True)
        ]
        last = rows[-1].number if full else end
        return JournalPage(events, last, has_more=full or end < newest)

    def missing(self, job_ids: Collection[str]) -> set[str]:
        """The ids among these of jobs that have been deleted."""
        with self.database.connect() as connection:
            found = connection.execute(sa.select(jobs.c.id).where(jobs.c.id.in_(job_ids)))
            return set(job_ids) - set(found.scalars())

    def cancel(self, job_id: str) -> Job:
        """End a job. If it is being rendered, the render stops soon after.

        Raises JobNotFound or WrongState.
        """
        with writing(self.database) as connection:
            canceled = self._cancel(connection, *self._named(job_id))
        if not canceled:
            raise WrongState(self.get(job_id), CANCEL.rule)
        return self._view(canceled[0])

    def cancel_all(
        self,
        states: Sequence[JobState],
        *,
        everybody: bool = False,
        limit: int = CANCELED_AT_ONCE,
    ) -> tuple[int, bool]:
        """End the caller's jobs in these states, or with `everybody` all that the caller sees.

        At most `limit` at once, the newest first. Returns how many it ended, and whether there are
        more.
        """
        of = self._visible() if everybody else (jobs.c.owner == self._caller.name,)
        found = sa.select(jobs.c.id).where(is_in(*states), *of).order_by(jobs.c.id.desc())
        with writing(self.database) as connection:
            job_ids = connection.execute(found.limit(limit + 1)).scalars().all()
            canceled = self._cancel(connection, jobs.c.id.in_(job_ids[:limit]))
        return len(canceled), len(job_ids) > limit

    def _cancel(
        self, connection: sa.Connection, *of: sa.ColumnElement[bool]
    ) -> Sequence[sa.Row[Any]]:
        """End these jobs. Their rows after it."""
        update = CANCEL.update(
            *of, completed_at=now_ms(), expires_at=expiry(self.database, self._settings)
        )
        canceled = connection.execute(update).all()
        for row in canceled:
            record(connection, row, Change.STATE)
        return canceled

    def retry(self, job_id: str) -> Job:
        """Queue a failed or canceled job again; it continues from its last checkpoint.

        Raises JobNotFound or WrongState.
        """
        return self._requeue(job_id, RETRY)

    def pause(self, job_id: str) -> Job:
        """Pause a job: at once if it is queued, else after its current step.

        Raises JobNotFound or WrongState.
        """
        with writing(self.database) as connection:
            paused = connection.execute(PAUSE.update(*self._named(job_id))).first()
            row = paused or connection.execute(ASK_TO_PAUSE.update(*self._named(job_id))).first()
            if row is not None:
                record(connection, row, Change.STATE)
        if row is None:
            raise WrongState(self.get(job_id), PAUSE.rule)
        return self._view(row)

    def move(self, job_id: str, to: Move) -> Job:
        """Move a queued job among those of its owner. It may take the priority of the job whose
        turn it takes. Raises JobNotFound or WrongState."""
        with writing(self.database) as connection:
            query = sa.select(jobs).where(*self._named(job_id), MOVE.allowed)
            row = connection.execute(query).first()
            for moved in move(connection, row, to) if row is not None else ():
                record(connection, moved, Change.STATE)
        if row is None:
            raise WrongState(self.get(job_id), MOVE.rule)
        return self.get(job_id)

    def resume(self, job_id: str) -> Job:
        """Queue a paused job; it continues from its last step. Raises JobNotFound or WrongState."""
        return self._requeue(job_id, RESUME)

    def delete(self, job_id: str) -> None:
        """Delete a job and its files. Raises JobNotFound, or WrongState while it is rendered."""
        if not self._forget(job_id, DELETE):
            raise WrongState(self.get(job_id), DELETE.rule)

    def _forget(self, job_id: str, transition: Transition, *of: sa.ColumnElement[bool]) -> bool:
        """Delete a job and its files if the transition allows it. Returns whether it did."""
        allowed = (*self._named(job_id), transition.allowed, *of)
        try:
            deleted = self._delete_row(*allowed)
        except JobsUnavailable as error:
            if error.message != DISK_FULL or self._settings.storage_url is not None:
                raise
            # Deleting a row takes room, too: that of the job's own files, on the same disk.
            if self.get(job_id).state not in ENDED:
                raise
            self._storage.delete_prefix(job_prefix(job_id))
            deleted = self._delete_row(*allowed)
        if deleted:
            self._storage.delete_prefix(job_prefix(job_id))
        return deleted

    def _delete_row(self, *of: sa.ColumnElement[bool]) -> bool:
        with writing(self.database) as connection:
            return connection.execute(sa.delete(jobs).where(*of)).rowcount > 0

    def counts(self) -> dict[JobState, int]:
        """How many jobs there are in each state."""
        with self.database.connect() as connection:
            found = {row[0]: row[1] for row in connection.execute(_COUNTS)}
        return {state: found.get(state) or 0 for state in JobState}

    def forecast(self) -> Forecast:
        """How long clips take on the machines of the live workers."""
        with self.database.connect() as connection:
            return self._standing.forecast(connection)

    def queue_seconds(self, priority: int) -> float:
        """Seconds until a job that the caller queues now would start."""
        with reading(self.database) as connection:
            turn, overtaken = next_turn(connection, self._caller.name, priority)
            place = Place(turn, _new_job_id() if overtaken is None else "")
            forecast = self._standing.forecast(connection)
            _, seconds = self._standing.ahead_of(connection, forecast, [place])[place]
        return seconds

    def is_rendered_now(self, model_id: str) -> bool:
        """Whether a live runner has this model."""
        return self.forecast().has(model_id)

    def capacity(self) -> Capacity:
        """The work of all users, and the live runners."""
        with reading(self.database) as connection:
            forecast = self._standing.forecast(connection)
            loads = self._standing.loads(connection, forecast)
            live = self._standing.live_workers(connection)
        runners = Counter(
            model_id
            for machine in forecast.machines.values()
            for model_id, ability in machine.models.items()
            if ability.installed
        )
        return Capacity(loads, runners, live)

    def live_workers(self) -> int:
        """The number of workers that renewed their lease in time."""
        with self.database.connect() as connection:
            return self._standing.live_workers(connection)

    def runners(self) -> Sequence[Runner]:
        """The runners that have a lease, fresh or not."""
        query = sa.select(workers).order_by(workers.c.executor_id)
        with self.database.connect() as connection:
            return [Runner.of(row) for row in connection.execute(query)]

    def tallies(self) -> Mapping[str, Sequence[Tally]]:
        """What has happened to all jobs, by the metric's name."""
        with self.database.connect() as connection:
            return tallies.read(connection)

    def pulse(self) -> Pulse:
        """Whether anything has happened, for one event loop. Close it before this store."""
        return Pulse(self.database)

    def signing_secret(self, owner: str) -> str:
        """The secret that signs the webhooks of this owner's jobs."""
        return secret_of(owner, self._settings, self.database)

    def session_secret(self) -> bytes:
        """The secret that signs the sessions of the page for browsers."""
        return session_secret(self.database)

    def check(self) -> None:
        """Raises JobsUnavailable if the database does not answer."""
        with self.database.connect() as connection:
            connection.execute(sa.select(sa.literal(1)))

    def delete_expired(self) -> None:
        """Delete the jobs whose retention is over, with their files."""
        now = self._passage.now(self.live_workers())
        expired = (EXPIRE.allowed, jobs.c.expires_at <= now)
        with self.database.connect() as connection:
            query = sa.select(jobs.c.id).where(*expired).limit(EXPIRED_PER_SWEEP)
            job_ids = connection.execute(query).scalars().all()
        for job_id in job_ids:
            self._forget(job_id, EXPIRE, *expired)  # unless it was retried meanwhile

    def delete_orphaned_files(self) -> None:
        """Delete old files of no job, such as those a worker wrote after the job was deleted."""
        for job_id in self._storage.folders_older_than(JOBS_PREFIX, ORPHAN_AGE):
            with self.database.connect() as connection:
                known = connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id)).first()
            if known is None:
                self._storage.delete_prefix(job_prefix(job_id))

    def close(self) -> None:
        self.database.dispose()

    def _requeue(self, job_id: str, transition: Transition) -> Job:
        """Begin a new run of the job. Raises JobNotFound or WrongState."""
        allowed = (*self._named(job_id), transition.allowed)
        with writing(self.database) as connection:
            row = connection.execute(sa.select(jobs).where(*allowed)).first()
            if row is not None:
                turn = queue_up(connection, row.owner, row.priority)
                update = transition.update(jobs.c.id == job_id, turn=turn)
                row = connection.execute(update).one()
                record(connection, row, Change.STATE)
        if row is None:
            raise WrongState(self.get(job_id), transition.rule)
        return self._view(row)

    def _visible(self) -> Sequence[sa.ColumnElement[bool]]:
        return () if self._caller.sees_all else (jobs.c.owner == self._caller.name,)

    def _named(self, job_id: str) -> Sequence[sa.ColumnElement[bool]]:
        return (jobs.c.id == job_id, *self._visible())

    def _view(self, row: sa.Row[Any]) -> Job:
        """The job of a row, as a change left it; a worker may have changed it since."""
        with reading(self.database) as connection:
            return self._standing.view(connection, row)

    def _row(self, connection: sa.Connection, job_id: str) -> sa.Row[Any]:
        """Raises JobNotFound."""
        row = connection.execute(sa.select(jobs).where(*self._named(job_id))).first()
        if row is None:
            raise JobNotFound(job_id)
        return row


def _new_job_id() -> str:
    """Opaque, safe in a URL, and sorting by time: nanoseconds, then randomness."""
    return f"{time.time_ns():016x}{secrets.token_hex(6)}"
