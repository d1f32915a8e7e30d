"""Traces of jobs, as a receiver of OTLP gets them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from hunyuan_runner import tracing
from hunyuan_runner.settings import Settings
from tests.collector import Collector, Seen, collecting
from tests.conftest import ROOT, SHORT, StartService, finish, submit, wait_for
from tests.receiver import receiving, wait_until

CLIENT_TRACE, CLIENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}  # milliseconds, and not five seconds, to collect spans
TRACEPARENT = f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01"
SLOW = SHORT | {"width": 192, "height": 128, "num_frames": 33, "num_inference_steps": 24}
SLOW |= {"step_cache": "off"}
PROMPT = "A red circle on the secret meadow"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture
def traced(collector: Collector) -> Iterator[Collector]:
    """The traces of this process."""
    tracing.configure_tracing(Settings(traces_url=collector.url), "here")
    yield collector
    tracing.stop_tracing()


def test_a_job_is_one_trace_from_the_clients_request_to_the_webhook_across_workers(
    start_service: StartService, tmp_path: Path, collector: Collector
) -> None:
    ours = {
        "HUNYUAN_DATA_DIR": str(tmp_path / "data"),
        "HUNYUAN_LEASE_SECONDS": "3",
        "HUNYUAN_LOCAL_RUNNER": "false",
        "HUNYUAN_WEBHOOK_ALLOW_PRIVATE": "true",
        "HUNYUAN_TRACES_URL": collector.url,
    } | SOON
    front = start_service(**ours)
    first = start_service("service:HunyuanRunner", **ours)
    with httpx.Client(base_url=front.url, timeout=30) as client, receiving() as receiver:
        asked = SLOW | {"prompt": PROMPT, "webhook_url": receiver.url}
        headers = {"traceparent": TRACEPARENT, "X-Request-Id": "mine-7"}
        job = client.post("/api/generate", json=asked, headers=headers).json()
        # Its spans have arrived, so it is known which are lost with it.
        wait_for(client, job, lambda job: job["step"] >= 2)
        wait_until(lambda: collector.named("claim") and collector.named("encode"))
        first.kill()
        second = start_service("service:HunyuanRunner", **ours)
        assert finish(client, job)["status"] == "completed"
        wait_until(lambda: len(collector.named("webhook")) == 2)
        assert second.terminate() == 0
        assert front.terminate() == 0

    assert {span.trace_id for span in collector.spans} == {CLIENT_TRACE}
    (submitted,) = collector.named("submit")
    assert submitted.parent_id == CLIENT_SPAN
    assert submitted.attributes["hunyuan.job_id"] == job["job_id"]
    assert (submitted.service, submitted.kind) == ("hunyuan-front", 2)  # a server's

    first_wait, second_wait = collector.named("wait")
    assert first_wait.parent_id == second_wait.parent_id == submitted.span_id
    assert first_wait.began // 10**6 >= submitted.began // 10**6
    (taken_over,) = collector.named("take over")
    assert taken_over.parent_id == submitted.span_id
    assert second_wait.began > first_wait.ended
    # The attempt of the worker that was killed had not ended.
    (attempt,) = collector.named("attempt")
    assert attempt.parent_id == submitted.span_id
    assert attempt.service == "hunyuan-runner"
    assert attempt.attributes["hunyuan.attempt"] == 2
    assert attempt.attributes["hunyuan.outcome"] == "completed"
    assert attempt.events[0][0] == "resumed"

    stages = [child_of(attempt, collector, name) for name in ("claim", "load", "denoise")]
    stages += [child_of(attempt, collector, name) for name in ("decode", "publish")]
    assert all(one.ended <= two.began for one, two in pairwise(stages))
    resumed_from = attempt.events[0][1]["hunyuan.step"]
    steps = [values["hunyuan.step"] for name, values in stages[2].events if name == "step"]
    assert steps == [*range(resumed_from + 1, 25)]
    assert ("tile", {"hunyuan.tile": 1, "hunyuan.tiles": 1}) in stages[3].events

    webhooks = collector.named("webhook")
    assert {span.attributes["hunyuan.event"] for span in webhooks} == {"started", "completed"}
    assert {span.parent_id for span in webhooks} == {submitted.span_id}
    assert {span.attributes["http.response.status_code"] for span in webhooks} == {200}
    sent = {post.headers["traceparent"] for post in receiver.posts}
    assert sent == {f"00-{CLIENT_TRACE}-{span.span_id}-01" for span in webhooks}
    assert PROMPT not in json.dumps([vars(span) for span in collector.spans])


def child_of(attempt: Seen, collector: Collector, name: str) -> Seen:
    (span,) = [s for s in collector.named(name) if s.parent_id == attempt.span_id]
    return span


def test_a_collector_that_is_away_delays_nothing_and_is_logged_once(
    start_service: StartService, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}/v1/traces"
    data_dir = str(tmp_path / "data")
    service = start_service(HUNYUAN_TRACES_URL=nobody, HUNYUAN_DATA_DIR=data_dir, **SOON)
    with httpx.Client(base_url=service.url, timeout=30) as client:
        for _ in range(3):
            assert finish(client, submit(client))["status"] == "completed"
        wait_until(lambda: "Transient error" in service.log.read_text())
    assert service.terminate() == 0
    log = service.log.read_text()
    assert log.count("span batch") <= 2  # one of each process
    assert "Traceback" not in log


def test_without_the_setting_nothing_is_imported_and_no_thread_is_started() -> None:
    code = (
        "import sys, threading\n"
        "from hunyuan_runner.settings import Settings\n"
        "from hunyuan_runner import tracing\n"
        "tracing.configure_tracing(Settings(), 'here')\n"
        "span = tracing.begin('submit', None, kind='server').child('load', began_ms=1)\n"
        "span.event('step', step=1), span.note(a=1), span.fail('x'), span.end()\n"
        "tracing.stop_tracing()\n"
        "assert span.traceparent is None and not tracing.is_on()\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "assert threading.active_count() == 1\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_trace_that_the_client_does_not_sample_is_passed_on_and_not_sent(
    traced: Collector,
) -> None:
    span = tracing.begin("submit", TRACEPARENT[:-2] + "00")
    span.child("load").end()
    span.end()
    tracing.stop_tracing()
    assert span.traceparent is not None
    assert span.traceparent.startswith(f"00-{CLIENT_TRACE}-")
    assert span.traceparent.endswith("-00")
    assert traced.spans == []


@pytest.mark.parametrize("header", ["", "nonsense", f"00-{'0' * 32}-{CLIENT_SPAN}-01", "ä" * 100])
def test_a_context_that_cannot_be_read_begins_a_trace_of_its_own(
    traced: Collector, header: str
) -> None:
    tracing.begin("submit", header).end()
    tracing.stop_tracing()
    (span,) = traced.spans
    assert span.parent_id == ""
    assert int(span.trace_id, 16) > 0


def test_what_fails_is_marked(traced: Collector) -> None:
    span = tracing.begin("attempt", TRACEPARENT, {"attempt": 3}, began_ms=5)
    span.fail("the engine died")
    span.end()
    tracing.stop_tracing()
    (seen,) = traced.spans
    assert seen.failed
    assert seen.began == 5_000_000
    assert seen.attributes == {"hunyuan.attempt": 3}
