"""The requests to a service, and how their answers are read."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from hunyuan_runner.client.errors import unexpected
from hunyuan_runner.client.sse import ServerSentEvent
from hunyuan_runner.client.views import (
    Canceled,
    Capacity,
    Estimate,
    Event,
    FinalEvent,
    Info,
    Job,
    JobPage,
    PreviewEvent,
    ProgressEvent,
    StateEvent,
    Status,
)
from hunyuan_runner.manifest import PublishedManifest
from hunyuan_runner.params import ClipOptions

T = TypeVar("T")
ViewT = TypeVar("ViewT", bound=BaseModel)

Action = Literal["cancel", "retry", "pause", "resume"]

EVENT_STREAM = "text/event-stream"
PAGE_SIZE = 100  # jobs


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str | float] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def from_byte(self, byte: int) -> Request:
        """The same request for the rest of a file, counted from 0."""
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={byte}-"} if byte else {})
        return replace(self, headers=headers)

    @property
    def options(self) -> dict[str, Any]:
        """Arguments for httpx."""
        return {
            "method": self.method,
            "url": self.path,
            "params": self.query,
            "json": self.body,
            "headers": self.headers,
        }


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how its answer is read."""

    request: Request
    read: Callable[[httpx.Response], T]
    repeatable: bool = True  # whether it does no harm to send it twice


def submit_job(prompt: str, options: ClipOptions, idempotency_key: str | None = None) -> Call[Job]:
    """The service recognises a repetition by its Idempotency-Key, by default a random one."""
    chosen = {name: value for name, value in options.items() if value is not None}
    headers = {"Idempotency-Key": idempotency_key or secrets.token_urlsafe(18)}
    body = {"prompt": prompt, **chosen}
    return Call(Request("POST", "/api/generate", body=body, headers=headers), _reading(Job))


def estimate(
    prompt: str | None, deadline_seconds: float | None, options: ClipOptions
) -> Call[Estimate]:
    given = {"prompt": prompt, "deadline_seconds": deadline_seconds, **options}
    body = {name: value for name, value in given.items() if value is not None}
    return Call(Request("POST", "/api/estimate", body=body), _reading(Estimate))


def get_job(job_id: str) -> Call[Job]:
    return Call(Request("GET", f"/api/status/{_segment(job_id)}"), _reading(Job))


def list_jobs(
    status: Status | None, limit: int | None, after: str | None, search: str | None
) -> Call[JobPage]:
    given = {"status": status, "limit": limit, "after": after, "search": search}
    query = {name: value for name, value in given.items() if value is not None}
    return Call(Request("GET", "/api/jobs", query=query), _reading(JobPage))


def change_job(job_id: str, action: Action) -> Call[Job]:
    request = Request("POST", f"/api/jobs/{_segment(job_id)}/{action}")
    return Call(request, _reading(Job), repeatable=False)


def cancel_jobs(status: Status | None) -> Call[Canceled]:
    request = Request("POST", "/api/jobs/cancel", query={"status": status} if status else {})
    return Call(request, _reading(Canceled), repeatable=False)


def delete_job(job_id: str) -> Call[None]:
    request = Request("DELETE", f"/api/jobs/{_segment(job_id)}")
    return Call(request, lambda _: None, repeatable=False)


def get_manifest(job_id: str) -> Call[PublishedManifest]:
    request = Request("GET", f"/api/jobs/{_segment(job_id)}/manifest")
    return Call(request, _reading(PublishedManifest))


def get_info() -> Call[Info]:
    return Call(Request("GET", "/api/info"), _reading(Info))


def get_capacity(target_wait_seconds: float | None) -> Call[Capacity]:
    given = {"target_wait_seconds": target_wait_seconds}
    query = {name: value for name, value in given.items() if value is not None}
    return Call(Request("GET", "/api/capacity", query=query), _reading(Capacity))


def events(job_id: str | None, last_id: str) -> Request:
    """The stream of a job or of all jobs, from now on or from after an event."""
    path = "/api/events" if job_id is None else f"/api/jobs/{_segment(job_id)}/events"
    headers = {"Accept": EVENT_STREAM} | ({"Last-Event-ID": last_id} if last_id else {})
    return Request("GET", path, headers=headers)


def read_event(sent: ServerSentEvent, response: httpx.Response) -> Event | None:
    """None for a kind of event that this client does not know. Raises UnexpectedAnswer."""
    try:
        match sent.name:
            case "state":
                return StateEvent(id=sent.id, job=Job.model_validate_json(sent.data))
            case "final":
                return FinalEvent(id=sent.id, job=Job.model_validate_json(sent.data))
            case "progress":
                progress = ProgressEvent.model_validate_json(sent.data)
                return progress.model_copy(update={"id": sent.id})
            case "preview":
                preview = PreviewEvent.model_validate_json(sent.data)
                return preview.model_copy(update={"id": sent.id})
    except ValidationError as error:
        raise unexpected(response) from error
    return None


def video(job_id: str) -> Request:
    """The MP4 of the clip."""
    return Request("GET", f"/api/videos/{_segment(job_id)}.mp4")


def draft(job_id: str) -> Request:
    """The MP4 of the draft."""
    return Request("GET", f"/api/jobs/{_segment(job_id)}/draft")


def _reading(view: type[ViewT]) -> Callable[[httpx.Response], ViewT]:
    def read(response: httpx.Response) -> ViewT:
        try:
            return view.model_validate_json(response.content)
        except ValidationError as error:
            raise unexpected(response) from error

    return read


def _segment(job_id: str) -> str:
    return quote(job_id, safe="", errors="replace")
