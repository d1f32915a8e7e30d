"""`hunyuan check`: test a deployment from outside with one request of every kind, up to a clip.

Its jobs carry a mark in their metadata and are deleted at the end, whatever happened before.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeVar

import httpx
from pydantic import ValidationError

from hunyuan_runner.catalogue import download_command
from hunyuan_runner.cli.outcomes import Failed, Inapplicable, Outcome
from hunyuan_runner.client import ApiError, HunyuanClient, HunyuanError, Job, JobHandle, calls
from hunyuan_runner.client.address import Address, authorization
from hunyuan_runner.client.errors import no_answer
from hunyuan_runner.client.sse import EventDecoder
from hunyuan_runner.client.views import JobPage
from hunyuan_runner.params import MIN_SIDE
from hunyuan_runner.wire import ErrorBody, ErrorDetail, Info, ModelList, Wire

TIMEOUT_SECONDS = 10.0  # for any one answer
EVENT_SECONDS = 10.0  # for the first event
PROMPT = "A red circle on a white background"
# The smallest video that every model can render.
CLIP: dict[str, Any] = {"width": MIN_SIDE, "height": MIN_SIDE, "num_frames": 5} | {
    "num_inference_steps": 2,
    "seed": 7,
}
TO_CANCEL = {"draft_steps": 1}  # it pauses there, so that it does not finish before it is canceled
MARK = "hunyuan-check"  # the metadata key of jobs submitted here
PAGE = 100  # newest jobs that are searched for ours
ASSET = re.compile(r'(?:src|href)="(?:[^"]*/)?(static/[^"]+)"')  # also below the path of a proxy
ROUTES = ("/api/generate", "/api/status/{job_id}", "/api/jobs", "/api/videos/{job_id}.mp4")

ViewT = TypeVar("ViewT", bound=Wire)
# Shows the progress of the job.
Rendering = Callable[[], AbstractContextManager[Callable[[Job], None]]]


@dataclass(frozen=True)
class Report:
    outcomes: Sequence[Outcome]
    interrupted: bool

    @property
    def ok(self) -> bool:
        return not self.interrupted and all(outcome.status != "failed" for outcome in self.outcomes)


@dataclass(frozen=True)
class Deployment:
    """The service, through clients with the key (`client`, `http`) and without (`stranger`)."""

    address: Address
    client: HunyuanClient
    http: httpx.Client
    stranger: httpx.Client
    rendering: Rendering
    folder: Path
    submitted: list[JobHandle] = field(default_factory=list)
    mark: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def job(self) -> JobHandle:
        return self.submitted[0]

    @property
    def video(self) -> Path:
        return self.folder / "clip.mp4"

    def listed(self) -> list[Job]:
        """The jobs submitted here, among the newest jobs."""
        jobs = self.client.list(limit=PAGE).jobs
        return [job for job in jobs if job.metadata.get(MARK) == self.mark]


@dataclass(frozen=True)
class Check:
    """A check. `run` raises Failed, or an error of the clients, unless all is as expected."""

    name: str
    expected: str
    run: Callable[[Deployment], None]
    needs: tuple[str, ...] = ()  # names of checks that must succeed first


def examine(url: str, api_key: str | None, *, wait: bool, rendering: Rendering) -> Report:
    """Run all checks, with `wait` up to the finished clip. A failure skips what depends on it.

    Raises ServiceUnavailable if nothing answers at all.
    """
    with _deployment(url, api_key, rendering) as deployment:
        try:
            deployment.http.get("/livez")
        except httpx.TransportError as error:
            raise no_answer(deployment.address, error) from error
        return _walk(deployment, _checks(wait))


@contextmanager
def _deployment(url: str, api_key: str | None, rendering: Rendering) -> Iterator[Deployment]:
    address, key = Address.of(url), authorization(api_key)
    with (
        HunyuanClient(url, api_key=api_key, timeout=TIMEOUT_SECONDS, retries=0) as client,
        httpx.Client(**address.options, headers=key, timeout=TIMEOUT_SECONDS) as http,
        httpx.Client(**address.options, timeout=TIMEOUT_SECONDS) as stranger,
        TemporaryDirectory() as folder,
    ):
        yield Deployment(address, client, http, stranger, rendering, Path(folder))


def _walk(deployment: Deployment, checks: Sequence[Check]) -> Report:
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        for check in checks:
            outcomes.append(_outcome(check, deployment, outcomes))
    except KeyboardInterrupt:
        interrupted = True
        left = checks[len(outcomes) :]
        outcomes += [Outcome(check.name, "skipped", got="interrupted") for check in left]
    outcomes.append(_outcome(CLEAN_UP, deployment, outcomes))
    return Report(outcomes, interrupted)


def _outcome(check: Check, deployment: Deployment, before: Sequence[Outcome]) -> Outcome:
    unmet = [seen.name for seen in before if seen.name in check.needs and seen.status != "ok"]
    if unmet:
        return Outcome(check.name, "skipped", got=f"needs {', '.join(unmet)}")
    started = time.perf_counter()
    try:
        failure = _failure(check, deployment)
    except Inapplicable as reason:
        return Outcome(check.name, "skipped", got=str(reason))
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    if failure is None:
        return Outcome(check.name, "ok", milliseconds)
    return Outcome(check.name, "failed", milliseconds, check.expected, failure.got, failure.advice)


def _failure(check: Check, deployment: Deployment) -> Failed | None:
    try:
        check.run(deployment)
    except Failed as failure:
        return failure
    except ApiError as error:
        return Failed(f"{error.status} {error.code}: {error}", _advice(error.status))
    except httpx.RequestError as error:
        return Failed(str(no_answer(deployment.address, error)))
    except (HunyuanError, OSError) as error:
        return Failed(str(error))
    return None


def _checks(wait: bool) -> list[Check]:
    key, job = ("access",), ("submit",)
    more = {} if wait else TO_CANCEL
    return [
        Check("live", "200 from /livez", _probe("/livez")),
        Check("ready", "200 from /readyz", _probe("/readyz")),
        Check("health", "a running worker", _health),
        Check("index as JSON", "the list of routes", _index),
        Check("index as HTML", "a page and all files it loads", _page("/")),
        Check("docs", "a page and all files it loads", _page("/docs")),
        Check("openapi.json", "a document with the routes that clients use", _openapi),
        Check("access", "the list of jobs, with the given key or without one", _access),
        Check("no access", "401 without a key and with a wrong one", _no_access),
        Check("models", "a default model that is installed", _models, key),
        Check("info", "a description of the service", _info, key),
        Check("bad request", "422 that names num_frames, and no new job", _bad_request, key),
        Check("unknown job", "404", _unknown_job, key),
        Check("submit", "a job with the requested settings", _submit(more), key),
        Check("status", "the job that was submitted", _status, job),
        Check("events", f"the first one within {EVENT_SECONDS:.0f} s", _events, job),
        Check("list", "the job among the newest ones", _list, job),
        *(_to_the_clip() if wait else [Check("cancel", "a canceled job", _cancel, job)]),
        Check("delete", "a deleted job", _delete, ("render" if wait else "cancel",)),
    ]


def _to_the_clip() -> list[Check]:
    clip = "H.264 with the requested settings, marked as AI-generated"
    return [
        Check("render", "a completed job", _render, ("submit", "health")),
        Check("download", "the video", _download, ("render",)),
        Check("file", clip, _file, ("download",)),
    ]


class _Ready(Wire):
    status: Literal["ok"]


def _probe(path: str) -> Callable[[Deployment], None]:
    def ask(deployment: Deployment) -> None:
        _read(deployment.http.get(path), _Ready)

    return ask


class _Health(Wire):
    status: str
    workers: int


def _health(deployment: Deployment) -> None:
    health = _read(deployment.http.get("/health"), _Health)
    if health.status == "disk_low":
        raise Failed("disk_low", "delete jobs that have ended, or other files on its disk")
    if health.status != "ok":
        raise Failed(
            f"{health.status}, {health.workers} workers",
            "find the reason in the log. HUNYUAN_LOCAL_RUNNER=true starts a runner next to the "
            "front, `bentoml serve service:HunyuanRunner` starts one alone",
        )


class _Index(Wire):
    name: str
    routes: dict[str, str]


def _index(deployment: Deployment) -> None:
    index = _read(deployment.http.get("/", headers={"Accept": "application/json"}), _Index)
    if index.name != "hunyuan-runner":
        raise Failed(f"the routes of {index.name}")


def _page(path: str) -> Callable[[Deployment], None]:
    def load(deployment: Deployment) -> None:
        page = deployment.http.get(path, headers={"Accept": "text/html"})
        _require(page, 200)
        assets = ASSET.findall(page.text)
        if not assets:
            raise Failed(f"{_summary(page)}, but another page", _advice(200))
        for asset in assets:
            _require(deployment.http.get(f"/{asset}"), 200)

    return load


class _OpenApi(Wire):
    paths: dict[str, dict[str, Any]]


def _openapi(deployment: Deployment) -> None:
    document = _read(deployment.http.get("/openapi.json"), _OpenApi)
    missing = [route for route in ROUTES if route not in document.paths]
    if missing:
        raise Failed(f"a document without {', '.join(missing)}", _advice(200))


def _access(deployment: Deployment) -> None:
    _read(deployment.http.get("/api/jobs", params={"limit": 1}), JobPage)


def _no_access(deployment: Deployment) -> None:
    wrong = {"Authorization": f"Bearer {deployment.mark}"}
    answers = {
        "without a key": deployment.stranger.get("/api/jobs"),
        "with a wrong key": deployment.stranger.get("/api/jobs", headers=wrong),
    }
    admitted = [how for how, answer in answers.items() if answer.status_code != 401]
    if len(admitted) == len(answers):
        raise Inapplicable("the service requires no key")
    if admitted:
        got = f"{_summary(answers[admitted[0]])} {admitted[0]}"
        raise Failed(got, "HUNYUAN_ALLOW_ANONYMOUS=true admits everyone: unset it")


def _models(deployment: Deployment) -> None:
    models = _read(deployment.http.get("/api/models"), ModelList).models
    if not any(model.default and model.installed for model in models):
        names = ", ".join(model.id for model in models if model.installed)
        advice = f"download one with `{download_command('MODEL')}`, name it with HUNYUAN_MODEL=…"
        raise Failed(f"installed: {names or 'none'}", advice)


def _info(deployment: Deployment) -> None:
    _read(deployment.http.get("/api/info"), Info)


def _bad_request(deployment: Deployment) -> None:
    body = {"prompt": PROMPT, "num_frames": 50, "metadata": {MARK: deployment.mark}}
    refusal = _refusal(deployment.http.post("/api/generate", json=body), 422)
    if refusal.param != "num_frames":
        raise Failed(f"422 that names {refusal.param}: {refusal.message}", _advice(422))
    if left := deployment.listed():
        raise Failed(f"422, but also job {left[0].job_id}", _advice(422))


def _unknown_job(deployment: Deployment) -> None:
    _refusal(deployment.http.get(f"/api/status/no-such-job-{deployment.mark}"), 404)


def _submit(more: dict[str, Any]) -> Callable[[Deployment], None]:
    def submit(deployment: Deployment) -> None:
        metadata = {MARK: deployment.mark}
        handle = deployment.client.generate(PROMPT, **CLIP, **more, metadata=metadata)
        deployment.submitted.append(handle)
        params = handle.job.params.model_dump()
        other = [f"{name} {params[name]}" for name, value in CLIP.items() if params[name] != value]
        if other:
            raise Failed(f"a job with {', '.join(other)}", _advice(202))

    return submit


def _status(deployment: Deployment) -> None:
    submitted = deployment.job.job
    seen = deployment.client.job(submitted.job_id).job
    if (seen.job_id, seen.params) != (submitted.job_id, submitted.params):
        raise Failed(f"job {seen.job_id}, {seen.params}", _advice(200))


def _events(deployment: Deployment) -> None:
    request = calls.events(deployment.job.id, last_id="").options
    buffered = (
        "a proxy may buffer answers until they are complete: turn that off "
        "(nginx: proxy_buffering off)"
    )
    decoder = EventDecoder()
    deadline = time.monotonic() + EVENT_SECONDS
    try:
        with deployment.http.stream(**request, timeout=EVENT_SECONDS) as response:
            if response.status_code != 200:
                response.read()
            _require(response, 200)
            for chunk in response.iter_bytes():
                if list(decoder.feed(chunk)):
                    return
                if time.monotonic() > deadline:
                    break
    except httpx.ReadTimeout:
        pass
    raise Failed("no event", buffered)


def _list(deployment: Deployment) -> None:
    if deployment.job.id not in [job.job_id for job in deployment.listed()]:
        raise Failed(f"the newest {PAGE} jobs without it", _advice(200))


def _cancel(deployment: Deployment) -> None:
    job = deployment.job.cancel()
    if job.status != "canceled":
        raise Failed(f"a job that is {job.status}", _advice(200))


def _render(deployment: Deployment) -> None:
    with deployment.rendering() as show:
        deployment.job.wait(on_progress=show)


def _download(deployment: Deployment) -> None:
    deployment.job.download(deployment.video)


def _file(deployment: Deployment) -> None:
    from hunyuan_runner import media  # imports numpy

    params = deployment.job.job.params
    asked = {name: getattr(params, name) for name in ("width", "height", "num_frames")}
    asked["fps"] = float(media.frame_rate(params.fps))
    try:
        found = media.probe(deployment.video)
    except media.MediaError as error:
        raise Failed(str(error)) from error
    other = [
        f"{name} {getattr(found, name)}"
        for name, value in ({"codec": "h264"} | asked).items()
        if getattr(found, name) != value
    ]
    if not media.AI_MARK.items() <= found.tags.items():
        other.append("no mark")
    if other:
        raise Failed(", ".join(other), "check whether a proxy converts videos")


def _delete(deployment: Deployment) -> None:
    deployment.job.delete()


def _clean_up(deployment: Deployment) -> None:
    job_ids = {handle.id for handle in deployment.submitted}
    with suppress(HunyuanError, httpx.RequestError):  # the check named list has reported it
        job_ids |= {job.job_id for job in deployment.listed()}
    left = sorted(job_id for job_id in job_ids if not _gone(deployment, job_id))
    if left:
        raise Failed(
            f"left: {', '.join(left)}", f"run hunyuan cancel {left[0]}, then hunyuan delete"
        )


CLEAN_UP = Check("clean up", "none of its jobs left", _clean_up)


def _gone(deployment: Deployment, job_id: str) -> bool:
    """Delete the job. Returns whether it is gone."""
    try:
        handle = deployment.client.job(job_id)
        if not handle.job.ended:
            with suppress(ApiError):  # it has just ended
                handle.cancel()
        handle.delete()
    except (HunyuanError, httpx.RequestError) as error:
        return isinstance(error, ApiError) and error.status == 404
    return True


def _read(response: httpx.Response, view: type[ViewT]) -> ViewT:
    """Parse an answer. Raises Failed unless it is a 200 of this form."""
    _require(response, 200)
    try:
        return view.model_validate_json(response.content)
    except ValidationError as error:
        raise Failed(f"{_summary(response)}: {error.errors()[0]['msg']}", _advice(200)) from error


def _refusal(response: httpx.Response, status: int) -> ErrorDetail:
    _require(response, status)
    try:
        return ErrorBody.model_validate_json(response.content).error
    except ValidationError as error:
        raise Failed(_summary(response), _advice(status)) from error


def _require(response: httpx.Response, status: int) -> None:
    if response.status_code != status:
        raise Failed(f"{_summary(response)} from {response.url.path}", _advice_on(response))


def _summary(response: httpx.Response) -> str:
    """An answer in a few words: the error of the service, or the type of its content."""
    try:
        error = ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return f"{response.status_code} {kind}".strip()
    return f"{response.status_code} {error.code}: {error.message}"


def _advice_on(response: httpx.Response) -> str:
    if response.has_redirect_location:
        return f"it redirects: check {response.headers['Location']} instead"
    if response.is_server_error and (request_id := response.headers.get("X-Request-Id")):
        return f"find request {request_id} in the log of the service"
    return _advice(response.status_code)


def _advice(status: int) -> str:
    match status:
        case 401:
            return "set your key with --api-key or HUNYUAN_API_KEY"
        case 403:
            return "the message says how to get access"
        case 429:
            return "try again later, or raise HUNYUAN_RATE_LIMIT or HUNYUAN_MAX_QUEUED"
        case status if status >= 500:
            return "find the reason in the log of the service or of its proxy"
    return "check that it is hunyuan-runner, of this version, and that no proxy changes its answers"
