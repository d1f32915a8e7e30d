"""What happens to jobs, as server-sent events."""

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

MAX_NUMBER = 2**63 - 1  # of the journal
MAX_STREAMS = 200  # open at once, per caller and front
RETRY_AFTER_SECONDS = 10
RECONNECT_MS = 1000
HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep back what is small
}

LastEventId = Annotated[
    int | None,
    Header(ge=0, le=MAX_NUMBER, description="The id of the last event you saw: go on behind it."),
]

router = APIRouter(tags=["events"])


def encode(event: JobEvent, base: str) -> bytes:
    """As it is streamed; `base` is what its links begin with."""
    name, view = _told(event, base)
    return format_sse_event(event=name, data_str=view.model_dump_json(), id=str(event.number))


def _told(event: JobEvent, base: str) -> tuple[str, BaseModel]:
    match event.change:
        case Change.STATE:
            return "final" if event.final else "state", job_view(event.job, base)
        case Change.PROGRESS:
            return "progress", progress_view(event.job)
        case Change.PREVIEW:
            return "preview", preview_view(event.job, base)


class _Stream(EventSourceResponse):
    """What there is to tell already, then what comes, with pings where nothing does."""

    def __init__(
        self, backend: Backend, tail: Tail, subscription: Subscription, first: JournalPage
    ) -> None:
        super().__init__(self._messages(first), headers=HEADERS)
        self._backend = backend
        self._tail = tail
        self._subscription = subscription

    async def stream_response(self, send: Send) -> None:
        # Not in the generator: one that is cut off while its reader is slow is not told at once.
        self._tail.enter(self._subscription)
        try:
            await super().stream_response(send)
        finally:
            self._tail.leave(self._subscription)

    async def _messages(self, page: JournalPage) -> AsyncIterator[bytes]:
        subscription = self._subscription
        # Whoever has seen nothing yet has at least a place to come back to.
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
    # Nor may one caller have all connections: streams do not end by themselves.
    most = min(MAX_STREAMS, request.app.state.settings.connection_limit // 2)
    if tail.streams_of(request.scope["caller"]) >= most:
        raise too_many(
            "too_many_streams",
            f"{most} event streams are open; close some.",
            retry_after=RETRY_AFTER_SECONDS,
        )
    return tail


FromTail = Annotated[Tail, Depends(_tail_of)]


JOB = reference(JobView)
STREAM = answers_with_events(
    event_schema("state", "The job is in another state, or how it is as a stream begins.", JOB),
    event_schema(
        "progress", "It is at another stage, or a step or a tile further.", schema_of(ProgressView)
    ),
    event_schema("preview", "There is a new picture of it.", schema_of(PreviewView)),
    event_schema("final", "It ended; the last event of its stream.", JOB),
)


@router.get(
    "/api/jobs/{job_id}/events",
    operation_id="job_events",
    response_class=Response,
    responses=STREAM
    | {204: {"description": "The job has ended, and you have seen it all: do not come back."}}
    | refusals(404, 422, 503),
)
def job_events(
    request: Request,
    job_id: JobId,
    backend: FromBackend,
    tail: FromTail,
    last_event_id: LastEventId = None,
) -> Response:
    """What happens to a job: how it is now, then `state`, `progress` and `preview` as they come.

    The stream ends with `final`, whose data is the job. With `Last-Event-ID` it begins behind that.
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
    """What happens to your jobs, new ones included, from now on or behind `Last-Event-ID`."""
    now = MAX_NUMBER  # behind which nothing is, but where the journal ends
    page = backend.jobs.events_after(now if last_event_id is None else last_event_id)
    return _Stream(backend, tail, Subscription(request.scope["caller"], None, backend.base), page)
