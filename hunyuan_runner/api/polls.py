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

POLLED = re.compile(rf"(?:/api/status/|/v1/videos/|/generate/status\?task_id=)({JOB_ID_FORM})")
GOOD_FOR_SECONDS = 0.25  # as long as nothing happens: the ETA shrinks all the same
MAX_ANSWERS = 1000


@dataclass(frozen=True)
class _Answer:
    """What the app answers, and at what number of the journal that is true."""

    number: int
    until: float
    messages: asyncio.Task[list[Message]]
    asked: Scope  # to which the app has added its route


class Polls:
    """ASGI middleware: looking up a job and describing it costs a hundred times what telling that
    nothing has happened to any does."""

    def __init__(self, app: ASGIApp, pulse: Pulse) -> None:
        self._app = app
        self._pulse = pulse
        self._answers: dict[tuple[Caller, str], _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        target = _target(scope)
        polled = POLLED.fullmatch(target)
        if scope["method"] != "GET" or polled is None:
            return await self._app(scope, receive, send)
        # Felt first: what happens meanwhile comes after it.
        if (number := await self._pulse.feel(polled[1])) is None:
            return await self._app(scope, receive, send)
        answer = self._answer(scope, receive, number, target)
        messages = await asyncio.shield(answer.messages)  # others may wait for them, too
        scope["route"] = answer.asked.get("route")
        for message in messages:
            await send(_copy(message))

    def _answer(self, scope: Scope, receive: Receive, number: int, target: str) -> _Answer:
        """The one that is there or on its way, or what the app is asked for now."""
        key = scope["caller"], target
        now = time.monotonic()
        known = self._answers.get(key)
        if known is not None and known.number == number and now < known.until:
            return known
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        asked = asyncio.create_task(self._ask(scope, receive))
        answer = _Answer(number, now + GOOD_FOR_SECONDS, asked, scope)
        self._answers[key] = answer
        return answer

    async def _ask(self, scope: Scope, receive: Receive) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        return messages


def _target(scope: Scope) -> str:
    path: str = scope["path"]
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('latin-1')}" if query else path


def _copy(message: Message) -> Message:
    """Whoever passes it on may add headers of its own."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": list(message["headers"])}
