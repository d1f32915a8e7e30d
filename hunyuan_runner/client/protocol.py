"""What both clients do, without doing any I/O themselves.

An operation is a generator. The steps it yields (Send, Open, Read, Pause) are done by the client,
which sends in what came of each, or throws in the httpx.TransportError. What the operation is for
it yields as a Result, once or again and again.
"""

from __future__ import annotations

import math
import os
import random
import secrets
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import httpx
from pydantic import ValidationError

from hunyuan_runner.client import calls
from hunyuan_runner.client.address import Address
from hunyuan_runner.client.calls import Call, Request
from hunyuan_runner.client.errors import (
    HunyuanError,
    JobFailed,
    WaitTimeout,
    no_answer,
    refusal,
    unexpected,
)
from hunyuan_runner.client.sse import EventDecoder, ServerSentEvent
from hunyuan_runner.client.views import (
    Event,
    FinalEvent,
    Job,
    PreviewEvent,
    ProgressEvent,
    StateEvent,
    Status,
)

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 3000
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_TIMEOUT = 10.0  # seconds
DEFAULT_RETRIES = 4

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between tries, twice as long each time
LONGEST_RETRY_AFTER = 60.0  # seconds; who asks for more is not waited for
SILENCE_SECONDS = 300.0  # that a service may be gone, to restart or move, while a job is followed
STREAM_SILENCE_SECONDS = 35.0  # two pings of a stream, and some more
FIRST_LOOK, LONGEST_LOOK = 0.2, 5.0  # seconds between two looks at a job that has no stream
PAGE_SIZE = 100
DOWNLOAD_TRIES = 5  # in a row that bring no byte

STREAM_TIMEOUT = httpx.Timeout(DEFAULT_TIMEOUT, read=STREAM_SILENCE_SECONDS)
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """Gives the httpx.Response, read to its end."""

    request: Request


@dataclass(frozen=True)
class Open:
    """Gives the httpx.Response, of which only a refusal is read; closes the one opened before."""

    request: Request
    options: dict[str, Any] = field(default_factory=dict)  # of httpx, besides the request's


@dataclass(frozen=True)
class Read:
    """Gives the next bytes of what was opened; none at its end."""


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Result(Generic[T]):
    """For whoever asked for the operation."""

    value: T


Step = Send | Open | Read | Pause
Operation = Generator[Step | Result[T], Any, None]


@dataclass(frozen=True)
class Retry:
    """That something is about to be tried again."""

    error: HunyuanError
    pause: float  # seconds until then
    failures: int  # in a row


class Patience:
    """How often, and for how long, something that fails is tried again."""

    def __init__(
        self,
        on_retry: Callable[[Retry], None],
        *,
        tries: float = math.inf,
        seconds: float = math.inf,
        deadline: float = math.inf,
    ) -> None:
        self._on_retry = on_retry
        self._tries = tries
        self._seconds = seconds
        self._deadline = deadline
        self._failures = 0
        self._until = deadline

    def succeed(self) -> None:
        self._failures = 0

    def pause_after(self, error: HunyuanError) -> Pause:
        """Until the next try. Raises `error` if there shall be none."""
        if self._failures == 0:
            self._until = min(self._deadline, time.monotonic() + self._seconds)
        self._failures += 1
        pause = error.retry_after
        if pause is None:
            doubled = FIRST_PAUSE * 2 ** min(self._failures - 1, 10)
            pause = min(doubled, LONGEST_PAUSE) * random.uniform(0.75, 1)
        over = self._failures > self._tries or time.monotonic() + pause > self._until
        if over or pause > LONGEST_RETRY_AFTER:
            raise error
        self._on_retry(Retry(error, pause, self._failures))
        return Pause(pause)


