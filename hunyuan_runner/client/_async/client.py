"""The client: jobs are submitted, found and listed here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Self, Unpack

from hunyuan_runner.client import calls
from hunyuan_runner.client._async.job import AsyncJobHandle
from hunyuan_runner.client._async.service import AsyncService
from hunyuan_runner.client.address import DEFAULT_URL, Address
from hunyuan_runner.client.patience import DEFAULT_RETRIES, DEFAULT_TIMEOUT, Retry
from hunyuan_runner.client.views import Capacity, Estimate, Event, Info, JobPage, Status
from hunyuan_runner.params import ClipOptions


class AsyncHunyuanClient:
    """A client of one service. Open it with `async with`, or close it.

    `base_url` may be short: `localhost:3000` means http, `video.example.com` means https. The
    proxies of the environment are used, but never for this machine. `api_key` defaults to
    HUNYUAN_API_KEY. `timeout` is how many seconds a single answer may take. A request that fails
    for a reason that may pass (no connection, 429, 503) is sent again, up to `retries` times, when
    the service's Retry-After says or after pauses that double; `on_retry` is called before each.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        on_retry: Callable[[Retry], None] | None = None,
    ) -> None:
        address = Address.of(base_url)
        self.base_url = str(address.url)
        self._service = AsyncService(address, api_key, timeout, retries, on_retry)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._service.aclose()

    async def generate(
        self, prompt: str, *, idempotency_key: str | None = None, **options: Unpack[ClipOptions]
    ) -> AsyncJobHandle:
        """Queue a clip, and return its job. An option that is None is left to the service.

        The same `idempotency_key` and request are the same job: by default each call has its own
        key, so that a submission that is sent again is not queued twice.
        """
        call = calls.submit_job(prompt, options, idempotency_key)
        return AsyncJobHandle(self._service, await self._service.ask(call))

    async def estimate(
        self,
        prompt: str | None = None,
        *,
        deadline_seconds: float | None = None,
        **options: Unpack[ClipOptions],
    ) -> Estimate:
        """What a clip would take, and what to ask for if that is too much. Queues nothing.

        With `deadline_seconds`, counted from now, the proposed alternatives finish in time.
        """
        return await self._service.ask(calls.estimate(prompt, deadline_seconds, options))

    async def job(self, job_id: str) -> AsyncJobHandle:
        """A job that was submitted earlier. Raises ApiError if there is none."""
        return AsyncJobHandle(self._service, await self._service.ask(calls.get_job(job_id)))

    async def list(
        self,
        status: Status | None = None,
        limit: int | None = None,
        after: str | None = None,
        search: str | None = None,
    ) -> JobPage:
        """One page of jobs, newest first, with the words of `search` in their prompts."""
        return await self._service.ask(calls.list_jobs(status, limit, after, search))

    async def iterate(
        self, status: Status | None = None, search: str | None = None
    ) -> AsyncGenerator[AsyncJobHandle, None]:
        """All jobs, newest first, with the words of `search` in their prompts."""
        after = None
        while True:
            page = await self.list(status, calls.PAGE_SIZE, after, search)
            for job in page.jobs:
                yield AsyncJobHandle(self._service, job)
            if page.next is None:
                return
            after = page.next

    async def cancel_all(self, status: Status | None = None) -> int:
        """Cancel all of your jobs that wait, paused ones too, or those in one state.

        Returns how many it canceled.
        """
        total = 0
        while True:
            answer = await self._service.ask(calls.cancel_jobs(status))
            total += answer.canceled
            if not answer.has_more:
                return total

    def events(self) -> AsyncGenerator[Event, None]:
        """What happens to all of your jobs from now on, new ones included; it never ends."""
        return self._service.events()

    async def info(self) -> Info:
        """What the service is, what it can do, and where it runs."""
        return await self._service.ask(calls.get_info())

    async def capacity(self, target_wait_seconds: float | None = None) -> Capacity:
        """How much work is queued, and how many runners it needs.

        `target_wait_seconds` is how long a job may wait in the queue, by default as the service is
        set up.
        """
        return await self._service.ask(calls.get_capacity(target_wait_seconds))
