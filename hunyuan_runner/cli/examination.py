"""Whether a deployment works, seen from outside: one request of every kind, up to a clip.

What it submits it knows by its metadata, and deletes at the end, whatever happened before.
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
from hunyuan_runner.client import ApiError, HunyuanClient, HunyuanError, Job, JobHandle, calls
from hunyuan_runner.client.address import Address, authorization
from hunyuan_runner.client.errors import no_answer
from hunyuan_runner.client.sse import EventDecoder
from hunyuan_runner.client.views import ErrorBody, Info, JobPage, Model, Refusal, View
from hunyuan_runner.params import MIN_SIDE

TIMEOUT_SECONDS = 10.0  # of any one answer
EVENT_SECONDS = 10.0  # until the first one
PROMPT = "A red circle on a white background"
# As little as any model can be asked for that is still a video.
CLIP: dict[str, Any] = {"width": MIN_SIDE, "height": MIN_SIDE, "num_frames": 5} | {
    "num_inference_steps": 2,
    "seed": 7,
}
TO_CANCEL = {"draft_steps": 1}  # it waits there, so that it is not done before it is canceled
MARK = "hunyuan-check"  # in the metadata of what is submitted here
PAGE = 100  # jobs, the newest, among which ours are
ASSET = re.compile(r'(?:src|href)="(static/[^"]+)"')
ROUTES = ("/api/generate", "/api/status/{job_id}", "/api/jobs", "/api/videos/{job_id}.mp4")

ViewT = TypeVar("ViewT", bound=View)
# Shows the job as it gets on, while it is rendered.
Rendering = Callable[[], AbstractContextManager[Callable[[Job], None]]]


@dataclass(frozen=True)
class Outcome:
    """What became of one check; of one that failed or was skipped, why, and what to do."""

    name: str
    status: Literal["ok", "failed", "skipped"]
    milliseconds: float = 0.0
    expected: str = ""
    got: str = ""
    advice: str = ""


@dataclass(frozen=True)
class Report:
    outcomes: Sequence[Outcome]
    interrupted: bool

    @property
    def ok(self) -> bool:
        return not self.interrupted and all(outcome.status != "failed" for outcome in self.outcomes)


class Failed(Exception):
    """Something else came than what was expected."""

    def __init__(self, got: str, advice: str = "") -> None:
        self.got = got
        self.advice = advice


class Inapplicable(Exception):
    """This deployment has no such thing to check; the message says why."""


@dataclass(frozen=True)
class Deployment:
    """The service, as whoever has the key sees it and as a stranger does."""

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
        """Those of the newest jobs that were submitted here."""
        jobs = self.client.list(limit=PAGE).jobs
        return [job for job in jobs if job.metadata.get(MARK) == self.mark]


@dataclass(frozen=True)
class Check:
    """`run` raises Failed, or what the clients raise, unless what it gets is as expected."""

    name: str
    expected: str
    run: Callable[[Deployment], None]
    needs: tuple[str, ...] = ()  # names of checks without whose success it says nothing


def examine(url: str, api_key: str | None, *, wait: bool, rendering: Rendering) -> Report:
    """Check everything, with `wait` up to the finished clip; one failure stops what needs it only.

    Raises ServiceUnavailable where nothing answers at all.
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
        Check("health", "a worker that renders", _health),
        Check("index as JSON", "the list of routes", _index),
        Check("index as HTML", "a page with all it loads", _page("/")),
        Check("docs", "a page with all it loads", _page("/docs")),
        Check("openapi.json", "a document with the routes that clients use", _openapi),
        Check("access", "the list of jobs, with the key given or without any", _access),
        Check("no access", "401 without a key and with a wrong one", _no_access),
        Check("models", "a default model that is installed", _models, key),
        Check("info", "what the service is", _info, key),
        Check("bad request", "422 that names num_frames, and no job", _bad_request, key),
        Check("unknown job", "404", _unknown_job, key),
        Check("submit", "a job as asked for", _submit(more), key),
        Check("status", "the job that was submitted", _status, job),
        Check("events", f"the first one within {EVENT_SECONDS:.0f} s", _events, job),
        Check("list", "the job among the newest", _list, job),
        *(_to_the_clip() if wait else [Check("cancel", "a canceled job", _cancel, job)]),
        Check("delete", "no refusal", _delete, ("render" if wait else "cancel",)),
    ]


