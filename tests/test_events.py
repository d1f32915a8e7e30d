"""Event streams of the running service: no event is lost or sent twice, and each stream ends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hunyuan_runner.api import tail as tail_module
from hunyuan_runner.api.routes.events import MAX_STREAMS, encode
from hunyuan_runner.api.tail import Subscription, Tail
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import Settings
from tests.conftest import SHORT, Service, StartService, submit
from tests.event_source import Event, EventSource


@pytest.fixture(scope="module")
def front(start_service: StartService) -> Service:
    """A front without a runner, whose jobs wait for ever."""
    return start_service(HUNYUAN_LOCAL_RUNNER="false", HUNYUAN_PING_SECONDS="0.2")


@pytest.fixture(scope="module")
def waiting(front: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=front.url, timeout=30) as client:
        yield client


def events_of(client: httpx.Client, job: dict[str, Any], last_event_id: str = "") -> EventSource:
    return EventSource(f"{client.base_url}/api/jobs/{job['job_id']}/events", last_event_id)


@contextmanager
def running_worker(front: Service) -> Iterator[subprocess.Popen[str]]:
    """A worker without a model, on the front's jobs."""
    environment = {
        "HUNYUAN_DATA_DIR": str(front.data_dir),
        "HUNYUAN_LEASE_SECONDS": "2",
        "HUNYUAN_CALIBRATE": "false",  # which takes seconds
    }
    command = [sys.executable, "-m", "tests.jobs.worker_process"]
    with subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready")
            yield process
        finally:
            process.terminate()


def newest_id(client: httpx.Client) -> str:
    """Where the journal ends."""
    with client.stream("GET", "/api/events") as stream:
        lines = stream.iter_lines()
        return next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")


def journal(client: httpx.Client, job: dict[str, Any]) -> list[Event]:
    """All that happened to a job that has ended."""
    return list(events_of(client, job, "0").connection())


