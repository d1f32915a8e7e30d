"""The outermost layer of the service: what applies to every request, whatever route answers it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hunyuan_runner import logs, tracing
from hunyuan_runner.api.auth import Guard, client_address
from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.bodies import MAX_VALUES, overfull, with_body_read
from hunyuan_runner.api.document import DocumentedApp
from hunyuan_runner.api.errors import (
    INTERNAL,
    TOO_SLOW,
    ApiError,
    error_response,
    unavailable,
)
from hunyuan_runner.api.links import PREFIX_HEADER, base_of
from hunyuan_runner.api.polls import Polls
from hunyuan_runner.api.routes.events import encode
from hunyuan_runner.api.routes.metrics import LATENCY, REQUESTS
from hunyuan_runner.api.routes.webhooks import render
from hunyuan_runner.api.sessions import Sessions
from hunyuan_runner.api.tail import Tail
from hunyuan_runner.jobs.database import BUSY_SECONDS
from hunyuan_runner.jobs.opening import when_it_opens
from hunyuan_runner.jobs.unavailable import TOO_BUSY
from hunyuan_runner.jobs.webhooks import Sender
from hunyuan_runner.settings import Settings

# The start waits so long for the job store; after that, routes that need it answer 503.
OPENING_SECONDS = 5
ANSWER_SECONDS = 50  # until an answer has to begin
WRITERS_AT_ONCE = 8  # of 40 threads and 25 connections; a locked database blocks no more of them
READING_METHODS = ("GET", "OPTIONS")
READING_PATHS = ("/api/estimate", "/studio/quote")  # each is a POST that writes nothing
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
BENTOML_PATHS = ("/schema.json",)  # read by BentoML's client
QUIET_PATHS = ("/livez", "/readyz", "/healthz", "/metrics")  # requested all day by machines

# The headers of an answer that a page of another site may read, besides its type and length.
EXPOSED_HEADERS = [
    "Accept-Ranges",
    "Allow",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "openai-poll-after-ms",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
]

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}

log = logging.getLogger(__name__)


@dataclass
class _Exchange:
    """One request, and its answer so far."""

    scope: Scope
    request_id: str
    started: float = field(default_factory=time.perf_counter)
    status: int | None = None
    seconds: float = 0.0

    @property
    def route(self) -> str:
        """The template of the route. Paths contain ids, which would flood the metrics."""
        route = self.scope.get("route")
        return getattr(route, "path", "other")

    def answer(self, message: Message) -> None:
        """Record the head of the answer, and add the headers that every answer has."""
        self.status = message["status"]
        self.seconds = time.perf_counter() - self.started
        headers = MutableHeaders(scope=message)
        headers["X-Request-Id"] = self.request_id
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if PREFIX_HEADER in Headers(scope=self.scope):  # caches must tell prefixes apart
            headers.add_vary_header(PREFIX_HEADER)


class Front:
    """ASGI middleware around BentoML's app, which only answers for its schema."""

    def __init__(self, app: ASGIApp, api: DocumentedApp, settings: Settings) -> None:
        self._bentoml = app
        self._settings = settings
        self._api = api
        self._api.state.settings = settings
        self._api.openapi()  # built now and kept: later, other requests would wait for it
        self._app: ASGIApp = self._api
        self._at_the_end = AsyncExitStack()
        self._writers = asyncio.Semaphore(WRITERS_AT_ONCE)
        self._guard = self._api.state.guard = Guard(settings)
        self._http: ASGIApp = self._answer
        if settings.cors_origins:
            self._http = CORSMiddleware(
                self._answer,
                allow_origins=settings.cors_origins,
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._bentoml(scope, self._with_store(receive), send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:  # a websocket; BentoML refuses it
            await self._bentoml(scope, receive, send)

    def _with_store(self, receive: Receive) -> Receive:
        """Open the job store at the start, or as soon as possible, and close it at the end."""

        async def receive_on() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._opening = asyncio.create_task(self._open())
                await asyncio.wait({self._opening}, timeout=OPENING_SECONDS)
            else:
                self._opening.cancel()
                await self._at_the_end.aclose()
            return message

        return receive_on

    async def _open(self) -> None:
        """Wait until the job store can be opened; then answer from it, and send its webhooks."""
        tracing.configure_tracing(self._settings, "hunyuan-front")
        self._at_the_end.callback(tracing.stop_tracing)
        backend = await when_it_opens(lambda: Backend.open(self._settings))
        self._at_the_end.callback(backend.jobs.close)
        self._at_the_end.callback(backend.prompts.close)
        if self._settings.accepted_keys:
            secret = await asyncio.to_thread(backend.jobs.session_secret)
            self._guard.sessions = Sessions(secret, self._settings.accepted_keys)
        pulse = backend.jobs.pulse()
        self._at_the_end.callback(pulse.close)
        tail = Tail(backend.jobs, encode)
        _on_stop_signal(tail.close)
        sender = Sender(self._settings, backend.jobs, render)
        sender.start()
        self._at_the_end.push_async_callback(sender.stop)
        self._api.state.backend, self._api.state.tail = backend, tail
        self._app = Polls(self._api, pulse)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        given_id = Headers(scope=scope).get("X-Request-Id", "")
        request_id = given_id if VALID_REQUEST_ID.fullmatch(given_id) else secrets.token_hex(8)
        logs.REQUEST_ID.set(request_id)
        if tracing.is_on():
            tracing.CLIENT.set(Headers(scope=scope).get(tracing.TRACEPARENT))
        scope = dict(scope)  # the server's own scope must not change
        exchange = _Exchange(scope, request_id)

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                exchange.answer(message)
            await send(message)

        if trusted := self._settings.trusted_proxies:
            scope["client"] = client_address(scope, trusted), 0
        try:
            scope["caller"] = self._guard.admit(scope)
            scope["base"] = base_of(scope, self._settings)
            await self._in_time(scope, receive, send_on)
        except ApiError as refusal:
            await error_response(refusal, scope["path"])(scope, receive, send_on)
        except ClientDisconnect:
            log.info("client disconnected")
        except Exception:
            log.exception("request failed")
            if exchange.status is None:
                await error_response(INTERNAL, scope["path"])(scope, receive, send_on)
        finally:
            _record(exchange)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises ApiError if no answer begins within ANSWER_SECONDS."""
        limit = asyncio.timeout(ANSWER_SECONDS)

        async def send_on(message: Message) -> None:
            limit.reschedule(None)  # once begun, an answer may take as long as its reader needs
            await send(message)

        try:
            async with limit:
                await self._dispatch(scope, receive, send_on)
        except TimeoutError:
            if not limit.expired():
                raise
            raise unavailable(TOO_SLOW) from None

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # every route that answers GET answers HEAD
            receive, send = _head_only(send)
        if scope["query_string"].count(b"&") >= MAX_VALUES:
            raise overfull("parameters")
        app = self._bentoml if scope["path"] in BENTOML_PATHS else self._app
        receive = await with_body_read(scope, receive)
        if scope["method"] in READING_METHODS or scope["path"] in READING_PATHS:
            await app(scope, receive, send)
        else:
            async with self._turn_to_write():
                await app(scope, receive, send)

    @asynccontextmanager
    async def _turn_to_write(self) -> AsyncIterator[None]:
        """Wait until few enough others write, without taking a thread or connection from readers.

        Raises ApiError if that takes too long because the database is locked or slow.
        """
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._writers.acquire()
        except TimeoutError:
            raise unavailable(TOO_BUSY) from None
        try:
            yield
        finally:
            self._writers.release()


def _on_stop_signal(act: Callable[[], None]) -> None:
    """Call `act` on the signals that stop the server, in addition to the server's own handling.

    The end of the lifespan would be too late: the server first waits for all answers, and event
    streams do not end by themselves.
    """
    loop = asyncio.get_running_loop()
    server: dict[int, Any] = {
        number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
    }

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        server[number](number, frame)

    for number in server:
        signal.signal(number, handle)


def _head_only(send: Send) -> tuple[Receive, Send]:
    """For HEAD: the answer ends after its head, and what streams the body sees a disconnect."""
    answered = asyncio.Event()

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body"})
            answered.set()

    async def hang_up() -> Message:
        await answered.wait()
        return {"type": "http.disconnect"}

    return hang_up, send_head


def _record(exchange: _Exchange) -> None:
    method, route = exchange.scope["method"], exchange.route
    status = exchange.status or 499  # the client disconnected
    REQUESTS.labels(method, route, status).inc()
    LATENCY.labels(method, route).observe(exchange.seconds)
    if exchange.scope["path"] not in QUIET_PATHS:
        target = exchange.scope["raw_path"].decode("ascii", "backslashreplace")
        milliseconds = round(exchange.seconds * 1000, 1)
        facts = {"method": method, "path": target, "status": status, "milliseconds": milliseconds}
        facts["job_id"] = exchange.scope.get("path_params", {}).get("job_id")
        log.info("%s %s %d %.1f ms", method, target, status, milliseconds, extra=facts)