def _to_the_clip() -> list[Check]:
    clip = "H.264 as asked for, with the mark that it is AI-generated"
    return [
        Check("render", "a completed job", _render, ("submit", "health")),
        Check("download", "the video", _download, ("render",)),
        Check("file", clip, _file, ("download",)),
    ]


class _Ready(View):
    status: Literal["ok"]


def _probe(path: str) -> Callable[[Deployment], None]:
    def ask(deployment: Deployment) -> None:
        _read(deployment.http.get(path), _Ready)

    return ask


class _Health(View):
    status: str
    workers: int


def _health(deployment: Deployment) -> None:
    health = _read(deployment.http.get("/health"), _Health)
    if health.status != "ok":
        raise Failed(
            f"{health.status}, {health.workers} workers",
            "look into the log for why none is up; HUNYUAN_LOCAL_RUNNER=true starts one beside "
            "the front, `bentoml serve service:HunyuanRunner` one alone",
        )


class _Index(View):
    name: str
    routes: dict[str, str]


def _index(deployment: Deployment) -> None:
    index = _read(deployment.http.get("/", headers={"Accept": "application/json"}), _Index)
    if index.name != "hunyuan-runner":
        raise Failed(f"that of {index.name}")


def _page(path: str) -> Callable[[Deployment], None]:
    def load(deployment: Deployment) -> None:
        page = deployment.http.get(path, headers={"Accept": "text/html"})
        _require(page, 200)
        assets = ASSET.findall(page.text)
        if not assets:
            raise Failed(f"{_told(page)} that is another page", _advice(200))
        for asset in assets:
            _require(deployment.http.get(f"/{asset}"), 200)

    return load


class _OpenApi(View):
    paths: dict[str, dict[str, Any]]


def _openapi(deployment: Deployment) -> None:
    document = _read(deployment.http.get("/openapi.json"), _OpenApi)
    missing = [route for route in ROUTES if route not in document.paths]
    if missing:
        raise Failed(f"none with {', '.join(missing)}", _advice(200))


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
        raise Inapplicable("it asks for no key")
    if admitted:
        told = _told(answers[admitted[0]])
        raise Failed(f"{told} {admitted[0]}", "HUNYUAN_ALLOW_ANONYMOUS=true lets anybody in")


class _Models(View):
    models: tuple[Model, ...]


def _models(deployment: Deployment) -> None:
    models = _read(deployment.http.get("/api/models"), _Models).models
    if not any(model.default and model.installed for model in models):
        names = ", ".join(model.id for model in models if model.installed)
        advice = f"`{download_command('MODEL')}` fetches one, HUNYUAN_MODEL=… names it"
        raise Failed(f"installed: {names or 'none'}", advice)


def _info(deployment: Deployment) -> None:
    _read(deployment.http.get("/api/info"), Info)


def _bad_request(deployment: Deployment) -> None:
    body = {"prompt": PROMPT, "num_frames": 50, "metadata": {MARK: deployment.mark}}
    refusal = _refusal(deployment.http.post("/api/generate", json=body), 422)
    if refusal.param != "num_frames":
        raise Failed(f"422 that names {refusal.param}: {refusal.message}", _advice(422))
    if left := deployment.listed():
        raise Failed(f"422, and job {left[0].job_id}", _advice(422))


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
            raise Failed(f"one with {', '.join(other)}", _advice(202))

    return submit


def _status(deployment: Deployment) -> None:
    submitted = deployment.job.job
    seen = deployment.client.job(submitted.job_id).job
    if (seen.job_id, seen.params) != (submitted.job_id, submitted.params):
        raise Failed(f"job {seen.job_id}, {seen.params}", _advice(200))


