"""Compares quotes with what clips then took, on an idle machine and on one that others use.

    python -m bench.quotes [SEED]

draws other clips for another seed.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.synchronize import Event
from typing import Any

from bench.service import Service, running_service
from hunyuan_runner.machine.host import usable_cores

LEARNT_FROM, QUOTED, QUEUED = 5, 10, 8
BUSY_SECONDS = (10, 30)  # how long the other process computes, and then how long it sleeps
PAUSE_SECONDS = 3  # at most, before a user asks for the next clip
PROMPT = "A cat walks on grass"

TEMPLATE = """\
## Quotes

`python -m bench quotes`: clips of the demo model with sizes, lengths, steps and settings drawn at
random, each quoted by the answer to its submission. A new service renders {learnt} of them, and
then the {quoted} that count, one after the other. The machine is shared in the second row: another
process computes on half of the cores for {busy[0]} to {busy[1]} seconds, sleeps for as long, and so
on. In the third, a new service is given {queued} clips at once. *High / low* is how wide the quoted
ranges were, *needed / expected* how far off their middles.

| clips | within their range | high / low, median | needed / expected, median (and from, to) |
|---|---|---|---|
{rows}

The last of the {queued} was quoted {low:.0f}-{high:.0f} s, and was finished after {took:.0f} s.
"""


@dataclass(frozen=True)
class Outcome:
    """The range that a clip was quoted, and how long it took, in seconds from its submission."""

    low: float
    expected: float
    high: float
    took: float

    @property
    def within(self) -> bool:
        return self.low <= self.took <= self.high


def run(seed: int = 1) -> str:
    draw = random.Random(seed)
    rows = []
    for name, others in (("idle machine", nullcontext), ("shared machine", lambda: busy(seed))):
        with others(), running_service(HUNYUAN_CALIBRATE="true") as service:
            outcomes = in_turn(service, draw)[LEARNT_FROM:]
        rows.append(_row(f"{name}, {QUOTED} in turn", outcomes))
    with running_service(HUNYUAN_CALIBRATE="true") as service:
        at_once = all_at_once(service, draw)
    rows.append(_row(f"idle machine, {QUEUED} at once", at_once))
    last = at_once[-1]
    return TEMPLATE.format(
        learnt=LEARNT_FROM,
        quoted=QUOTED,
        queued=QUEUED,
        busy=BUSY_SECONDS,
        rows="\n".join(rows),
        **vars(last),
    )


def in_turn(service: Service, draw: random.Random) -> list[Outcome]:
    """Each clip is submitted when the one before it is finished and was looked at."""
    outcomes = []
    for _ in range(LEARNT_FROM + QUOTED):
        job = _submit(service, draw)
        outcomes.append(_outcome(job, _finished(service, job)))
        print(outcomes[-1], flush=True)
        time.sleep(draw.uniform(0, PAUSE_SECONDS))
    return outcomes


def all_at_once(service: Service, draw: random.Random) -> list[Outcome]:
    jobs = [_submit(service, draw) for _ in range(QUEUED)]
    return [_outcome(job, _finished(service, job)) for job in jobs]


@contextmanager
def busy(seed: int) -> Iterator[None]:
    """Another program takes half of the cores, again and again for a while."""
    over = multiprocessing.Event()
    hogs = [
        multiprocessing.Process(target=_compute_at_times, args=(seed, over))
        for _ in range(max(1, usable_cores() // 2))
    ]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        over.set()
        for hog in hogs:
            hog.join()


def _compute_at_times(seed: int, over: Event) -> None:
    draw = random.Random(seed)
    while not over.wait(draw.uniform(*BUSY_SECONDS)):
        until = time.monotonic() + draw.uniform(*BUSY_SECONDS)
        while time.monotonic() < until and not over.is_set():
            sum(range(100_000))


def _drawn(draw: random.Random) -> dict[str, Any]:
    """A clip that takes some seconds: of any shape, with other settings in one of four."""
    clip: dict[str, Any] = {
        "prompt": PROMPT,
        "width": draw.randrange(96, 241, 16),
        "height": draw.randrange(96, 177, 16),
        "num_frames": draw.randrange(9, 42, 4),
        "num_inference_steps": draw.randrange(5, 21),
        "step_cache": draw.choice(["off", "balanced", "fast"]),
    }
    return clip | ({"negative_prompt": "A red circle"} if draw.random() < 0.25 else {})


def _submit(service: Service, draw: random.Random) -> dict[str, Any]:
    job: dict[str, Any] = service.client.post("/api/generate", json=_drawn(draw)).json()
    return job


def _finished(service: Service, job: dict[str, Any]) -> dict[str, Any]:
    while job["status"] in ("pending", "in_progress"):
        time.sleep(0.1)
        job = service.client.get(f"/api/status/{job['job_id']}").json()
    if job["status"] != "completed":
        raise RuntimeError(f"the clip {job['status']}: {job['error']}")
    return job


def _outcome(submitted: dict[str, Any], finished: dict[str, Any]) -> Outcome:
    ended, began = (datetime.fromisoformat(finished[key]) for key in ("completed_at", "created_at"))
    quoted = submitted["eta_seconds"]
    low, expected, high = quoted["low"], quoted["expected"], quoted["high"]
    return Outcome(low, expected, high, took=(ended - began).total_seconds())


def _row(name: str, outcomes: Sequence[Outcome]) -> str:
    within = sum(outcome.within for outcome in outcomes)
    width = statistics.median(outcome.high / outcome.low for outcome in outcomes)
    off = sorted(outcome.took / outcome.expected for outcome in outcomes)
    middle = statistics.median(off)
    return (
        f"| {name} | {within} of {len(outcomes)} | {width:.2f} "
        f"| {middle:.2f} ({off[0]:.2f}, {off[-1]:.2f}) |"
    )


if __name__ == "__main__":
    print(run(*map(int, sys.argv[1:])))
