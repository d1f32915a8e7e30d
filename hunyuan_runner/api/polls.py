"""Polls: the same question over and over, answered as before while nothing has happened."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.pulse import Pulse

POLLED = re.compile(r"(?:/api/status/|/v1/videos/|/generate/status\?task_id=)([A-Za-z0-9_-]{1,64})")
GOOD_FOR_SECONDS = 0.25  # as long as nothing happens: the ETA shrinks all the same
MAX_ANSWERS = 1000


@dataclass(frozen=True)
class _Answer:
    """What the app answered, and when that was true."""

    number: int  # of the latest event then
    until: float
    route: Any
    messages: list[Message]


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
        key = scope["caller"], target
        answer = self._answers.get(key)
        if answer is None or answer.number != number or time.monotonic() > answer.until:
            answer = await self._ask(scope, receive, number)
            if answer.messages[0]["status"] == 200:
                self._remember(key, answer)
        scope["route"] = answer.route
        for message in answer.messages:
            await send(_copy(message))

    async def _ask(self, scope: Scope, receive: Receive, number: int) -> _Answer:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, receive, keep)
        until = time.monotonic() + GOOD_FOR_SECONDS
        return _Answer(number, until, scope.get("route"), messages)

    def _remember(self, key: tuple[Caller, str], answer: _Answer) -> None:
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        self._answers[key] = answer


def _target(scope: Scope) -> str:
    path: str = scope["path"]
    query: bytes = scope["query_string"]
    return f"{path}?{query.decode('latin-1')}" if query else path


def _copy(message: Message) -> Message:
    """Whoever passes it on may add headers of its own."""
    if message["type"] != "http.response.start":
        return message
    return {**message, "headers": list(message["headers"])}
