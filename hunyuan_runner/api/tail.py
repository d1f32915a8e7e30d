"""Follows the journal, once for all event streams of this process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool

from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.journal import JobEvent, JournalPage
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable

POLL_SECONDS = 0.25
AWAY_SECONDS = 1  # between two tries to reach a database that does not answer
MAX_WAITING = 1000  # unread messages of a stream; with more, it ends, and its reader reconnects

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Message:
    """An event, and its encoded bytes."""

    event: JobEvent
    encoded: bytes


class Subscription:
    """What one stream may see, and the messages that it has not sent yet."""

    def __init__(self, caller: Caller, job_id: str | None, base: str) -> None:
        self.caller = caller
        self.job_id = job_id  # or every job that the caller sees
        self.base = base  # what the links in its events begin with
        self.ended = False
        self._after: int | None = None
        self._waiting: list[Message] = []
        self._news = asyncio.Event()

    def begin(self, after: int) -> None:
        """Begin to want events: those after this number."""
        self._after = after

    def wants(self, event: JobEvent) -> bool:
        if self._after is None or event.number <= self._after:
            return False
        if self.job_id is not None:
            return event.job.id == self.job_id
        return self.caller.sees(event.owner)

    def put(self, message: Message) -> None:
        self._waiting.append(message)
        self._news.set()
        if len(self._waiting) > MAX_WAITING:
            self.end()

    def end(self) -> None:
        self.ended = True
        self._news.set()

    async def take(self, patience: float) -> list[Message]:
        """The waiting messages; without any, wait `patience` seconds for one, or for the end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._news.wait()
        self._news.clear()
        taken, self._waiting = self._waiting, []
        return taken


class Tail:
    """Reads the journal while there are subscriptions, and passes new events on to them."""

    def __init__(self, jobs: Jobs, encode: Callable[[JobEvent, str], bytes]) -> None:
        self._jobs = jobs
        self._encode = encode
        self._subscriptions: set[Subscription] = set()
        self._task: asyncio.Task[None] | None = None
        self._number = 0  # of the last event that was passed on
        self._closed = False

    def streams_of(self, caller: Caller) -> int:
        return sum(each.caller == caller for each in self._subscriptions)

    def enter(self, subscription: Subscription) -> None:
        self._subscriptions.add(subscription)
        if self._closed:
            subscription.end()

    def leave(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    def join(self, subscription: Subscription, after: int) -> bool:
        """Pass on the events after this number. False if some of them were passed on already."""
        if self._task is None:
            self._number = after
            # Not in the context of the request that happens to come first.
            self._task = asyncio.create_task(self._run(), context=Context())
        elif after < self._number:
            return False
        subscription.begin(after)
        return True

    def close(self) -> None:
        """End all streams, also those that have not begun yet: this process is about to stop."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()

    async def _run(self) -> None:
        try:
            while self._subscriptions and not self._closed:
                await self._pass_on()
                await asyncio.sleep(POLL_SECONDS)
        except Exception:
            log.exception("the journal cannot be read; all event streams end")
        finally:
            self._task = None
            for subscription in self._subscriptions:
                subscription.end()

    async def _pass_on(self) -> None:
        followed = {each.job_id for each in self._subscriptions if each.job_id is not None}
        try:
            page, missing = await run_in_threadpool(self._read, self._number, followed)
        except JobsUnavailable as error:
            log.warning("event streams wait: the job database does not answer: %s", error.reason)
            await asyncio.sleep(AWAY_SECONDS)
            return
        self._number = page.number
        for event in page.events:
            wanting = [each for each in self._subscriptions if each.wants(event)]
            bases = {each.base for each in wanting}
            messages = {base: Message(event, self._encode(event, base)) for base in bases}
            for subscription in wanting:
                subscription.put(messages[subscription.base])
        for subscription in self._subscriptions:
            if subscription.job_id in missing:
                subscription.end()

    def _read(self, number: int, job_ids: Collection[str]) -> tuple[JournalPage, set[str]]:
        return self._jobs.events_after(number), self._jobs.missing(job_ids)
