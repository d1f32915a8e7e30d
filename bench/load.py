"""Measures how many watchers of a job slow down each other, and the render."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Thread

from bench.clips import CLIP
from bench.service import Service, running_service

POLLERS, POLLS_PER_SECOND = 200, 2
STREAMS = 50
CLIPS = 5

TEMPLATE = """\
## Under load

`python -m bench load`: {pollers} clients poll a job's status at {rate} Hz each and {streams} read
event streams while the demo model renders; the clients run on the same cores. Medians of {clips}
clips each way, interleaved.

| | measured | bound |
|---|---|---|
| status, 99th percentile | {p99:.0f} ms (median {median:.1f}) | 100 ms |
| status requests answered | {answered} of {asked} | all |
| event streams that reported the end of every job | {complete} of {streams} | all |
| cores used by the front / by the clients | {front:.2f} / {clients:.2f} | |
| a clip, under load / alone | {loaded:.2f} s / {alone:.2f} s = {ratio:.2f} | 1.05 |
"""


@dataclass
class _Seen:
    """The job that is watched, and what the watchers measured."""

    job_id: str = ""
    milliseconds: list[float] = field(default_factory=list)
    asked: int = 0
    finals: list[int] = field(default_factory=list)  # by stream


def run() -> str:
    seen = _Seen(finals=[0] * STREAMS)
    alone, loaded = [], []
    front_seconds = client_seconds = watched_seconds = 0.0
    with running_service() as service:
        front = service.front_process()
        _render(service, seen)  # loads the model
        for _ in range(CLIPS):
            alone.append(_render(service, seen))
            with _watchers(service, seen):
                before = sum(front.cpu_times()[:2]), time.process_time(), time.monotonic()
                loaded.append(_render(service, seen))
                time.sleep(1)  # so that the streams report the end
                front_seconds += sum(front.cpu_times()[:2]) - before[0]
                client_seconds += time.process_time() - before[1]
                watched_seconds += time.monotonic() - before[2]
    p99 = statistics.quantiles(seen.milliseconds, n=100)[-1]
    return TEMPLATE.format(
        pollers=POLLERS,
        rate=POLLS_PER_SECOND,
        streams=STREAMS,
        clips=CLIPS,
        p99=p99,
        median=statistics.median(seen.milliseconds),
        answered=len(seen.milliseconds),
        asked=seen.asked,
        complete=sum(finals == CLIPS for finals in seen.finals),
        front=front_seconds / watched_seconds,
        clients=client_seconds / watched_seconds,
        loaded=statistics.median(loaded),
        alone=statistics.median(alone),
        ratio=statistics.median(loaded) / statistics.median(alone),
    )


def _render(service: Service, seen: _Seen) -> float:
    """Seconds from the worker's start of a clip to its end."""
    job = service.client.post("/api/generate", json=CLIP).raise_for_status().json()
    seen.job_id = job["job_id"]
    while job["status"] != "completed":
        time.sleep(0.25)
        job = service.client.get(f"/api/status/{seen.job_id}").raise_for_status().json()
    start, end = (datetime.fromisoformat(job[f"{what}_at"]) for what in ("started", "completed"))
    return (end - start).total_seconds()


@contextmanager
def _watchers(service: Service, seen: _Seen) -> Iterator[None]:
    """Run the watchers in a thread while the block runs."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = Thread(target=lambda: loop.run_until_complete(_watch(service, seen, stop)))
    thread.start()
    time.sleep(1)  # so that all of them have connected
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _watch(service: Service, seen: _Seen, stop: asyncio.Event) -> None:
    streams = [asyncio.create_task(_stream(service, seen, n)) for n in range(STREAMS)]
    async with asyncio.TaskGroup() as pollers:
        for number in range(POLLERS):
            pollers.create_task(_poll(service, seen, stop, number))
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


async def _poll(service: Service, seen: _Seen, stop: asyncio.Event, number: int) -> None:
    """Ask for the job's status at a steady rate, however long the answers take."""
    await asyncio.sleep(number / POLLERS / POLLS_PER_SECOND)
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    due = time.perf_counter()
    while not stop.is_set():
        seen.asked += 1
        start = time.perf_counter()
        writer.write(_request(f"/api/status/{seen.job_id}"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        seen.milliseconds.append((time.perf_counter() - start) * 1000)
        due += 1 / POLLS_PER_SECOND
        await asyncio.sleep(due - time.perf_counter())
    writer.close()


async def _stream(service: Service, seen: _Seen, number: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        writer.write(_request("/api/events"))
        async for line in reader:
            seen.finals[number] += line.startswith(b"event: final")
    finally:
        writer.close()


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
