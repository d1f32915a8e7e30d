"""The client that blocks until it has an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
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


class HunyuanClient:
    """One service. Use it as a context manager, or close it.

    `base_url` may be short: `localhost:3000` is http, and `video.example.com` https. Proxies are
    those of the environment, but never on the way to this machine.
    `api_key` is that of HUNYUAN_API_KEY by default; `timeout` is in seconds, of any one answer.
    What fails for now (the connection, 429, 503) is tried again, up to `retries` times, as the
    service's Retry-After says or after pauses that double; `on_retry` is told of it before.
    """

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
        self._http = httpx.Client(
            **address.options, headers=authorization(api_key), timeout=timeout
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def generate(
        self, prompt: str, *, idempotency_key: str | None = None, **params: Any
    ) -> JobHandle:
        """Queue a clip. `params` are the fields of GenerationRequest; None leaves one out."""
        call = calls.submit_job(prompt, params, idempotency_key)
        return JobHandle(self, self._ask(call))

    def estimate(
        self, prompt: str | None = None, *, deadline_seconds: float | None = None, **params: Any
    ) -> Estimate:
        """What a clip would take, and what to ask for if that is too much. Queues nothing.

        With `deadline_seconds`, counted from now, what is proposed is there in time.
        """
        return self._ask(calls.estimate(prompt, deadline_seconds, params))

    def job(self, job_id: str) -> JobHandle:
        """A job that was submitted before. Raises ApiError if there is none."""
        return JobHandle(self, self._ask(calls.get_job(job_id)))

    def list(
        self, status: Status | None = None, limit: int | None = None, after: str | None = None
    ) -> JobPage:
        """Some jobs, the newest first."""
        return self._ask(calls.list_jobs(status, limit, after))

    def iterate(self, status: Status | None = None) -> Iterator[Job]:
        """All jobs, the newest first."""
        return self._do(self._protocol.jobs(status))

    def cancel_all(self, status: Status = "pending") -> int:
        """End all of your jobs that are `pending`, or those `in_progress`; how many there were."""
        total = 0
        while True:
            answer = self._ask(calls.cancel_jobs(status))
            total += answer.canceled
            if not answer.has_more:
                return total

    def events(self) -> Iterator[Event]:
        """What happens to all of your jobs from now on, new ones included."""
        return self._do(self._protocol.events())

    def info(self) -> Info:
        return self._ask(calls.get_info())

    def _ask(self, call: Call[T]) -> T:
        return self._only(self._protocol.call(call))

    def _only(self, operation: Operation[T]) -> T:
        """What an operation gives that gives one thing."""
        (result,) = self._do(operation)
        return result

    def _do(self, operation: Operation[T]) -> Generator[T, None, None]:
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
                    outcome = wire.do(step)
                except httpx.TransportError as error:
                    step = operation.throw(error)
                else:
                    step = operation.send(outcome)
        except StopIteration:
            return
        finally:
            operation.close()
            wire.close()


class _Wire:
    """Does the steps of one operation."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._opened: httpx.Response | None = None

    def do(self, step: Step) -> httpx.Response | bytes | None:
        match step:
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case Send(request):
                return self._http.request(**request.options)
            case Open(request, options):
                self.close()
                self._opened = self._http.send(
                    self._http.build_request(**request.options | options), stream=True
                )
                if self._opened.is_error:
                    self._opened.read()
                self._chunks: Iterator[bytes] = self._opened.iter_bytes()
                return self._opened
            case Read():
                return next(self._chunks, b"")

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


class JobHandle:
    """A job of the service's; `job` is how it was last seen."""

    def __init__(self, client: HunyuanClient, job: Job) -> None:
        self.job = job
        self._client = client
        self._protocol = client._protocol

    def __repr__(self) -> str:
        return f"<JobHandle {self.id} {self.job.status}>"

    @property
    def id(self) -> str:
        return self.job.job_id

    def refresh(self) -> Job:
        """See how it is now."""
        return self._see(calls.get_job(self.id))

    def cancel(self) -> Job:
        """End it, queued or being rendered. Raises ApiError if it has ended."""
        return self._see(calls.change_job(self.id, "cancel"))

    def retry(self) -> Job:
        """Queue it again, failed or canceled; it goes on where it stopped."""
        return self._see(calls.change_job(self.id, "retry"))

    def pause(self) -> Job:
        """Have it wait, behind the step under way. Raises ApiError where it cannot."""
        return self._see(calls.change_job(self.id, "pause"))

    def resume(self) -> Job:
        """Queue it again, paused by somebody or for its draft; it goes on from exactly there."""
        return self._see(calls.change_job(self.id, "resume"))

    def delete(self) -> None:
        """Forget it and its files. Raises ApiError while it is rendered."""
        self._client._ask(calls.delete_job(self.id))

    def wait(
        self,
        on_progress: Callable[[Job], object] | None = None,
        timeout: float | None = None,
        *,
        until_paused: bool = False,
    ) -> Job:
        """The job, once it is completed; `on_progress` is shown it whenever something happened.

        A service that is gone for some minutes is waited for, and a paused job until somebody
        resumes it, but with `until_paused` it is returned. Raises JobFailed, WaitTimeout after
        `timeout` seconds, or ServiceUnavailable.
        """
        with closing(self._client._do(self._protocol.follow(self.id, timeout))) as seen:
            for job in seen:
                self.job = job
                if on_progress is not None:
                    on_progress(job)
                if until_paused and job.paused:
                    return job
        return protocol.completed(self.job)

    def events(self) -> Iterator[Event]:
        """How it is, then what happens to it, up to its FinalEvent."""
        for event in self._client._do(self._protocol.events(self.id)):
            self.job = self.job.after(event)
            yield event

    def download(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Fetch the MP4 to `path`, which appears only when it is complete.

        Raises FileExistsError where it is there and not to be overwritten.
        """
        return self._fetch(calls.video(self.id), path, overwrite)

    def download_draft(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """The same for its draft. Raises ApiError where it has none, or no longer."""
        return self._fetch(calls.draft(self.id), path, overwrite)

    def _fetch(self, file: Request, path: str | PathLike[str], overwrite: bool) -> Path:
        return self._client._only(self._protocol.download(file, Path(path), overwrite))

    def manifest(self) -> PublishedManifest:
        """All that the finished clip depends on. Raises ApiError while it is not completed."""
        return self._client._ask(calls.get_manifest(self.id))

    def _see(self, call: Call[Job]) -> Job:
        self.job = self._client._ask(call)
        return self.job
