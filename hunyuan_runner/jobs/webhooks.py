"""The sender of webhooks: posts the outbox's deliveries, signed by the rules of
https://www.standardwebhooks.com."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpcore
import httpx
from standardwebhooks import Webhook

from hunyuan_runner import __version__
from hunyuan_runner.jobs.deliveries import Attempt, Delivery, Outcome
from hunyuan_runner.jobs.job import Job
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.logs import about
from hunyuan_runner.network import AddressRefused, Network, is_public
from hunyuan_runner.settings import Settings
from hunyuan_runner.tracing import TRACEPARENT, begin

POLL_SECONDS = 1.0
BREATH_SECONDS = 0.05  # at least, between two looks at the outbox
CATCH_UP_SECONDS = 60.0
DELIVERIES_AT_ONCE = 128
STORE_THREADS = 4  # threads and connections for webhooks; the others are for requests
ATTEMPT_SECONDS = 10.0  # from looking up the name to the status
LONGEST_PAUSE_SECONDS = 4 * 3600.0
GIVE_UP_SECONDS = 24 * 3600.0
STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)

Headers = Sequence[tuple[bytes | str, bytes | str]]
T = TypeVar("T")
Render = Callable[[Delivery, Job, str | None], str]


class Sender:
    """Sends deliveries while `start`ed. Each front has one; they share the work."""

    def __init__(self, settings: Settings, jobs: Jobs, render: Render) -> None:
        """`render` writes the body of a delivery: its event and its job, for a public URL."""
        self._settings = settings
        self._jobs = jobs
        self._render = render
        self._outbox = jobs.outbox
        self._stopping = False
        self._catch_up_at = 0.0  # of time.monotonic()
        self._wake = asyncio.Event()  # something ended, or the sender is to stop
        self._under_way: dict[asyncio.Task[None], Delivery] = {}
        allow_private = settings.webhook_allow_private
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=Network(allows=None if allow_private else is_public),
        )

    def start(self) -> None:
        """Start sending in the current event loop."""
        self._threads = anyio.CapacityLimiter(STORE_THREADS)
        self._task = asyncio.create_task(self._send_until_stopped())

    async def stop(self) -> None:
        """Begin no more attempts, and give those under way a little time."""
        self._stopping = True
        self._wake.set()
        await self._task

    async def _send_until_stopped(self) -> None:
        while not self._stopping:
            self._wake.clear()
            await self._take_up()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
            await asyncio.sleep(BREATH_SECONDS)
        if self._under_way:
            _, cut_off = await asyncio.wait(self._under_way, timeout=STOP_SECONDS)
            for task in cut_off:  # it is sent again once its claim has run out
                task.cancel()
            await asyncio.gather(*cut_off, return_exceptions=True)
        await self._pool.aclose()

    async def _take_up(self) -> None:
        room = DELIVERIES_AT_ONCE - len(self._under_way)
        if room == 0:
            return
        try:
            attempts = await self._in_thread(self._claim, room, list(self._under_way.values()))
        except JobsUnavailable as error:
            logger.warning("could not look up webhooks, retrying: %s", error.reason)
            return
        except Exception:
            logger.exception("could not look up webhooks, retrying")
            return
        for attempt in attempts:
            task = asyncio.create_task(self._see_through(attempt))
            self._under_way[task] = attempt.delivery
            task.add_done_callback(self._end)

    def _claim(self, room: int, under_way: list[Delivery]) -> list[Attempt]:
        if (now := time.monotonic()) >= self._catch_up_at:
            self._outbox.catch_up()
            self._catch_up_at = now + CATCH_UP_SECONDS
        return self._outbox.claim(room, under_way)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        """Run what waits for the store in a thread."""
        return await anyio.to_thread.run_sync(work, *args, limiter=self._threads)

    def _end(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._wake.set()

    async def _see_through(self, attempt: Attempt) -> None:
        with about(attempt.job["id"], attempt.job["request_id"]):
            await self._attempt(attempt)

    async def _attempt(self, attempt: Attempt) -> None:
        delivery = attempt.delivery
        try:
            outcome = await self._send_traced(attempt)
        except Exception:
            logger.exception("webhook %s could not be sent", delivery.id)
            outcome = Outcome(error="something went wrong in the service; see its log")
        result = outcome.error or f"answered {outcome.status}"
        logger.info("webhook %s, attempt %d: %s", delivery.id, delivery.attempts, result)
        pause = pause_after(delivery.attempts, self._settings.webhook_retry_seconds)
        pause_ms = None if pause is None else int(pause * 1000)
        try:
            await self._in_thread(self._outbox.settle, attempt, outcome, pause_ms)
        except Exception:
            logger.exception(
                "webhook %s: could not write down the result; it is sent again", delivery.id
            )

    async def _send_traced(self, attempt: Attempt) -> Outcome:
        delivery = attempt.delivery
        which = {
            "job_id": attempt.job["id"],
            "event": delivery.event,
            "delivery_id": delivery.id,
            "attempt": delivery.attempts,
            "server.address": delivery.receiver,
        }
        span = begin("webhook", attempt.job["traceparent"], which, kind="client")
        try:
            outcome = await self._send(attempt, span.traceparent)
            if outcome.error is not None:
                span.fail(outcome.error)
            if outcome.status is not None:
                span.note(**{"http.response.status_code": outcome.status})
            return outcome
        finally:
            span.end()

    async def _send(self, attempt: Attempt, traceparent: str | None) -> Outcome:
        url = attempt.job["webhook_url"]
        content, headers = await self._in_thread(self._message, attempt)
        if traceparent is not None:
            headers = [*headers, (TRACEPARENT, traceparent)]
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return Outcome(status=await self._post(url, content, headers))
        except (TimeoutError, httpcore.TimeoutException):
            return Outcome(error="no answer in time")
        except (AddressRefused, httpcore.NetworkError) as error:
            return Outcome(error=str(error) or "the connection broke")
        except httpcore.ProtocolError:  # its words may come from the other side
            return Outcome(error="the answer is not HTTP")

    async def _post(self, url: str, content: bytes, headers: Headers) -> int:
        """The status of the answer. The body is not read, and no redirect is followed."""
        request = self._pool.stream("POST", url, headers=headers, content=content)
        async with request as response:
            return response.status

    def _message(self, attempt: Attempt) -> tuple[bytes, Headers]:
        """The body and its headers, signed for the job's owner."""
        delivery, row = attempt.delivery, attempt.job
        body = self._render(delivery, self._jobs.recall(row), self._settings.public_url)
        secret = self._jobs.signing_secret(row["owner"])
        now = datetime.now(UTC)
        return body.encode(), [
            ("Host", urlsplit(row["webhook_url"]).netloc),
            ("User-Agent", f"hunyuan-runner/{__version__}"),
            ("Content-Type", "application/json"),
            ("webhook-id", delivery.id),
            ("webhook-timestamp", str(int(now.timestamp()))),
            ("webhook-signature", Webhook(secret).sign(delivery.id, now, body)),
        ]


def pause_after(attempts: int, first_pause: float) -> float | None:
    """Seconds until the next attempt: twice as many each time, up to four hours, with some jitter.

    None once the pauses add up to a day. Attempts count and not hours, because nothing is attempted
    while no sender runs.
    """
    made = range(min(attempts, 100))
    pauses = [min(math.ldexp(first_pause, n), LONGEST_PAUSE_SECONDS) for n in made]
    if sum(pauses) > GIVE_UP_SECONDS:
        return None
    return pauses[-1] * random.uniform(0.8, 1.2)
