"""Requests to one service: asked again while that may help, streamed, downloaded."""

from __future__ import annotations

import math
import os
import secrets
from asyncio import sleep
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from hunyuan_runner.client import calls
from hunyuan_runner.client.address import Address, authorization
from hunyuan_runner.client.calls import Call, Request
from hunyuan_runner.client.errors import HunyuanError, no_answer, refusal, unexpected
from hunyuan_runner.client.patience import (
    DOWNLOAD_TRIES,
    LONGEST_PAUSE,
    SILENCE_SECONDS,
    Patience,
    Retry,
)
from hunyuan_runner.client.sse import EventDecoder
from hunyuan_runner.client.views import Event, FinalEvent

STREAM_SILENCE_SECONDS = 35.0  # the service sends a ping every 15 s
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

T = TypeVar("T")


class AsyncService:
    """One service, and the connections to it."""

    def __init__(
        self,
        address: Address,
        api_key: str | None,
        timeout: float,
        retries: int,
        on_retry: Callable[[Retry], None] | None,
    ) -> None:
        self.address = address
        self._retries = retries
        self._on_retry = on_retry or (lambda _: None)
        self._stream_timeout = httpx.Timeout(timeout, read=STREAM_SILENCE_SECONDS)
        self._http = httpx.AsyncClient(
            **address.options, headers=authorization(api_key), timeout=timeout
        )

    @property
    def headers(self) -> httpx.Headers:
        """Sent with every request; they contain the API key."""
        return self._http.headers

    async def aclose(self) -> None:
        await self._http.aclose()

    async def ask(self, call: Call[T], patience: Patience | None = None) -> T:
        """The answer to a call. Raises HunyuanError when the patience ends.

        A call that must not be made twice is not repeated if it may have arrived.
        """
        patience = patience or Patience(self._on_retry, tries=self._retries)
        while True:
            try:
                response = await self._http.request(**call.request.options)
            except httpx.TransportError as cause:
                error: HunyuanError = no_answer(self.address, cause)
                may_have_arrived = not isinstance(cause, NEVER_SENT)
            else:
                if not response.is_error:
                    patience.succeed()
                    return call.read(response)
                error = refusal(response)
                may_have_arrived = response.status_code in (502, 504)  # from a gateway
            if may_have_arrived and not call.repeatable:
                raise error
            await sleep(patience.pause_after(error))

    async def events(self, job_id: str | None = None) -> AsyncGenerator[Event, None]:
        """The events of a job until its end, or of all jobs; a broken stream is resumed.

        Raises ApiError if there is no such job.
        """
        decoder = EventDecoder()
        patience = self.long_patience()
        while True:
            request = calls.events(job_id, decoder.last_id)
            try:
                async with self._open(request, timeout=self._stream_timeout) as response:
                    if response.status_code == 204:  # nothing is left to come
                        return
                    kind = response.headers.get("Content-Type", "")
                    if not kind.startswith(calls.EVENT_STREAM):
                        raise unexpected(response)
                    patience.succeed()
                    decoder.reconnect()
                    async for chunk in response.aiter_bytes():
                        for sent in decoder.feed(chunk):
                            event = calls.read_event(sent, response)
                            if event is not None:
                                yield event
                            if isinstance(event, FinalEvent) and job_id is not None:
                                return
                pause = min(decoder.retry_seconds, LONGEST_PAUSE)
            except HunyuanError as error:
                pause = patience.pause_after(error)
            await sleep(pause)

    async def download(self, file: Request, path: Path, overwrite: bool) -> Path:
        """Save a file at `path`, where it appears only when it is complete.

        A broken download continues where it broke: these files never change. Raises
        FileExistsError if there is a file, before or after the download, that must stay.
        """
        _require_absent(path, overwrite)
        # A random name: two downloads to the same path must not mix.
        part = path.with_name(f".hunyuan-{secrets.token_hex(8)}.part")
        patience = Patience(self._on_retry, tries=DOWNLOAD_TRIES)
        try:
            while True:
                try:
                    await self._append(file, part, patience)
                    break
                except HunyuanError as error:
                    await sleep(patience.pause_after(error))
            _require_absent(path, overwrite)
            return part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    async def _append(self, file: Request, part: Path, patience: Patience) -> None:
        """Write to `part` what it lacks of the file."""
        size = part.stat().st_size if part.exists() else 0
        # It may be in a bucket, to which httpx does not send the key.
        async with self._open(file.from_byte(size), follow_redirects=True) as response:
            with part.open("ab" if response.status_code == 206 else "wb") as written:
                # httpx raises an error if fewer bytes come than Content-Length says.
                async for chunk in response.aiter_bytes():
                    written.write(chunk)
                    patience.succeed()

    def long_patience(self, deadline: float = math.inf) -> Patience:
        """For what is followed until it ends, through a restart of the service."""
        return Patience(self._on_retry, seconds=SILENCE_SECONDS, deadline=deadline)

    @asynccontextmanager
    async def _open(self, request: Request, **options: Any) -> AsyncIterator[httpx.Response]:
        """An answer, to be read inside the `with`. Raises HunyuanError for a refusal or a break."""
        try:
            async with self._http.stream(**request.options, **options) as response:
                if response.is_error:
                    await response.aread()
                    raise refusal(response)
                yield response
        except httpx.TransportError as cause:
            raise no_answer(self.address, cause) from cause


def _require_absent(path: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path} exists already")
