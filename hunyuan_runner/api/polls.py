"""Answers repeated polls of a job from memory, as long as nothing has happened to it."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunyuan_runner.api.requests import JOB_ID_FORM
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.pulse import Pulse

# The path or the query names the job. They are matched separately, as the router does: a path with
# an encoded question mark is another route.
POLLED_PATH = re.compile(rf"/(?:api/status|v1/videos)/({JOB_ID_FORM})")
TASK_STATUS_PATH = "/generate/status"
TASK_STATUS_QUERY = re.compile(rf"task_id=({JOB_ID_FORM})".encode())
GOOD_FOR_SECONDS = 0.25  # even if nothing happens, because the ETA shrinks
MAX_ANSWERS = 1000


@dataclass(frozen=True)
class _Answer:
    """An answer of the app, and the number of the journal that it is valid for."""

    number: int
    until: float
    messages: asyncio.Task[list[Message]]
    asked: Scope  # the app adds its route to this


@dataclass(frozen=True)
class _Question:
    """Everything in a request that the answer depends on."""

    caller: Caller
    path: str
    query: bytes
    base: str  # of the links in the answer


class Polls:
    """ASGI middleware. To see that nothing has happened to a job costs a hundredth of what it costs
    to look the job up and describe it."""

    def __init__(self, app: ASGIApp, pulse: Pulse) -> None:
        self._app = app
        self._pulse = pulse
        self._answers: dict[_Question, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        job_id = _polled_job(scope)
        if job_id is None:
            return await self._app(scope, receive, send)
        # Before the answer is made, so that what happens meanwhile has a higher number.
        if (number := await self._pulse.feel(job_id)) is None:
            return await self._app(scope, receive, send)
        answer = self._answer(scope, receive, number)
        messages = await asyncio.shield(answer.messages)  # other requests may wait for it, too
        scope["route"] = answer.asked.get("route")  # for metrics, and the job's id for the log
        scope["path_params"] = {"job_id": job_id}
        for message in messages:
            await send(_copy(message))

    def _answer(self, scope: Scope, receive: Receive, number: int) -> _Answer:
        """The answer that is known or under way, or else a new one from the app."""
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
    """The id of the job that this request polls; None if it is no poll."""
    if scope["method"] != "GET":
        return None
    if scope["path"] == TASK_STATUS_PATH:
        asked = TASK_STATUS_QUERY.fullmatch(scope["query_string"])
        return asked[1].decode() if asked else None
    polled = POLLED_PATH.fullmatch(scope["path"])
    return polled[1] if polled else None


def _copy(message: Message) -> Message:
    """A copy, because the layers above add headers to what they pass on."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": list(message["headers"])}
