"""`hunyuan check` against the running service, and against one whose answers are tampered with."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from hunyuan_runner.cli.examination import MARK, Report, examine
from hunyuan_runner.cli.outcomes import Outcome
from hunyuan_runner.client import ServiceUnavailable
from tests.conftest import Service, StartService
from tests.stub_server import Answer, reply, serving

HUNYUAN = Path(sys.executable).with_name("hunyuan")
KEY = "hy_key-of-ana"
PASSED_ON = ("Accept", "Authorization", "Content-Type", "Idempotency-Key")

Tamper = Callable[[BaseHTTPRequestHandler, bytes], Answer | None]


@pytest.fixture(scope="module")
def guarded(start_service: StartService) -> Service:
    """A service with keys and without a worker."""
    keys = f"ana:{hashlib.sha256(KEY.encode()).hexdigest()}"
    return start_service(HUNYUAN_API_KEYS=keys, HUNYUAN_LOCAL_RUNNER="false")


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HUNYUAN, "check", *arguments], capture_output=True, text=True, env=os.environ | environment
    )


def examined(url: str, api_key: str | None = None, wait: bool = False) -> Report:
    return examine(url, api_key, wait=wait, rendering=lambda: nullcontext(lambda job: None))


def rows_of(table: str) -> dict[str, list[str]]:
    """By check, the words of its row; not the lines below that say why it failed."""
    lines = [line for line in table.splitlines()[1:] if not line.startswith(" ")]
    return {line[:14].strip(): line[14:].split() for line in lines}


def left_behind(client: httpx.Client) -> list[str]:
    jobs = client.get("/api/jobs?limit=100").json()["jobs"]
    return [job["job_id"] for job in jobs if MARK in job["metadata"]]


def named(report: Report, status: str) -> list[str]:
    return [outcome.name for outcome in report.outcomes if outcome.status == status]


def of(report: Report, name: str) -> Outcome:
    (outcome,) = [outcome for outcome in report.outcomes if outcome.name == name]
    return outcome


@contextmanager
def tampered(service: Service, tamper: Tamper) -> Iterator[str]:
    """The service behind a proxy that answers by itself whatever `tamper` has an answer for."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        instead = tamper(request, body)
        (instead or (lambda _: pass_on(service, request, body)))(request)

    with serving(answer) as url:
        yield url


def pass_on(service: Service, request: BaseHTTPRequestHandler, body: bytes, **more: str) -> None:
    """What the service answers; of an event stream, the first piece."""
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    options: dict[str, Any] = {"content": body, "headers": headers | more, "timeout": 30}
    with httpx.stream(request.command, service.url + request.path, **options) as answer:
        request.send_response(answer.status_code)
        kind = answer.headers.get("Content-Type", "")
        request.send_header("Content-Type", kind)
        request.end_headers()
        for chunk in answer.iter_bytes():
            request.wfile.write(chunk)
            if kind.startswith("text/event-stream") and b"data:" in chunk:
                return


def instead_of(asked: str, status: int = 200, body: bytes = b"", **headers: str) -> Tamper:
    """Answer so whatever begins with this method and path."""

    def tamper(request: BaseHTTPRequestHandler, _: bytes) -> Answer | None:
        if not f"{request.command} {request.path}".startswith(asked):
            return None
        return lambda request: reply(request, body, status, **headers)

    return tamper


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


def test_a_service_in_order_passes_and_keeps_nothing(
    client: httpx.Client, service: Service
) -> None:
    result = run(service.url)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = rows_of(result.stdout)
    assert {row[0] for name, row in rows.items() if name != "no access"} == {"ok"}
    assert float(rows["live"][1]) > 0
    assert rows["no access"][0] == "skipped"
    assert "cancel" in rows
    assert "render" not in rows
    assert result.stderr == ""
    assert left_behind(client) == []


def test_it_waits_for_a_clip_and_looks_into_it(client: httpx.Client, service: Service) -> None:
    result = run("--wait", "--json", HUNYUAN_URL=service.url)
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert (report["url"], report["ok"]) == (service.url, True)
    status = {outcome["name"]: outcome["status"] for outcome in report["checks"]}
    assert status.pop("no access") == "skipped"
    assert {"render", "download", "file", "delete", "clean up"} < set(status)
    assert set(status.values()) == {"ok"}
    assert "completed · 100%" in result.stderr
    assert left_behind(client) == []


