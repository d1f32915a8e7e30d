"""The event stream of the page: the queue as it is, and news of its jobs.

Events:
    queue   the content of the queue panel, whenever it changes
    news    what happened to a job, as JSON, to be said or shown as a notification
    ping    nothing has happened; a page that hears none for long asks for the queue itself

Each connection starts with the whole queue, so a page that reconnects has missed nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator

from fastapi import Request
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.concurrency import run_in_threadpool
from starlette.types import Send

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.routes.events import HEADERS, MAX_NUMBER, RECONNECT_MS
from hunyuan_runner.api.tail import Subscription, Tail
from hunyuan_runner.jobs.job import ENDED, Job
from hunyuan_runner.jobs.journal import Change
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.studio.queue import LONG_SECONDS, context
from hunyuan_runner.studio.rendering import render
from hunyuan_runner.wire import JobState

BETWEEN_UPDATES_SECONDS = 0.7  # at least, however fast steps are
REFRESH_SECONDS = 10  # at most: times left change by themselves

NUMBER = re.compile(r'data-number="\d+"')  # differs in each picture

log = logging.getLogger(__name__)


class Stream(EventSourceResponse):
    """What one page sees of its caller's jobs, as it changes."""

    def __init__(self, request: Request, backend: Backend, tail: Tail) -> None:
        super().__init__(self._messages(), headers=HEADERS)
        self._request = request
        self._jobs = backend.jobs
        self._tail = tail
        self._subscription = Subscription(request.scope["caller"], None, backend.base)
        self._states: dict[str, JobState] = {}  # by job id, as last said

    async def stream_response(self, send: Send) -> None:
        self._tail.enter(self._subscription)
        try:
            await super().stream_response(send)
        finally:
            self._tail.leave(self._subscription)

    async def _messages(self) -> AsyncIterator[bytes]:
        subscription = self._subscription
        yield format_sse_event(retry=RECONNECT_MS)
        shown = ""
        changed: list[Job] = []
        try:
            await self._join()
            while not subscription.ended:
                queue = await run_in_threadpool(self._queue)
                news = [said for job in changed if (said := self._news(job))]
                if (picture := NUMBER.sub("", queue)) != shown:
                    yield format_sse_event(event="queue", data_str=queue)
                    shown = picture
                elif not news:
                    yield format_sse_event(event="ping", data_str="")
                for said in news:
                    yield format_sse_event(event="news", data_str=said)
                await asyncio.sleep(BETWEEN_UPDATES_SECONDS)
                events = [each.event for each in await subscription.take(REFRESH_SECONDS)]
                changed = [event.job for event in events if event.change is Change.STATE]
        except JobsUnavailable as error:
            log.warning("a page has to reconnect: %s", error.reason)

    async def _join(self) -> None:
        """Begin to listen to the journal from its end."""
        while True:
            page = await run_in_threadpool(self._jobs.events_after, MAX_NUMBER)
            if self._tail.join(self._subscription, page.number):
                return

    def _queue(self) -> str:
        fragment = render(self._request, "queue/jobs.html", **context(self._jobs))
        return bytes(fragment.body).decode()

    def _news(self, job: Job) -> str | None:
        """What to say of a job whose row has changed, if it is in another state than before."""
        before = self._states.get(job.id)
        self._states[job.id] = job.state
        if before is job.state or (before is None and job.state is JobState.PENDING):
            return None
        if job.state in ENDED:
            del self._states[job.id]
        took = (job.completed_at - job.created_at).total_seconds() if job.completed_at else 0.0
        return json.dumps(
            {
                "job": job.id,
                "state": job.state,
                "draft": job.has_draft,
                "prompt": job.params.prompt,
                "long": took > LONG_SECONDS,
            }
        )
