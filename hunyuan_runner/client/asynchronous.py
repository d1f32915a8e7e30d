"""The client whose calls are awaited."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from hunyuan_runner.client import calls, protocol
from hunyuan_runner.client.address import Address, authorization
from hunyuan_runner.client.calls import Call, Request
from hunyuan_runner.client.protocol import (
    Open,
    Operation,
    Pause,
    Protocol,
    Read,
    Result,
    Send,
    Step,
)
from hunyuan_runner.client.views import Estimate, Event, Info, Job, JobPage, Status
from hunyuan_runner.manifest import PublishedManifest

T = TypeVar("T")


class AsyncHunyuanClient:
    """As HunyuanClient, for `async with` and `await`."""

    def __init__(
        self,
        base_url: str = protocol.DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = protocol.DEFAULT_TIMEOUT,
        retries: int = protocol.DEFAULT_RETRIES,
        on_retry: Callable[[protocol.Retry], None] | None = None,
    ) -> None:
        address = Address.of(base_url)
        self.base_url = str(address.url)
        self._protocol = Protocol(address, retries, on_retry)
        self._http = httpx.AsyncClient(
            **address.options, headers=authorization(api_key), timeout=timeout
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def generate(
        self, prompt: str, *, idempotency_key: str | None = None, **params: Any
    ) -> AsyncJobHandle:
        """Queue a clip. `params` are the fields of GenerationRequest; None leaves one out."""
        call = calls.submit_job(prompt, params, idempotency_key)
        return AsyncJobHandle(self, await self._ask(call))

    async def estimate(
        self, prompt: str | None = None, *, deadline_seconds: float | None = None, **params: Any
    ) -> Estimate:
        """What a clip would take, and what to ask for if that is too much. Queues nothing.

        With `deadline_seconds`, counted from now, what is proposed is there in time.
        """
        return await self._ask(calls.estimate(prompt, deadline_seconds, params))

    async def job(self, job_id: str) -> AsyncJobHandle:
        """A job that was submitted before. Raises ApiError if there is none."""
        return AsyncJobHandle(self, await self._ask(calls.get_job(job_id)))

    async def list(
        self, status: Status | None = None, limit: int | None = None, after: str | None = None
    ) -> JobPage:
        """Some jobs, the newest first."""
        return await self._ask(calls.list_jobs(status, limit, after))

    def iterate(self, status: Status | None = None) -> AsyncIterator[Job]:
        """All jobs, the newest first."""
        return self._do(self._protocol.jobs(status))

    async def cancel_all(self, status: Status = "pending") -> int:
        """End all of your jobs that are `pending`, or those `in_progress`; how many there were."""
        total = 0
        while True:
            answer = await self._ask(calls.cancel_jobs(status))
            total += answer.canceled
            if not answer.has_more:
                return total

    def events(self) -> AsyncIterator[Event]:
        """What happens to all of your jobs from now on, new ones included."""
        return self._do(self._protocol.events())

    async def info(self) -> Info:
        return await self._ask(calls.get_info())

    async def _ask(self, call: Call[T]) -> T:
        return await self._only(self._protocol.call(call))

    async def _only(self, operation: Operation[T]) -> T:
        """What an operation gives that gives one thing."""
        (result,) = [only async for only in self._do(operation)]
        return result

    async def _do(self, operation: Operation[T]) -> AsyncGenerator[T, None]:
        """Take the operation's steps, and pass on what it is for."""
        wire = _Wire(self._http)
        try:
            step = next(operation)
            while True:
                if isinstance(step, Result):
                    yield step.value
                    step = next(operation)
                    continue
                try:
                    outcome = await wire.do(step)
                except httpx.TransportError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(outcome)
        except StopIteration:
            return
        finally:
            operation.close()
            await wire.close()


class _Wire:
    """Does the steps of one operation."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._opened: httpx.Response | None = None

    async def do(self, step: Step) -> httpx.Response | bytes | None:
        match step:
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case Send(request):
                return await self._http.request(**request.options)
            case Open(request, options):
                await self.close()
                self._opened = await self._http.send(
                    self._http.build_request(**request.options | options), stream=True
                )
                if self._opened.is_error:
                    await self._opened.aread()
                self._chunks: AsyncIterator[bytes] = self._opened.aiter_bytes()
                return self._opened
            case Read():
                return await anext(self._chunks, b"")

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()


class AsyncJobHandle:
    """A job of the service's; `job` is how it was last seen."""

    def __init__(self, client: AsyncHunyuanClient, job: Job) -> None:
        self._client = client
        self._protocol = client._protocol
        self.job = job

    def __repr__(self) -> str:
        return f"<AsyncJobHandle {self.id} {self.job.status}>"

    @property
    def id(self) -> str:
        return self.job.job_id

    async def refresh(self) -> Job:
        """See how it is now."""
        return await self._see(calls.get_job(self.id))

    async def cancel(self) -> Job:
        """End it, queued or being rendered. Raises ApiError if it has ended."""
        return await self._see(calls.change_job(self.id, "cancel"))

    async def retry(self) -> Job:
        """Queue it again, failed or canceled; it goes on where it stopped."""
        return await self._see(calls.change_job(self.id, "retry"))

    async def pause(self) -> Job:
        """Have it wait, behind the step under way. Raises ApiError where it cannot."""
        return await self._see(calls.change_job(self.id, "pause"))

    async def resume(self) -> Job:
        """Queue it again, paused by somebody or for its draft; it goes on from exactly there."""
        return await self._see(calls.change_job(self.id, "resume"))

    async def delete(self) -> None:
        """Forget it and its files. Raises ApiError while it is rendered."""
        await self._client._ask(calls.delete_job(self.id))

    async def wait(
        self,
        on_progress: Callable[[Job], object] | None = None,
        timeout: float | None = None,
        *,
        until_paused: bool = False,
    ) -> Job:
        """As JobHandle.wait; `on_progress` may be awaitable or not."""
        async with aclosing(self._client._do(self._protocol.follow(self.id, timeout))) as seen:
            async for job in seen:
                self.job = job
                shown = on_progress(job) if on_progress is not None else None
                if inspect.isawaitable(shown):
                    await shown
                if until_paused and job.paused:
                    return job
        return protocol.completed(self.job)

    async def events(self) -> AsyncIterator[Event]:
        """How it is, then what happens to it, up to its FinalEvent."""
        async with aclosing(self._client._do(self._protocol.events(self.id))) as told:
            async for event in told:
                self.job = self.job.after(event)
                yield event

    async def download(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Fetch the MP4 to `path`, which appears only when it is complete.

        Raises FileExistsError where it is there and not to be overwritten.
        """
        return await self._fetch(calls.video(self.id), path, overwrite)

    async def download_draft(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """The same for its draft. Raises ApiError where it has none, or no longer."""
        return await self._fetch(calls.draft(self.id), path, overwrite)

    async def _fetch(self, file: Request, path: str | PathLike[str], overwrite: bool) -> Path:
        return await self._client._only(self._protocol.download(file, Path(path), overwrite))

    async def manifest(self) -> PublishedManifest:
        """All that the finished clip depends on. Raises ApiError while it is not completed."""
        return await self._client._ask(calls.get_manifest(self.id))

    async def _see(self, call: Call[Job]) -> Job:
        self.job = await self._client._ask(call)
        return self.job