def test_of_a_service_with_keys_it_checks_that_others_are_refused(guarded: Service) -> None:
    result = run(guarded.url, "--api-key", KEY, "--json")
    assert KEY not in result.stdout + result.stderr
    outcomes = {outcome["name"]: outcome for outcome in json.loads(result.stdout)["checks"]}
    assert outcomes.pop("health")["status"] == "failed"  # it has no worker
    assert {outcome["status"] for outcome in outcomes.values()} == {"ok"}

    report = examined(guarded.url)
    assert named(report, "failed") == ["health", "access"]
    assert "set your key with --api-key" in of(report, "access").advice
    assert {"models", "submit", "delete"} < set(named(report, "skipped"))
    assert of(report, "submit").got == "needs access"

    def let_in(request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        if "Authorization" in request.headers:
            return None
        return lambda request: pass_on(guarded, request, body, Authorization=f"Bearer {KEY}")

    with tampered(guarded, let_in) as url:
        report = examined(url, KEY)
    assert named(report, "failed") == ["health", "no access"]
    assert "without a key" in of(report, "no access").got


UNAVAILABLE = as_json({"error": {"code": "unavailable", "message": "no database"}})
WORKERLESS = as_json({"status": "no_worker", "workers": 0})
NO_JOBS = as_json({"jobs": [], "has_more": False, "next": None})


# By check: what is answered to it, and what is told of that.
FAULTS: dict[str, tuple[Tamper, str]] = {
    "live": (instead_of("GET /livez", 502), "502"),
    "ready": (instead_of("GET /readyz", 503, UNAVAILABLE), "no database"),
    "health": (instead_of("GET /health", body=WORKERLESS), "HUNYUAN_LOCAL_RUNNER"),
    "docs": (instead_of("GET /static/docs/docs.js", 404), "/static/docs/docs.js"),
    "openapi.json": (instead_of("GET /openapi.json", body=b'{"paths": {}}'), "/api/generate"),
    "models": (instead_of("GET /api/models", body=b'{"models": []}'), "hunyuan models download"),
    "info": (instead_of("GET /api/info", 500, X_Request_Id="r17"), "request r17"),
    "unknown job": (instead_of("GET /api/status/no-such-job", body=b"{}"), "200"),
    "list": (instead_of("GET /api/jobs?limit=100", body=NO_JOBS), "without it"),
}


def test_what_is_not_in_order_is_named_and_all_else_is_checked(
    service: Service, client: httpx.Client
) -> None:
    def tamper(request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        answers = (fault(request, body) for fault, _ in FAULTS.values())
        return next((answer for answer in answers if answer), None)

    with tampered(service, tamper) as url:
        report = examined(url)
    assert named(report, "failed") == list(FAULTS)
    assert named(report, "skipped") == ["no access"]
    for name, (_, told) in FAULTS.items():
        outcome = of(report, name)
        assert outcome.expected
        assert told in f"{outcome.got} {outcome.advice}"
    assert not report.ok
    assert left_behind(client) == []


def test_what_a_bad_request_leaves_is_told_and_deleted(
    service: Service, client: httpx.Client
) -> None:
    def take_it(request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        if b'"num_frames":50' not in body:
            return None
        changed = body.replace(b'"num_frames":50', b'"num_frames":49')
        return lambda request: pass_on(service, request, changed)

    with tampered(service, take_it) as url:
        report = examined(url)
    assert named(report, "failed") == ["bad request"]
    assert of(report, "bad request").expected.startswith("422")
    assert of(report, "bad request").got.startswith("202")
    assert left_behind(client) == []


def test_a_job_whose_id_never_came_is_deleted_too(service: Service, client: httpx.Client) -> None:
    def lose(request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        if b'"draft_steps"' not in body:
            return None
        url = f"{service.url}/api/generate"
        httpx.post(url, json=json.loads(body), timeout=30).raise_for_status()
        return lambda request: setattr(request, "close_connection", True)

    with tampered(service, lose) as url:
        report = examined(url)
    assert named(report, "failed") == ["submit"]
    assert of(report, "status").got == "needs submit"
    assert left_behind(client) == []


def test_a_proxy_that_keeps_events_back_is_found_out(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hunyuan_runner.cli.examination.EVENT_SECONDS", 1.0)
    given_up = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        given_up.wait()

    def keep_back(request: BaseHTTPRequestHandler, _: bytes) -> Answer | None:
        return wait if "/events" in request.path else None

    with tampered(service, keep_back) as url:
        report = examined(url)
        given_up.set()
    assert named(report, "failed") == ["events"]
    assert "proxy_buffering off" in of(report, "events").advice
    assert left_behind(client) == []


def test_a_job_that_cannot_be_deleted_is_named(service: Service, client: httpx.Client) -> None:
    with tampered(service, instead_of("DELETE", 500)) as url:
        report = examined(url)
    assert named(report, "failed") == ["delete", "clean up"]
    (job_id,) = left_behind(client)
    assert job_id in of(report, "clean up").got
    client.delete(f"/api/jobs/{job_id}")


def test_a_file_that_was_converted_on_its_way_is_found_out(
    service: Service, client: httpx.Client, clip: dict[str, Any], tmp_path: Path
) -> None:
    original, converted = tmp_path / "original.mp4", tmp_path / "converted.mp4"
    original.write_bytes(client.get(clip["video_url"]).content)
    command = [get_ffmpeg_exe(), "-loglevel", "error", "-i", original, "-map_metadata", "-1"]
    subprocess.run([*command, "-c:v", "mpeg4", "-r", "30", converted], check=True)
    with tampered(service, instead_of("GET /api/videos/", body=converted.read_bytes())) as url:
        report = examined(url, wait=True)
    assert named(report, "failed") == ["file"]
    for wrong in ("codec mpeg4", "fps 30.0", "no mark"):
        assert wrong in of(report, "file").got
    assert left_behind(client) == []


def test_without_a_worker_no_clip_is_waited_for(guarded: Service) -> None:
    report = examined(guarded.url, KEY, wait=True)
    assert named(report, "failed") == ["health"]
    assert "HUNYUAN_LOCAL_RUNNER" in of(report, "health").advice
    assert named(report, "skipped") == ["render", "download", "file", "delete"]
    headers = {"X-API-Key": KEY}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=30) as client:
        assert left_behind(client) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            lambda request: reply(request, b"<h1>It works</h1>", Content_Type="text/html"),
            "check that it is",
        ),
        (
            lambda request: reply(request, b"", 308, Location="https://video.example/"),
            "check https://video.example/ instead",
        ),
    ],
    ids=["another server", "a redirect"],
)
def test_what_is_no_such_service_fails_and_is_not_asked_in_vain(answer: Answer, told: str) -> None:
    with serving(answer) as url:
        result = run(url)
    assert result.returncode == 1
    assert told in result.stdout
    assert result.stderr == ""
    rows = rows_of(result.stdout)
    assert rows.pop("clean up")[0] == "ok"
    assert {row[0] for row in rows.values()} == {"failed", "skipped"}
    assert rows["status"][0] == "skipped"


def test_where_nothing_listens_one_line_says_so() -> None:
    result = run("http://127.0.0.1:1")
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for hint in ("http://127.0.0.1:1", "hunyuan serve", "--url", "HUNYUAN_URL"):
        assert hint in result.stderr
    with pytest.raises(ServiceUnavailable):
        examined("no address")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("running_job")
def test_who_interrupts_it_finds_nothing_left(
    service: Service, client: httpx.Client, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [HUNYUAN, "check", "--wait", service.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        assert "next in the queue" in process.stderr.readline()
        assert len(left_behind(client)) == 1
        process.send_signal(number)
        rows = rows_of(process.stdout.read())
    assert process.returncode == 130
    assert rows["render"] == ["skipped", "interrupted"]
    assert rows["clean up"][0] == "ok"
    assert left_behind(client) == []
