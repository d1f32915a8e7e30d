"""Both Python clients against servers that are down, busy, or answer nonsense."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from hunyuan_runner.client import (
    ApiError,
    Job,
    Retry,
    ServiceUnavailable,
    UnexpectedAnswer,
    patience,
)
from hunyuan_runner.client.sse import EventDecoder, ServerSentEvent
from tests.client.conftest import Clients, View, hasty
from tests.conftest import SHORT, Service
from tests.stub_server import reply, serving

VIDEO = bytes(range(256)) * 4000


class Script:
    """Gives the next of its answers to each request, and records the requests."""

    def __init__(self, *answers: Callable[[BaseHTTPRequestHandler], None]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.answers.pop(0)(request)


def answer(body: Any, status: int = 200, **headers: str) -> Callable[..., None]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda request: reply(request, content, status, **headers)


def stream(*events: tuple[str, str, dict[str, Any]]) -> Callable[..., None]:
    """Send these events, then close the connection."""
    sent = "".join(f"event: {n}\nid: {i}\ndata: {json.dumps(d)}\n\n" for n, i, d in events)

    def serve(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        request.wfile.write(sent.encode())

    return serve


def hang_up(request: BaseHTTPRequestHandler) -> None:
    """Read the request, and close the connection without an answer."""
    request.rfile.read(int(request.headers.get("Content-Length", 0)))
    request.close_connection = True


def refused(code: str = "c") -> dict[str, Any]:
    return {"error": {"code": code, "message": f"refused: {code}", "param": None}}


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "localhost:1", "http://[", "ftp://x"])
def test_the_error_names_the_address_if_no_service_is_there(clients: Clients, url: str) -> None:
    with pytest.raises(ServiceUnavailable) as error, clients(url, retries=0) as client:
        client.info()
    assert url in str(error.value)


@hasty
def test_the_pause_doubles_with_each_try(clients: Clients) -> None:
    tried: list[Retry] = []
    with (
        pytest.raises(ServiceUnavailable),
        clients("http://127.0.0.1:1", retries=3, on_retry=tried.append) as client,
    ):
        client.info()
    assert [retry.failures for retry in tried] == [1, 2, 3]
    assert all(isinstance(retry.error, ServiceUnavailable) for retry in tried)
    pauses = [retry.pause for retry in tried]
    assert pauses[0] <= 0.01 < pauses[2] <= 0.04


def test_an_impossible_address_is_tried_once(clients: Clients) -> None:
    tried: list[Retry] = []
    with pytest.raises(ServiceUnavailable), clients("ftp://x", on_retry=tried.append) as client:
        client.info()
    assert tried == []


@pytest.mark.parametrize("body", [b"<h1>It works!</h1>", b"{}", b"[]", b"\xff"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_another_kind_of_server_is_recognised(clients: Clients, status: int, body: bytes) -> None:
    with (
        serving(lambda request: reply(request, body, status)) as url,
        clients(url) as client,
        pytest.raises(UnexpectedAnswer, match="Is it hunyuan-runner"),
    ):
        client.info()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<h1>Bad Gateway</h1>", "Service Unavailable"),
        (b'{"error": {"code": "c", "message": "The disk is full"}}', "The disk is full"),
    ],
    ids=["gateway", "service"],
)
@hasty
def test_a_service_that_cannot_answer_now_is_unavailable(
    clients: Clients, body: bytes, reason: str
) -> None:
    with (
        serving(lambda request: reply(request, body, 503)) as url,
        clients(url, retries=2) as client,
        pytest.raises(ServiceUnavailable, match=reason),
    ):
        client.info()


def test_new_fields_of_a_newer_service_are_ignored(clients: Clients, view: View) -> None:
    newer = view(new=1)
    newer["params"] = newer["params"] | {"new": 2}
    with serving(answer(newer)) as url, clients(url) as client:
        job = client.job("x").job
    assert json.loads(job.model_dump_json()) == newer
    assert job.status == "completed"


def test_an_older_service_has_no_warnings(clients: Clients, view: View) -> None:
    older = view()
    del older["warnings"]
    with serving(answer(older)) as url, clients(url) as client:
        assert client.job("x").job.warnings == ()


@pytest.mark.parametrize("status", [429, 503])
def test_the_client_waits_as_long_as_retry_after_says(
    clients: Clients, view: View, status: int
) -> None:
    script = Script(
        answer(refused(), status, Retry_After="0"),
        answer(refused(), status, Retry_After="1"),
        answer(view(), 202),
    )
    tried: list[Retry] = []
    with serving(script) as url, clients(url, on_retry=tried.append) as client:
        assert client.generate("A cat").id == view()["job_id"]
    assert [retry.pause for retry in tried] == [0, 1]
    assert script.asked == ["POST /api/generate"] * 3


@pytest.mark.parametrize("retry_after", ["3600", "Wed, 21 Oct 2037 07:28:00 GMT"])
@hasty
def test_the_client_does_not_wait_for_hours_or_forever(clients: Clients, retry_after: str) -> None:
    script = Script(*[answer(refused(), 429, Retry_After=retry_after)] * 3)
    with (
        serving(script) as url,
        clients(url, retries=2) as client,
        pytest.raises(ApiError, match="refused: c") as refusal,
    ):
        client.info()
    assert refusal.value.status == 429
    assert refusal.value.retry_after == (3600 if retry_after == "3600" else None)
    assert len(script.asked) == (1 if retry_after == "3600" else 3)


@hasty
def test_a_submission_whose_answer_was_lost_is_one_job(clients: Clients, service: Service) -> None:
    answers: list[dict[str, Any]] = []
    keys: list[str] = []

    def lose_the_first_answer(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        keys.append(request.headers["Idempotency-Key"])
        headers = {name: request.headers[name] for name in ("Content-Type", "Idempotency-Key")}
        url = f"{service.url}{request.path}"
        got = httpx.post(url, content=body, headers=headers, timeout=30)
        answers.append(got.json())
        if len(answers) == 1:
            request.close_connection = True
        else:
            reply(request, got.content, got.status_code)

    with serving(lose_the_first_answer) as url, clients(url) as client:
        first = client.generate(**SHORT)
        second = client.generate(**SHORT)
    assert [job["job_id"] for job in answers] == [first.id, first.id, second.id]
    assert keys[0] == keys[1] != keys[2]
    assert first.id != second.id
    for job_id in (first.id, second.id):
        httpx.post(f"{service.url}/api/jobs/{job_id}/cancel", timeout=30)


@pytest.mark.parametrize("act", ["cancel", "retry", "pause", "resume", "delete"])
@hasty
def test_an_action_that_may_have_happened_is_not_repeated(
    clients: Clients, view: View, act: str
) -> None:
    script = Script(answer(view()), hang_up)
    with (
        serving(script) as url,
        clients(url) as client,
        pytest.raises(ServiceUnavailable),
    ):
        getattr(client.job("x"), act)()
    assert len(script.asked) == 2


@hasty
def test_an_action_that_was_refused_for_now_is_repeated(clients: Clients, view: View) -> None:
    script = Script(answer(view()), answer(refused(), 503), answer(view(status="canceled")))
    with serving(script) as url, clients(url) as client:
        assert client.job("x").cancel().status == "canceled"


def test_the_key_is_sent_with_every_request(
    clients: Clients, view: View, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HUNYUAN_API_KEY", "of the environment")
    for options, key in (({}, "of the environment"), ({"api_key": "given"}, "given")):
        script = Script(answer(view()), answer(view()), answer(VIDEO))
        with serving(script) as url, clients(url, **options) as client:
            handle = client.generate("A cat")
            handle.wait()
            handle.download(tmp_path / "clip.mp4")
        assert [headers["authorization"] for headers in script.headers] == [f"Bearer {key}"] * 3


def test_without_a_key_no_authorization_is_sent(clients: Clients, view: View) -> None:
    script = Script(answer(view()))
    with serving(script) as url, clients(url) as client:
        client.job("x")
    assert "authorization" not in script.headers[0]


@hasty
def test_a_wait_outlives_a_service_that_is_gone(clients: Clients, view: View) -> None:
    running = [view(status="in_progress", stage="denoising", step=step) for step in range(2)]
    away = (hang_up, answer(b"", 502), answer(refused(), 429))
    script = Script(*map(answer, (running[0], *running)), *away, answer(view()))
    seen: list[Job] = []
    tried: list[Retry] = []
    with serving(script) as url, clients(url, retries=0, on_retry=tried.append) as client:
        assert client.job("x").wait(on_progress=seen.append).status == "completed"
    assert [(job.status, job.step) for job in seen[:2]] == [("in_progress", 0), ("in_progress", 1)]
    assert [job.status for job in seen[2:]] == ["completed"]
    assert [retry.failures for retry in tried] == [1, 2, 3]
    assert set(script.asked[1:]) == {f"GET /api/status/{view()['job_id']}"}  # and no stream


def test_a_wait_for_a_service_that_stays_away_ends_in_time(clients: Clients, view: View) -> None:
    script = Script(answer(view()), hang_up)
    with serving(script) as url, clients(url) as client:
        handle = client.job("x")
        with pytest.raises(ServiceUnavailable):
            handle.wait(timeout=0.2)
    assert len(script.asked) == 2


@pytest.mark.parametrize(
    ("expected", "pauses"),
    [
        (0.1, [0.2, 0.2, 0.2]),
        (10, [0.3, 0.45, 0.5]),
        (36_000, [0.3, 0.45, 0.675]),
        (None, [0.3, 0.45, 0.675]),
    ],
)
def test_a_job_is_looked_at_as_often_as_its_end_is_near(
    view: View, expected: float | None, pauses: list[float]
) -> None:
    eta = expected and {"low": 0, "expected": expected, "high": expected}
    job, looks = Job.model_validate(view(eta_seconds=eta)), patience.Looks()
    assert [looks.pause_after(job) for _ in pauses] == pytest.approx(pauses)
    many = [looks.pause_after(job) for _ in range(20)]
    assert many[-1] == pytest.approx(min(patience.LONGEST_LOOK, max(0.2, (expected or 1e9) / 20)))


@hasty
def test_events_update_the_job_of_their_handle(clients: Clients, view: View) -> None:
    job_id = view()["job_id"]
    running = view(status="in_progress", stage="denoising", step=1)
    progress = {"job_id": job_id, "stage": "denoising", "step": 2, "num_inference_steps": 2}
    progress |= {"progress": 0.5, "eta_seconds": {"low": 1, "expected": 2, "high": 3}}
    preview = {"job_id": job_id, "preview_url": "/a picture"}
    script = Script(
        answer(running),
        stream(("state", "7", running), ("progress", "8", progress), ("preview", "9", preview)),
        stream(("news", "10", {}), ("final", "11", view())),
    )
    seen: list[Job] = []
    with serving(script) as url, clients(url) as client:
        handle = client.job("x")
        for event in handle.events():
            seen.append(handle.job)
            assert event.job_id == job_id
    assert [(job.step, job.progress, job.preview_url) for job in seen[:3]] == [
        (1, 1, view()["preview_url"]),
        (2, 0.5, view()["preview_url"]),
        (2, 0.5, "/a picture"),
    ]
    assert seen[1].eta_seconds is not None
    assert seen[1].eta_seconds.expected == 2
    assert seen[3].status == "completed"


@hasty
def test_events_continue_where_a_connection_broke(clients: Clients, view: View) -> None:
    running = view(status="in_progress")
    script = Script(
        answer(running),
        stream(("state", "7", running), ("state", "9", running)),
        hang_up,
        stream(("state", "12", running)),
        answer(b"", 204),
    )
    with serving(script) as url, clients(url) as client:
        events = list(client.job("x").events())
    assert [event.id for event in events] == ["7", "9", "12"]
    sent = [headers.get("last-event-id") for headers in script.headers[1:]]
    assert sent == [None, "9", "9", "12"]


def test_nonsense_in_a_stream_is_an_error(clients: Clients, view: View) -> None:
    script = Script(answer(view(status="pending")), stream(("state", "1", {"job_id": "x"})))
    with (
        serving(script) as url,
        clients(url) as client,
        pytest.raises(UnexpectedAnswer),
    ):
        list(client.job("x").events())


def test_leaving_a_stream_closes_its_connection(clients: Clients, view: View) -> None:
    left = threading.Event()

    def serve(request: BaseHTTPRequestHandler) -> None:
        if not request.path.endswith("/events"):
            reply(request, json.dumps(view()).encode())
            return
        stream(("state", "7", view(status="in_progress")))(request)
        if request.connection.recv(1) == b"":  # the client has closed the connection
            left.set()

    with serving(serve) as url, clients(url) as client:
        events = client.job("x").events()
        next(events)
        events.close()
        assert left.wait(30)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
def test_a_stream_is_read_however_it_is_cut(size: int, end: str) -> None:
    lines = ["retry: 2500", "", ": hello", "event: state", "data: ü", "data:\u2028 x", "id: 7", ""]
    lines += ["id: 8", "", "data: later", "", "data: broken off"]
    sent = end.join(lines).encode()
    decoder = EventDecoder()
    events = [
        event
        for start in range(0, len(sent), size)
        for event in decoder.feed(sent[start : start + size])
    ]
    assert events == [
        ServerSentEvent("state", "ü\n\u2028 x", "7"),
        ServerSentEvent("", "later", "8"),
    ]
    assert (decoder.retry_seconds, decoder.last_id) == (2.5, "8")
    decoder.reconnect()
    assert list(decoder.feed(f"data: anew{end}{end}x".encode())) == [
        ServerSentEvent("", "anew", "8")
    ]


class BreakingServer:
    """Serves VIDEO. For each of `breaks`, it breaks a connection after that many bytes."""

    def __init__(self, job: dict[str, Any], *breaks: int, ranges: bool = True) -> None:
        self.job = job
        self.breaks = list(breaks)
        self.ranges = ranges
        self.asked: list[str | None] = []

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if "/videos/" not in request.path:
            reply(request, json.dumps(self.job).encode())
            return
        wanted = request.headers["Range"]
        self.asked.append(wanted)
        start = 0
        if wanted and self.ranges:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        end = start + self.breaks.pop(0) if self.breaks else len(VIDEO)
        status = 206 if start else 200
        reply(request, VIDEO[start:end], status, Content_Length=str(len(VIDEO) - start))


@hasty
def test_a_broken_download_continues_where_it_broke(
    clients: Clients, view: View, tmp_path: Path
) -> None:
    server = BreakingServer(view(), 300_000, 200_000)
    with serving(server) as url, clients(url, retries=0) as client:
        path = client.job("x").download(str(tmp_path / "clip.mp4"))
    assert path.read_bytes() == VIDEO
    assert server.asked == [None, "bytes=300000-", "bytes=500000-"]


@hasty
def test_a_download_starts_over_if_the_server_cannot_resume_it(
    clients: Clients, view: View, tmp_path: Path
) -> None:
    server = BreakingServer(view(), 300_000, ranges=False)
    with serving(server) as url, clients(url) as client:
        path = client.job("x").download(tmp_path / "clip.mp4")
    assert path.read_bytes() == VIDEO


@hasty
def test_a_failed_download_leaves_the_older_file(
    clients: Clients, view: View, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("an older clip")
    server = BreakingServer(view(), 100, *[0] * (patience.DOWNLOAD_TRIES + 1))
    with (
        serving(server) as url,
        clients(url) as client,
        pytest.raises(ServiceUnavailable),
    ):
        client.job("x").download(path)
    assert path.read_text() == "an older clip"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_values_of_a_newer_service_are_passed_on(clients: Clients, view: View) -> None:
    """Unknown fields, states and bounds."""
    params = view()["params"]
    larger = params | {"width": 4096, "step_cache": "bold", "num_frames": 1023, "sound": True}
    newer = view(status="archived", stage="upscaling", params=larger, owner="ana")
    page = {"jobs": [newer, view()], "has_more": False, "next": None}
    script = Script(answer(page), answer(newer))
    with serving(script) as url, clients(url) as client:
        seen, known = client.list().jobs
        assert (seen.status, seen.stage, seen.params.width) == ("archived", "upscaling", 4096)
        assert (seen.params.step_cache, seen.params.prompt) == ("bold", params["prompt"])
        assert seen.ended  # as it has completed_at
        assert known.params.step_cache == params["step_cache"]
        assert client.job("x").job.stage == "upscaling"


def test_two_downloads_to_one_file_do_not_mix(clients: Clients, view: View, tmp_path: Path) -> None:
    """The first to finish is complete, although the other is halfway."""
    halfway, done = threading.Event(), threading.Event()
    path = tmp_path / "clip.mp4"

    def slow(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(VIDEO)))
        request.end_headers()
        request.wfile.write(VIDEO[:1000])
        halfway.set()
        done.wait(30)
        request.wfile.write(VIDEO[1000:])

    def first() -> None:
        with clients(url) as client:
            client.job("x").download(path)

    with serving(Script(answer(view()), slow)) as url:
        other = threading.Thread(target=first)
        other.start()
        halfway.wait(30)
        with serving(Script(answer(view()), answer(VIDEO))) as second, clients(second) as client:
            client.job("x").download(path)
        assert path.read_bytes() == VIDEO
        done.set()
        other.join()
    assert path.read_bytes() == VIDEO
    assert list(tmp_path.iterdir()) == [path]


def test_a_download_without_overwrite_keeps_the_file(
    clients: Clients, view: View, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    path.symlink_to(tmp_path / "missing")  # a broken link is a file too
    with serving(Script(answer(view()))) as url, clients(url) as client:
        handle = client.job("x")
        for fetch in (handle.download, handle.download_draft):
            with pytest.raises(FileExistsError, match=r"clip\.mp4 exists"):
                fetch(path, overwrite=False)
    assert path.is_symlink()
