"""Server-sent events: what happens to a job, or to all jobs of a caller."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.types import Send

from hunyuan_runner.api.auth import too_many
from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.document import (
    answers_with_events,
    event_schema,
    reference,
    refusals,
    schema_of,
)
from hunyuan_runner.api.errors import NOT_OPEN, unavailable
from hunyuan_runner.api.requests import JobId
from hunyuan_runner.api.tail import Subscription, Tail
from hunyuan_runner.api.views import job_view, preview_view, progress_view
from hunyuan_runner.jobs.job import ENDED
from hunyuan_runner.jobs.journal import Change, JobEvent, JournalPage
from hunyuan_runner.wire import JobView, PreviewView, ProgressView

MAX_NUMBER = 2**63 - 1  # the largest number that a journal entry can have
MAX_STREAMS = 200  # open at once, per caller and process
RETRY_AFTER_SECONDS = 10
RECONNECT_MS = 1000
HEADERS = {
    "Cache-Control": "no-store, no-transform",  # a proxy that compresses would hold events back
    "X-Accel-Buffering": "no",  # otherwise nginx would hold back small events
}

LastEventId = Annotated[
    int | None,
    Header(
        ge=0,
        le=MAX_NUMBER,
        description="The id of the last event you received; the stream continues after it.",
    ),
]

router = APIRouter(tags=["events"])


def encode(event: JobEvent, base: str) -> bytes:
    """An event as it is streamed. Its links begin with `base`."""
    name, view = _name_and_view(event, base)
    return format_sse_event(event=name, data_str=view.model_dump_json(), id=str(event.number))


def _name_and_view(event: JobEvent, base: str) -> tuple[str, BaseModel]:
    match event.change:
        case Change.STATE:
            return "final" if event.final else "state", job_view(event.job, base)
        case Change.PROGRESS:
            return "progress", progress_view(event.job)
        case Change.PREVIEW:
            return "preview", preview_view(event.job, base)


class _Stream(EventSourceResponse):
    """The events so far, then new ones as they come, and comments while nothing happens."""

    def __init__(
        self, backend: Backend, tail: Tail, subscription: Subscription, first: JournalPage
    ) -> None:
        super().__init__(self._messages(first), headers=HEADERS)
        self._backend = backend
        self._tail = tail
        self._subscription = subscription

    async def stream_response(self, send: Send) -> None:
        # Not in the generator: if a slow reader is cut off, the generator is not closed at once.
        self._tail.enter(self._subscription)
        try:
            await super().stream_response(send)
        finally:
            self._tail.leave(self._subscription)

    async def _messages(self, page: JournalPage) -> AsyncIterator[bytes]:
        subscription = self._subscription
        # A reader that has received no event yet gets an id to reconnect with.
        begin_at = None if page.events else str(page.number)
        yield format_sse_event(retry=RECONNECT_MS, id=begin_at)
        while not subscription.ended:
            for event in page.events:
                yield encode(event, subscription.base)
                if self._is_last(event):
                    return
            if not page.has_more and self._tail.join(subscription, page.number):
                break
            page = await run_in_threadpool(
                self._backend.jobs.events_after, page.number, subscription.job_id
            )
        while not subscription.ended:
            messages = await subscription.take(self._backend.settings.ping_seconds)
            for message in messages:
                yield message.encoded
                if self._is_last(message.event):
                    return
            if not messages and not subscription.ended:
                yield KEEPALIVE_COMMENT

    def _is_last(self, event: JobEvent) -> bool:
        return event.final and self._subscription.job_id is not None


async def _tail_of(request: Request) -> Tail:
    tail: Tail | None = request.app.state.tail
    if tail is None:
        raise unavailable(NOT_OPEN)
    # One caller must not hold all connections: streams do not end by themselves.
    most = min(MAX_STREAMS, request.app.state.settings.connection_limit // 2)
    if tail.streams_of(request.scope["caller"]) >= most:
        raise too_many(
            "too_many_streams",
            f"You already have {most} event streams open, which is the limit; close some.",
            retry_after=RETRY_AFTER_SECONDS,
        )
    return tail


FromTail = Annotated[Tail, Depends(_tail_of)]


JOB = reference(JobView)
STREAM = answers_with_events(
    event_schema("state", "The job's state changed. A stream starts with the current state.", JOB),
    event_schema(
        "progress", "The job reached another stage, step or tile.", schema_of(ProgressView)
    ),
    event_schema("preview", "There is a new preview picture.", schema_of(PreviewView)),
    event_schema("final", "The job ended. This is the last event of its stream.", JOB),
)


@router.get(
    "/api/jobs/{job_id}/events",
    operation_id="job_events",
    response_class=Response,
    responses=STREAM
    | {
        204: {
            "description": "The job has ended, and you have received every event: do not reconnect."
        }
    }
    | refusals(404, 422, 503),
)
def job_events(
    request: Request,
    job_id: JobId,
    backend: FromBackend,
    tail: FromTail,
    last_event_id: LastEventId = None,
) -> Response:
    """Stream the events of a job: its current state, then each `state`, `progress` and `preview`.

    The stream ends with `final`, whose data is the job. Reconnect with your last `Last-Event-ID` to
    miss nothing (some `progress` events may be merged).
    """
    if last_event_id is None:
        now = backend.jobs.latest_event(job_id)
        page = JournalPage([now], now.number, has_more=False)
    else:
        job = backend.jobs.get(job_id)
        page = backend.jobs.events_after(last_event_id, job_id)
        if job.state in ENDED and not page.events:
            return Response(status_code=204)
    return _Stream(backend, tail, Subscription(request.scope["caller"], job_id, backend.base), page)


@router.get(
    "/api/events",
    operation_id="events",
    response_class=Response,
    responses=STREAM | refusals(422, 503),
)
def events(
    request: Request, backend: FromBackend, tail: FromTail, last_event_id: LastEventId = None
) -> Response:
    """Stream the events of all your jobs, new ones included, from now or after `Last-Event-ID`."""
    now = MAX_NUMBER  # nothing comes after it, but the page says where the journal ends
    page = backend.jobs.events_after(now if last_event_id is None else last_event_id)
    return _Stream(backend, tail, Subscription(request.scope["caller"], None, backend.base), page)
