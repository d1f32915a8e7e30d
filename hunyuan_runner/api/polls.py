"""Polls: the same question over and over, answered as before while nothing has happened."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunyuan_runner.api.requests import JOB_ID_FORM
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.pulse import Pulse

# A job is named by the path or by the query. They are looked at apart, as the router does: a path
# that holds an encoded question mark is another route.
POLLED_PATH = re.compile(rf"/(?:api/status|v1/videos)/({JOB_ID_FORM})")
TASK_STATUS_PATH = "/generate/status"
TASK_STATUS_QUERY = re.compile(rf"task_id=({JOB_ID_FORM})".encode())
GOOD_FOR_SECONDS = 0.25  # as long as nothing happens: the ETA shrinks all the same
MAX_ANSWERS = 1000


@dataclass(frozen=True)
class _Answer:
    """What the app answers, and at what number of the journal that is true."""

    number: int
    until: float
    messages: asyncio.Task[list[Message]]
    asked: Scope  # to which the app has added its route


@dataclass(frozen=True)
class _Question:
    """All of a request that its answer depends on."""

    caller: Caller
    path: str
    query: bytes
    base: str  # of the links in it


class Polls:
    """ASGI middleware: looking up a job and describing it costs a hundred times what telling that
    nothing has happened to any does."""

    def __init__(self, app: ASGIApp, pulse: Pulse) -> None:
        self._app = app
        self._pulse = pulse
        self._answers: dict[_Question, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        job_id = _polled_job(scope)
        if job_id is None:
            return await self._app(scope, receive, send)
        # Felt first: what happens meanwhile comes after it.
        if (number := await self._pulse.feel(job_id)) is None:
            return await self._app(scope, receive, send)
        answer = self._answer(scope, receive, number)
        messages = await asyncio.shield(answer.messages)  # others may wait for them, too
        scope["route"] = answer.asked.get("route")
        for message in messages:
            await send(_copy(message))

    def _answer(self, scope: Scope, receive: Receive, number: int) -> _Answer:
        """The one that is there or on its way, or what the app is asked for now."""
        question = _Question(scope["caller"], scope["path"], scope["query_string"], scope["base"])
        now = time.monotonic()
        known = self._answers.get(question)
        if known is not None and known.number == number and now < known.until:
            return known
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        asked = asyncio.create_task(self._ask(scope, receive))
        answer = _Answer(number, now + GOOD_FOR_SECONDS, asked, scope)
        self._answers[question] = answer
        return answer

    async def _ask(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages


def _polled_job(scope: Scope) -> str | None:
    """The id of the job that this request looks at, if it is a poll."""
    if scope["method"] != "GET":
        return None
    if scope["path"] == TASK_STATUS_PATH:
        asked = TASK_STATUS_QUERY.fullmatch(scope["query_string"])
        return asked[1].decode() if asked else None
    polled = POLLED_PATH.fullmatch(scope["path"])
    return polled[1] if polled else None


def _copy(message: Message) -> Message:
    """Whoever passes it on may add headers of its own."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": list(message["headers"])}