def test_a_stream_follows_a_job_from_now_to_its_end(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    job = submit(client)
    stream = events_of(client, job).connection()
    first = next(stream)
    client.post(f"/api/jobs/{running_job['job_id']}/cancel")
    *between, last = stream
    assert first.type == "state"
    assert set(first.data) == set(job)
    assert first.data["status"] == "pending"

    assert last.type == "final"
    assert last.data == client.get(f"/api/status/{job['job_id']}").json()
    assert last.data["status"] == "completed"

    numbers = [int(event.id) for event in (first, *between, last)]
    assert numbers == sorted(set(numbers))
    assert {event.type for event in between} <= {"state", "progress", "preview"}
    steps = [event.data["step"] for event in between if event.type == "progress"]
    assert steps == sorted(steps)
    assert steps[-1] == SHORT["num_inference_steps"]
    assert {event.data["job_id"] for event in between} == {job["job_id"]}
    progress = next(event.data for event in between if event.data.get("stage") == "denoising")
    assert set(progress) == {
        *("job_id", "stage", "step", "num_inference_steps", "progress", "eta_seconds")
    }
    assert progress["eta_seconds"]["low"] <= progress["eta_seconds"]["high"]
    preview = next(event.data for event in between if event.type == "preview")
    assert client.get(preview["preview_url"]).headers["Content-Type"].startswith("image/")


def test_a_reader_that_reconnects_gets_exactly_what_followed(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    job = submit(client)
    source = events_of(client, job)
    before = [next(source.connection())]
    client.post(f"/api/jobs/{running_job['job_id']}/cancel")
    before += [next(source.connection()) for _ in range(3)]  # three connections, one event each
    rest = list(source.connection())
    received = [event.id for event in (*before, *rest)]
    everything = [event.id for event in journal(client, job)]
    assert received[1:] == [number for number in everything if int(number) > int(received[0])]
    assert len(received) > 4
    for place, event in enumerate(journal(client, job)[:-1]):
        again = list(events_of(client, job, event.id).connection())
        assert [event.id for event in again] == everything[place + 1 :]


def test_two_streams_get_the_same_events(client: httpx.Client) -> None:
    job = submit(client)
    with ThreadPoolExecutor(2) as readers:
        one, other = readers.map(lambda _: list(events_of(client, job).connection()), range(2))
    since = max(int(one[0].id), int(other[0].id))
    assert [e for e in one if int(e.id) > since] == [e for e in other if int(e.id) > since]
    assert one[-1] == other[-1]


def test_a_browser_stops_coming_back_when_there_is_nothing_left_to_come(
    client: httpx.Client,
) -> None:
    source = events_of(client, submit(client))
    *_, last = source
    assert last.type == "final"
    assert source.statuses == [200, 204]
    assert source.retry_seconds == 1


def test_a_job_that_has_ended_is_streamed_at_once(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    (event,) = events_of(client, clip).connection()
    assert (event.type, event.data) == ("final", clip)


def test_a_stream_may_be_asked_about_by_head(client: httpx.Client, clip: dict[str, Any]) -> None:
    for path in ("/api/events", f"/api/jobs/{clip['job_id']}/events"):
        head = client.head(path)
        assert head.status_code == 200
        assert head.headers["Content-Type"].startswith("text/event-stream")
        assert head.headers["Cache-Control"] == "no-store, no-transform"
        assert head.headers["X-Accel-Buffering"] == "no"
        assert head.headers["X-Request-Id"]


@pytest.mark.parametrize("job_id", ["no-such-job", "..%2Fx", "a" * 100])
@pytest.mark.parametrize("headers", [{}, {"Last-Event-ID": "1"}], ids=["new", "again"])
def test_an_unknown_job_has_no_events(
    client: httpx.Client, job_id: str, headers: dict[str, str]
) -> None:
    answer = client.get(f"/api/jobs/{job_id}/events", headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("last_event_id", ["x", "-1", "1.5", str(2**64), "\xff"])
def test_a_place_that_is_none_is_refused(
    client: httpx.Client, clip: dict[str, Any], last_event_id: str
) -> None:
    headers = [(b"Last-Event-ID", last_event_id.encode("latin-1"))]
    for path in ("/api/events", f"/api/jobs/{clip['job_id']}/events"):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == "last-event-id"


def test_the_stream_of_all_jobs_has_new_ones(client: httpx.Client) -> None:
    source = EventSource(f"{client.base_url}/api/events", newest_id(client))
    jobs = [submit(client)]
    stream = source.connection()
    received = [next(stream)]  # so it is open
    jobs.append(submit(client))
    while sum(event.type == "final" for event in received) < len(jobs):
        received.append(next(stream))
    for job in jobs:
        mine = [event for event in received if event.data["job_id"] == job["job_id"]]
        assert (mine[0].type, mine[0].data["status"]) == ("state", "pending")
        assert mine[-1].data["status"] == "completed"
        assert [event.id for event in mine] == [event.id for event in journal(client, job)]
    again = EventSource(source.url, received[0].id).connection()
    assert [next(again).id for _ in received[1:]] == [event.id for event in received[1:]]


def test_no_stream_misses_anything_whenever_it_begins(waiting: httpx.Client) -> None:
    before = newest_id(waiting)

    def change(_: int) -> None:
        for _ in range(4):
            job = submit(waiting)
            waiting.post(f"/api/jobs/{job['job_id']}/cancel")
            waiting.post(f"/api/jobs/{job['job_id']}/retry")

    def follow(seconds: float) -> list[str]:
        time.sleep(seconds)
        ids = []
        for event in EventSource(f"{waiting.base_url}/api/events", before).connection():
            ids.append(event.id)
            if event.data["metadata"] == {"the": "last"}:
                break
        return ids

    with ThreadPoolExecutor() as changes, ThreadPoolExecutor(12) as readers:
        reading = readers.map(follow, [place / 20 for place in range(12)])
        list(changes.map(change, range(3)))
        submit(waiting, metadata={"the": "last"})
        received = list(reading)
    everything = follow(0)
    assert len(everything) == 3 * 4 * 3 + 1
    assert received == [everything] * len(received)


def test_a_silent_stream_is_pinged(waiting: httpx.Client) -> None:
    with waiting.stream("GET", "/api/events") as stream:
        comments = [line for line in islice(stream.iter_lines(), 20) if line.startswith(":")]
    assert len(comments) > 5


def test_deleting_a_job_ends_its_streams(waiting: httpx.Client) -> None:
    job = submit(waiting)
    source = events_of(waiting, job)
    events = iter(source)
    assert next(events).data["status"] == "pending"
    waiting.delete(f"/api/jobs/{job['job_id']}")
    assert list(events) == []
    assert source.statuses == [200, 404]


def test_a_job_that_is_retried_can_be_followed_on(waiting: httpx.Client) -> None:
    job = submit(waiting)
    waiting.post(f"/api/jobs/{job['job_id']}/cancel")
    source = events_of(waiting, job)
    (canceled,) = source.connection()
    assert (canceled.type, canceled.data["status"]) == ("final", "canceled")
    waiting.post(f"/api/jobs/{job['job_id']}/retry")
    assert next(source.connection()).data["status"] == "pending"
    before, undone, again = islice(events_of(waiting, job, "0").connection(), 3)
    assert [event.type for event in (before, undone, again)] == ["state"] * 3
    assert undone.data["status"] == "canceled"


def test_streams_are_counted_and_forgotten_when_their_readers_leave(front: Service) -> None:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=front.url, timeout=30, limits=limits) as client:
        with ExitStack() as streams:
            for _ in range(MAX_STREAMS):
                stream = streams.enter_context(client.stream("GET", "/api/events"))
                assert stream.status_code == 200
            refused = client.get("/api/events")
            assert refused.status_code == 429
            assert refused.json()["error"]["code"] == "too_many_streams"
            assert int(refused.headers["Retry-After"]) > 0
            assert client.get("/api/jobs").status_code == 200
        while client.head("/api/events").status_code != 200:
            time.sleep(0.05)


def test_a_stream_outlives_the_worker_s_sigkill(front: Service, waiting: httpx.Client) -> None:
    for job in waiting.get("/api/jobs?status=pending&limit=100").json()["jobs"]:
        waiting.post(f"/api/jobs/{job['job_id']}/cancel")
    job = submit(waiting, prompt="slow", num_inference_steps=20)
    source = events_of(waiting, job)
    received = []
    with ExitStack() as workers:
        first = workers.enter_context(running_worker(front))
        for event in source.connection():
            received.append(event)
            if first.poll() is None and event.data.get("step", 0) >= 3:
                first.kill()
                first.wait()
                workers.enter_context(running_worker(front))
    assert source.statuses == [200]
    begun = [event.data for event in received if event.data.get("status") == "in_progress"]
    assert [view["attempts"] for view in begun] == [1, 2]
    assert (received[-1].type, received[-1].data["status"]) == ("final", "completed")
    assert received[-1].data["resumed_from_step"] >= 3
    ids = [int(event.id) for event in received]
    assert ids == sorted(set(ids))


def test_open_streams_do_not_hold_up_the_end_of_the_service(start_service: StartService) -> None:
    service = start_service(HUNYUAN_LOCAL_RUNNER="false")
    with httpx.Client(base_url=service.url, timeout=60) as client, ExitStack() as streams:
        paths = ["/api/events"] * 4 + [f"/api/jobs/{submit(client)['job_id']}/events"]
        opened = [streams.enter_context(client.stream("GET", path)) for path in paths]
        bodies = [stream.iter_bytes() for stream in opened]
        for body in bodies:
            next(body)
        assert service.terminate() == 0
        for body in bodies:
            list(body)  # to a clean end: httpx raises an error at any other
    assert "graceful" not in service.log.read_text()


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    store = Jobs(Settings(data_dir=tmp_path))
    yield store
    store.close()


async def submit_to(jobs: Jobs) -> None:
    params = GenerationRequest(prompt="a red circle").resolve("demo", MODELS["demo"].presets)
    await asyncio.to_thread(jobs.submit, params)


def subscribe(tail: Tail) -> Subscription:
    subscription = Subscription(Caller(""), None, "")
    tail.enter(subscription)
    assert tail.join(subscription, 0)
    return subscription


async def numbers(subscription: Subscription) -> list[int]:
    return [message.event.number for message in await subscription.take(60)]


def test_a_reader_that_is_too_slow_has_to_come_back(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "MAX_WAITING", 3)

    async def fall_behind() -> None:
        tail = Tail(jobs, encode)
        slow, quick = subscribe(tail), subscribe(tail)
        for number in range(1, 6):
            await submit_to(jobs)
            assert await numbers(quick) == [number]
        assert (slow.ended, quick.ended) == (True, False)
        tail.close()
        assert quick.ended

    asyncio.run(fall_behind())


def test_streams_wait_for_a_database_that_is_away(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    def rename(table: str, to: str) -> None:
        with jobs.database.begin() as connection:
            connection.execute(sa.text(f"ALTER TABLE {table} RENAME TO {to}"))

    async def outlive() -> None:
        subscription = subscribe(Tail(jobs, encode))
        rename("hunyuan_events", "gone")
        while "does not answer" not in caplog.text:
            assert await subscription.take(0.05) == []
        rename("gone", "hunyuan_events")
        await submit_to(jobs)
        assert await numbers(subscription) == [1]
        assert not subscription.ended

    asyncio.run(outlive())
