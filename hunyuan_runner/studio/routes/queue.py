"""The queue: jobs that wait, run, are paused, or ended badly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from hunyuan_runner.api.backend import FromBackend
from hunyuan_runner.api.requests import JobId
from hunyuan_runner.api.routes.events import FromTail
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.turns import Move
from hunyuan_runner.studio.queue import context
from hunyuan_runner.studio.rendering import render
from hunyuan_runner.studio.stream import Stream
from hunyuan_runner.studio.variations import approve

router = APIRouter()


class Action(StrEnum):
    """What the buttons of a card do."""

    APPROVE = "approve"
    CANCEL = "cancel"
    FIRST = "first"
    LATER = "later"
    PAUSE = "pause"
    REMOVE = "remove"
    RESUME = "resume"
    RETRY = "retry"
    SOONER = "sooner"


ACTIONS: Mapping[Action, Callable[[Jobs, str], object]] = {
    Action.APPROVE: approve,
    Action.CANCEL: Jobs.cancel,
    Action.FIRST: lambda jobs, job_id: jobs.move(job_id, Move.FIRST),
    Action.LATER: lambda jobs, job_id: jobs.move(job_id, Move.LATER),
    Action.PAUSE: Jobs.pause,
    Action.REMOVE: Jobs.delete,
    Action.RESUME: Jobs.resume,
    Action.RETRY: Jobs.retry,
    Action.SOONER: lambda jobs, job_id: jobs.move(job_id, Move.SOONER),
}


@router.get("/queue")
def queue(request: Request, backend: FromBackend) -> HTMLResponse:
    """The content of the panel."""
    return render(request, "queue/jobs.html", **context(backend.jobs))


@router.post("/queue/{job_id}/{action}")
def act(request: Request, job_id: JobId, action: Action, backend: FromBackend) -> HTMLResponse:
    """Do something with a job. The answer is the content of the panel after it."""
    ACTIONS[action](backend.jobs, job_id)
    return queue(request, backend)


@router.get("/events")
def events(request: Request, backend: FromBackend, tail: FromTail) -> Response:
    """The events of the page; see stream.py."""
    return Stream(request, backend, tail)
