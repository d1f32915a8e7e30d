"""What a caller holds of a job."""

from __future__ import annotations

import math
import time
from asyncio import sleep
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from inspect import isawaitable
from os import PathLike
from pathlib import Path

from hunyuan_runner.client import calls, notebook
from hunyuan_runner.client._async.service import AsyncService
from hunyuan_runner.client.calls import Call
from hunyuan_runner.client.errors import JobFailed, WaitTimeout
from hunyuan_runner.client.patience import Looks, Patience
from hunyuan_runner.client.views import Event, Job
from hunyuan_runner.manifest import PublishedManifest


class AsyncJobHandle:
    """One job; `job` is how it was when it was last looked at."""

    def __init__(self, service: AsyncService, job: Job) -> None:
        self.job = job
        self._service = service

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.job.status}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the clip, or the draft, to play. Blocks while it is fetched."""
        return notebook.html(self.job, self._service.address, self._service.headers)

    @property
    def id(self) -> str:
        return self.job.job_id

    async def refresh(self) -> Job:
        """Look at the job again."""
        return await self._see(calls.get_job(self.id))

    async def cancel(self) -> Job:
        """Cancel the job, queued or running. Raises ApiError if it has ended."""
        return await self._see(calls.change_job(self.id, "cancel"))

    async def retry(self) -> Job:
        """Queue a failed or canceled job again; it continues where it stopped."""
        return await self._see(calls.change_job(self.id, "retry"))

    async def pause(self) -> Job:
        """Pause the job, after the current step if it is denoising.

        Raises ApiError if it is neither queued nor denoising.
        """
        return await self._see(calls.change_job(self.id, "pause"))

    async def resume(self) -> Job:
        """Queue a paused job again; it continues exactly where it paused."""
        return await self._see(calls.change_job(self.id, "resume"))

    async def delete(self) -> None:
        """Delete the job and its files. Raises ApiError while it is running."""
        await self._service.ask(calls.delete_job(self.id))

    async def wait(
        self,
        on_progress: Callable[[Job], object] | None = None,
        timeout: float | None = None,
        *,
        until_paused: bool = False,
    ) -> Job:
        """Wait until the job has completed, and return it.

        `on_progress` is called with the job at every look: several times a second at first, then
        at least every five seconds. A service that is away for a few minutes is waited for. A
        paused job is waited for until somebody resumes it; with `until_paused` it is returned.
        Raises JobFailed, ServiceUnavailable, or WaitTimeout after `timeout` seconds.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout
        patience, looks = self._service.long_patience(deadline), Looks()
        while True:
            job = await self._see(calls.get_job(self.id), patience)
            if on_progress is not None:
                shown = on_progress(job)
                if isawaitable(shown):
                    await shown
            if job.status == "completed" or (until_paused and job.paused):
                return job
            if job.ended:
                raise JobFailed(job)
            left = deadline - time.monotonic()
            if left <= 0:
                raise WaitTimeout(job)
            await sleep(min(left, looks.pause_after(job)))

    async def events(self) -> AsyncGenerator[Event, None]:
        """The state of the job, then what happens to it, up to its FinalEvent.

        The connection stays open until then: close the generator to leave earlier.
        """
        async with aclosing(self._service.events(self.id)) as events:
            async for event in events:
                self.job = self.job.after(event)
                yield event

    async def download(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Save the MP4 at `path`, where it appears only when it is complete.

        Raises ApiError if the job has not completed, and FileExistsError if the file exists and
        `overwrite` is false.
        """
        return await self._service.download(calls.video(self.id), Path(path), overwrite)

    async def download_draft(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Save the draft of a paused job, like `download`. Raises ApiError if it has none."""
        return await self._service.download(calls.draft(self.id), Path(path), overwrite)

    async def manifest(self) -> PublishedManifest:
        """Everything the clip depends on. Raises ApiError if the job has not completed."""
        return await self._service.ask(calls.get_manifest(self.id))

    async def _see(self, call: Call[Job], patience: Patience | None = None) -> Job:
        self.job = await self._service.ask(call, patience)
        return self.job