class Protocol:
    """The operations on one service."""

    def __init__(
        self, address: Address, retries: int, on_retry: Callable[[Retry], None] | None
    ) -> None:
        self._address = address
        self._retries = retries
        self._on_retry = on_retry or (lambda _: None)

    def call(self, call: Call[T]) -> Operation[T]:
        answer = yield from self._perform(call, self._some_tries())
        yield Result(answer)

    def jobs(self, status: Status | None) -> Operation[Job]:
        """All of them, page by page."""
        after = None
        while True:
            call = calls.list_jobs(status, PAGE_SIZE, after)
            page = yield from self._perform(call, self._some_tries())
            for job in page.jobs:
                yield Result(job)
            if page.next is None:
                return
            after = page.next

    def events(self, job_id: str | None = None) -> Operation[Event]:
        """Those of a job to its end, or those of all jobs; over as many connections as it takes.

        Raises ApiError where there is no such job, or no longer.
        """
        decoder = EventDecoder()
        patience = self._long_patience()
        while True:
            try:
                if (yield from self._connection(job_id, decoder, patience, lambda event: event)):
                    return
            except HunyuanError as error:
                if not error.temporary:
                    raise
                yield patience.pause_after(error)
            else:
                yield Pause(min(decoder.retry_seconds, LONGEST_PAUSE))

    def follow(self, job_id: str, seconds: float | None) -> Operation[Job]:
        """The job, and again whenever something happened to it, until it ended.

        By its events, with a look at it where they pause; where none come through, by looking often
        at first, then as its ETA suggests. Raises WaitTimeout.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        patience = self._long_patience(deadline)
        streams, look = True, FIRST_LOOK
        while True:
            job = yield from self._perform(calls.get_job(job_id), patience)
            yield Result(job)
            # A silent stream cannot be left in time, so shortly before the deadline there is none.
            if streams and not job.ended and time.monotonic() < deadline - STREAM_SILENCE_SECONDS:
                job, streams = yield from self._follow_events(job, patience, deadline)
            if job.ended:
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(job)
            look = min(look * 1.5, LONGEST_LOOK)
            expected = job.eta_seconds.expected if job.eta_seconds else math.inf
            yield Pause(min(left, max(FIRST_LOOK, min(look, expected / 20))))

    def download(self, file: Request, path: Path, overwrite: bool) -> Operation[Path]:
        """A file of a job at `path`, which appears only when it is complete.

        A connection that breaks is taken up again where it broke: these files never change.
        Raises FileExistsError where the file is there, by then at the latest, and shall stay.
        """
        _require_absent(path, overwrite)
        # A name of its own: two may be on their way to the same file.
        part = path.with_name(f".hunyuan-{secrets.token_hex(8)}.part")
        patience = Patience(self._on_retry, tries=DOWNLOAD_TRIES)
        try:
            while True:
                try:
                    yield from self._append(file, part, patience)
                    break
                except HunyuanError as error:
                    if not error.temporary:
                        raise
                    yield patience.pause_after(error)
            _require_absent(path, overwrite)
            yield Result(part.replace(path))
        finally:
            part.unlink(missing_ok=True)

    def _perform(self, call: Call[T], patience: Patience) -> Generator[Step, Any, T]:
        while True:
            try:
                response: httpx.Response = yield Send(call.request)
            except httpx.TransportError as cause:
                error: HunyuanError = no_answer(self._address, cause)
                perhaps_done = not isinstance(cause, NEVER_SENT)
            else:
                if not response.is_error:
                    patience.succeed()
                    return call.read(response)
                error = refusal(response)
                perhaps_done = response.status_code in (502, 504)  # says a gateway
            if not error.temporary or (perhaps_done and not call.repeatable):
                raise error
            yield patience.pause_after(error)

    def _follow_events(
        self, job: Job, patience: Patience, deadline: float
    ) -> Generator[Step | Result[Job], Any, tuple[Job, bool]]:
        """Follow one stream. Returns the job, and whether any event came through."""
        came = False

        def see(event: Event) -> Job:
            nonlocal job, came
            job, came = job.after(event), True
            return job

        def look() -> Generator[Step, Any, Job]:
            nonlocal job
            job = yield from self._perform(calls.get_job(job.job_id), patience)
            return job

        with suppress(HunyuanError):  # the next look at the job tells what is the matter
            until = deadline - STREAM_SILENCE_SECONDS
            yield from self._connection(job.job_id, EventDecoder(), patience, see, look, until)
        return job, came

    def _connection(
        self,
        job_id: str | None,
        decoder: EventDecoder,
        patience: Patience,
        see: Callable[[Event], T],
        at_ping: Callable[[], Generator[Step, Any, T]] | None = None,
        until: float = math.inf,
    ) -> Generator[Step | Result[T], Any, bool]:
        """What `see` makes of the events of one stream. Returns whether nothing comes after it."""
        decoder.reconnect()
        request = calls.events(job_id, decoder.last_id)
        try:
            response: httpx.Response = yield Open(request, {"timeout": STREAM_TIMEOUT})
            if response.is_error:
                raise refusal(response)
            if response.status_code == 204:
                return True
            if not response.headers.get("Content-Type", "").startswith(calls.EVENT_STREAM):
                raise unexpected(response)
            patience.succeed()
            while time.monotonic() < until and (chunk := (yield Read())):
                for told in decoder.feed(chunk):
                    if told is None:
                        if at_ping is not None:
                            yield Result((yield from at_ping()))
                        continue
                    event = _event(told, response)
                    if event is not None:
                        yield Result(see(event))
                    if isinstance(event, FinalEvent) and job_id is not None:
                        return True
        except httpx.TransportError as cause:
            raise no_answer(self._address, cause) from cause
        return False

    def _append(self, file: Request, part: Path, patience: Patience) -> Generator[Step, Any, None]:
        """Write to `part` what it lacks of the file."""
        size = part.stat().st_size if part.exists() else 0
        try:
            response: httpx.Response = yield Open(file.behind(size))
            if response.is_error:
                raise refusal(response)
            with part.open("ab" if response.status_code == 206 else "wb") as written:
                while chunk := (yield Read()):  # fewer than Content-Length says is an error
                    written.write(chunk)
                    patience.succeed()
        except httpx.TransportError as cause:
            raise no_answer(self._address, cause) from cause

    def _some_tries(self) -> Patience:
        return Patience(self._on_retry, tries=self._retries)

    def _long_patience(self, deadline: float = math.inf) -> Patience:
        return Patience(self._on_retry, seconds=SILENCE_SECONDS, deadline=deadline)


def _require_absent(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path} exists already")


def completed(job: Job) -> Job:
    """Raises JobFailed if it ended otherwise."""
    if job.status != "completed":
        raise JobFailed(job)
    return job


def _event(told: ServerSentEvent, response: httpx.Response) -> Event | None:
    """None for a kind that only a newer client knows."""
    try:
        match told.name:
            case "state":
                return StateEvent(id=told.id, job=Job.model_validate_json(told.data))
            case "final":
                return FinalEvent(id=told.id, job=Job.model_validate_json(told.data))
            case "progress":
                progress = ProgressEvent.model_validate_json(told.data)
                return progress.model_copy(update={"id": told.id})
            case "preview":
                preview = PreviewEvent.model_validate_json(told.data)
                return preview.model_copy(update={"id": told.id})
            case _:
                return None
    except ValidationError as error:
        raise unexpected(response) from error