def _events(deployment: Deployment) -> None:
    request = calls.events(deployment.job.id, last_id="").options
    buffered = (
        "something before the service may keep its answers back until they end: have it pass on "
        "every piece at once (nginx: proxy_buffering off)"
    )
    decoder = EventDecoder()
    deadline = time.monotonic() + EVENT_SECONDS
    try:
        with deployment.http.stream(**request, timeout=EVENT_SECONDS) as response:
            if response.status_code != 200:
                response.read()
            _require(response, 200)
            for chunk in response.iter_bytes():
                if any(event is not None for event in decoder.feed(chunk)):
                    return
                if time.monotonic() > deadline:
                    break
    except httpx.ReadTimeout:
        pass
    raise Failed("none", buffered)


def _list(deployment: Deployment) -> None:
    if deployment.job.id not in [job.job_id for job in deployment.listed()]:
        raise Failed(f"{PAGE} jobs or fewer without it", _advice(200))


def _cancel(deployment: Deployment) -> None:
    job = deployment.job.cancel()
    if job.status != "canceled":
        raise Failed(f"one that is {job.status}", _advice(200))


def _render(deployment: Deployment) -> None:
    with deployment.rendering() as show:
        deployment.job.wait(on_progress=show)


def _download(deployment: Deployment) -> None:
    deployment.job.download(deployment.video)


def _file(deployment: Deployment) -> None:
    from hunyuan_runner import media  # numpy comes with it: only where there is a file

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
        raise Failed(", ".join(other), "does something before the service convert its videos?")


def _delete(deployment: Deployment) -> None:
    deployment.job.delete()


def _clean_up(deployment: Deployment) -> None:
    job_ids = {handle.id for handle in deployment.submitted}
    with suppress(HunyuanError, httpx.RequestError):  # the check of the list has told of it
        job_ids |= {job.job_id for job in deployment.listed()}
    left = sorted(job_id for job_id in job_ids if not _gone(deployment, job_id))
    if left:
        raise Failed(f"left: {', '.join(left)}", f"hunyuan cancel {left[0]}, then hunyuan delete")


CLEAN_UP = Check("clean up", "none of its jobs left", _clean_up)


def _gone(deployment: Deployment, job_id: str) -> bool:
    """Whether there is no such job, now at the latest."""
    try:
        handle = deployment.client.job(job_id)
        if not handle.job.ended:
            with suppress(ApiError):  # it has ended meanwhile
                handle.cancel()
        handle.delete()
    except (HunyuanError, httpx.RequestError) as error:
        return isinstance(error, ApiError) and error.status == 404
    return True


def _read(response: httpx.Response, view: type[ViewT]) -> ViewT:
    """Raises Failed unless the answer is a 200 of this form."""
    _require(response, 200)
    try:
        return view.model_validate_json(response.content)
    except ValidationError as error:
        raise Failed(f"{_told(response)}: {error.errors()[0]['msg']}", _advice(200)) from error


def _refusal(response: httpx.Response, status: int) -> Refusal:
    _require(response, status)
    try:
        return ErrorBody.model_validate_json(response.content).error
    except ValidationError as error:
        raise Failed(_told(response), _advice(status)) from error


def _require(response: httpx.Response, status: int) -> None:
    if response.status_code != status:
        raise Failed(f"{_told(response)} from {response.url.path}", _advice_on(response))


def _told(response: httpx.Response) -> str:
    """An answer in a few words: those of the service, or what kind of thing it is."""
    try:
        error = ErrorBody.model_validate_json(response.content).error
    except ValidationError:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        return f"{response.status_code} {kind}".strip()
    return f"{response.status_code} {error.code}: {error.message}"


def _advice_on(response: httpx.Response) -> str:
    if response.has_redirect_location:
        return f"it sends you on: check {response.headers['Location']} instead"
    if response.is_server_error and (request_id := response.headers.get("X-Request-Id")):
        return f"the service's log says why, at request {request_id}"
    return _advice(response.status_code)


def _advice(status: int) -> str:
    match status:
        case 401:
            return "--api-key or HUNYUAN_API_KEY names your key"
        case 403:
            return "the message says who may be let in, and how"
        case 429:
            return "try again later, or raise HUNYUAN_RATE_LIMIT or HUNYUAN_MAX_QUEUED"
        case status if status >= 500:
            return "the log of the service, or of what is before it, says why"
    return "is it hunyuan-runner of this version, and does nothing before it change its answers?"
