"""Breaks a service on several machines while it renders, and counts what was lost.

    make drill, or python -m tests.drill

Two fronts and three runners on addresses of their own share a real Postgres and a real bucket. For
each fault there are jobs in the queue and in the middle of a render. Prints a table.
"""

from __future__ import annotations

import hashlib
import random
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import sqlalchemy as sa

from hunyuan_runner.jobs.database import events, jobs
from hunyuan_runner.wire import JobState
from tests.drill.cluster import RUNNERS, Cluster, Process, running_cluster

SHORT = {"prompt": "A red circle", "width": 64, "height": 64, "num_frames": 5, "seed": 7} | {
    "num_inference_steps": 2
}
LONG = (
    SHORT
    | {"width": 128, "height": 128, "num_frames": 17, "step_cache": "off"}
    | {"num_inference_steps": 60}
)
SHORTS = 30  # in the queue at each fault
OUTAGE_SECONDS = 60.0  # of the bucket
CUT_SECONDS = 45.0
FROZEN_SECONDS = 45.0
PATIENCE_SECONDS = 600.0
ROW = "| {} | {} | {} | {} | {} | {} |"


@dataclass(frozen=True)
class Seen:
    """What a fault did."""

    what: str
    recovery_seconds: float


@dataclass(frozen=True)
class Victim:
    """A runner, and the job that it renders."""

    name: str
    process: Process
    executor_id: str
    job_id: str
    step: int


class Drill:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.ids: list[str] = []
        self._http = httpx.Client(timeout=10)
        self._numbers = iter(range(1_000_000))

    def submit(self, clip: dict[str, Any]) -> str:
        """Queue a clip at one of the fronts; if it does not answer, at another."""
        key = {"Idempotency-Key": f"drill-{next(self._numbers)}"}
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            front = random.choice(self.cluster.fronts)
            try:
                answer = self._http.post(f"{front.url}/api/generate", json=clip, headers=key)
            except httpx.TransportError:
                continue
            if answer.status_code == 202:
                job_id = str(answer.json()["job_id"])
                self.ids.append(job_id)
                return job_id
            time.sleep(0.2)
        raise TimeoutError("no front accepted a job")

    def row(self, job_id: str) -> sa.Row[Any]:
        return self._patiently(sa.select(jobs).where(jobs.c.id == job_id))[0]

    def _patiently(self, statement: sa.Executable) -> list[sa.Row[Any]]:
        """The rows, once Postgres answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with self.cluster.engine.connect() as connection:
                    return list(connection.execute(statement).all())
            except sa.exc.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def wait(self, condition: Callable[[], bool], what: str) -> float:
        """The seconds until the condition holds."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() > began + PATIENCE_SECONDS:
                raise TimeoutError(f"waited in vain for {what}")
            time.sleep(0.05)
        return time.monotonic() - began

    def executor_of(self, process: Process) -> str:
        """The id under which a runner takes jobs."""
        found = re.findall(r"worker (\S+) takes jobs", process.log.read_text())
        return str(found[-1]) if found else ""

    def victim(self) -> Victim:
        """A runner in the middle of a long clip, whose path another runner has as well."""
        while (victim := self._begun(self.submit(LONG))) is None:
            self._http.post(f"{self.cluster.fronts[0].url}/api/jobs/{self.ids.pop()}/cancel")
        return victim

    def _begun(self, job_id: str) -> Victim | None:
        self.wait(lambda: bool(self.row(job_id).step >= 5), "a clip to be rendered")
        row = self.row(job_id)
        for name, process in self.cluster.runners.items():
            if self.executor_of(process) == row.executor_id and RUNNERS[name] == "1":
                return Victim(name, process, row.executor_id, job_id, row.step)
        return None

    def taken_over(self, victim: Victim) -> Callable[[], bool]:
        """Whether the victim's job is in the queue again, or further."""

        def is_taken_over() -> bool:
            row = self.row(victim.job_id)
            return bool(row.state == JobState.PENDING or row.executor_id != victim.executor_id)

        return is_taken_over

    def successor(self, victim: Victim) -> str:
        """The runner that took the victim's job over."""
        executor_id = self.row(victim.job_id).executor_id
        return next(
            name
            for name, process in self.cluster.runners.items()
            if self.executor_of(process) == executor_id
        )

    def finish(self) -> None:
        """Until all jobs have ended."""
        ended = sa.select(sa.func.count()).where(jobs.c.completed_at.is_(None))
        self.wait(lambda: self._patiently(ended)[0][0] == 0, "all jobs to end")

    def lost(self) -> list[str]:
        """The jobs that are not completed."""
        done = {row.id for row in self._patiently(sa.select(jobs.c.id).where(_COMPLETED))}
        return [job_id for job_id in self.ids if job_id not in done]

    def rendered_twice(self) -> list[str]:
        """The jobs that were completed twice, or whose video was stored twice."""
        of = sa.select(events.c.job_id).where(
            events.c.change == "state", events.c.state == JobState.COMPLETED
        )
        ends = Counter(row.job_id for row in self._patiently(of))
        stored = Counter(
            path.split("/jobs/")[1].split("/")[0]
            for method, path in self.cluster.bucket.requests
            if method == "PUT" and path.endswith("/video.mp4")
        )
        return [job_id for job_id in self.ids if ends[job_id] > 1 or stored[job_id] > 1]

    def different(self) -> list[str]:
        """The jobs whose clip is not the one of an uninterrupted render on the same path."""
        # Those that were never interrupted come first.
        first: dict[tuple[int, int], str] = {}
        different = []
        rows = self._patiently(sa.select(jobs).where(_COMPLETED).order_by(jobs.c.attempts))
        for row in rows:
            url = self.cluster.fronts[1].url
            video = self._http.get(f"{url}/api/videos/{row.id}.mp4").raise_for_status().content
            manifest = self._http.get(f"{url}/api/jobs/{row.id}/manifest").raise_for_status().json()
            kind = (row.params["num_inference_steps"], manifest["threads"])
            digest = hashlib.sha256(video).hexdigest()
            if first.setdefault(kind, digest) != digest:
                different.append(row.id)
        return different


_COMPLETED = jobs.c.state == JobState.COMPLETED


def a_runner_is_cut_off(drill: Drill) -> Seen:
    with loaded(drill) as victim:
        victim.process.machine.cut_off()
        began = time.monotonic()
        seconds = drill.wait(drill.taken_over(victim), "a take-over")
        what = _continued(drill, victim)
        time.sleep(max(0.0, began + CUT_SECONDS - time.monotonic()))
        victim.process.machine.reconnect()
        back = drill.wait(lambda: _lives(drill, victim.executor_id), "the runner to be back")
        return Seen(f"{what}; reconnected, it was back after {back:.0f} s", seconds)


def a_runner_is_killed(drill: Drill) -> Seen:
    with loaded(drill) as victim:
        victim.process.stop(signal.SIGKILL)
        seconds = drill.wait(drill.taken_over(victim), "a take-over")
        what = _continued(drill, victim)
        victim.process.start()
        victim.process.wait()
        return Seen(what, seconds)


def a_runner_is_stopped_and_revived(drill: Drill) -> Seen:
    with loaded(drill) as victim:
        victim.process.send(signal.SIGSTOP)
        began = time.monotonic()
        seconds = drill.wait(drill.taken_over(victim), "a take-over")
        what = _continued(drill, victim)
        time.sleep(max(0.0, began + FROZEN_SECONDS - time.monotonic()))
        victim.process.send(signal.SIGCONT)
        back = drill.wait(lambda: _lives(drill, victim.executor_id), "the runner to be back")
        return Seen(f"{what}; revived, it was back after {back:.0f} s", seconds)


def postgres_is_restarted(drill: Drill) -> Seen:
    with loaded(drill) as victim:
        drill.cluster.database.stop()
        time.sleep(5)
        drill.cluster.database.start()
        step = victim.step

        def goes_on() -> bool:
            row = drill.row(victim.job_id)
            return bool(row.state == JobState.COMPLETED or row.step > step + 1)

        seconds = drill.wait(goes_on, "the render to go on")
        same = drill.row(victim.job_id).executor_id == victim.executor_id
        kept = "its runner kept it" if same else "another runner took it over"
        return Seen(f"down for 5 s; the job under way went on, {kept}", seconds)


def the_bucket_answers_503(drill: Drill) -> Seen:
    with loaded(drill):
        bucket = drill.cluster.bucket
        completed = sa.select(sa.func.count()).where(_COMPLETED)
        bucket.failing = True
        time.sleep(OUTAGE_SECONDS)
        before = drill._patiently(completed)[0][0]
        failed = drill._patiently(sa.select(jobs.c.id).where(jobs.c.state == JobState.FAILED))
        bucket.failing = False
        seconds = drill.wait(
            lambda: drill._patiently(completed)[0][0] > before, "a clip to be published"
        )
        what = f"{len(failed)} jobs failed, the others waited"
        return Seen(f"503 for {OUTAGE_SECONDS:.0f} s; {what}", seconds)


def a_front_is_restarted_under_load(drill: Drill) -> Seen:
    front, other = drill.cluster.fronts
    answers: Counter[str] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(timeout=10) as http:
            while not stop.is_set():
                for process, name in ((front, "restarted"), (other, "other")):
                    try:
                        status = http.get(f"{process.url}/api/jobs?limit=5").status_code
                        answers[f"{name} {status // 100}xx"] += 1
                    except httpx.TransportError:
                        answers[f"{name} no answer"] += 1
                time.sleep(0.1)

    with loaded(drill), ThreadPoolExecutor(12) as threads:
        asking = [threads.submit(ask) for _ in range(4)]
        submitting = [threads.submit(drill.submit, SHORT) for _ in range(SHORTS)]
        began = time.monotonic()
        front.stop(signal.SIGTERM)
        front.start()
        front.wait()
        seconds = time.monotonic() - began
        for each in submitting:
            each.result()
        stop.set()
        for reader in asking:
            reader.result()
    faults = {name: number for name, number in answers.items() if not name.endswith("2xx")}
    assert not any(name.startswith("other") for name in faults), faults
    failed = ", ".join(f"{number} {name}" for name, number in sorted(faults.items())) or "none"
    return Seen(
        f"{sum(answers.values())} reads by four clients, of which failed: {failed}; "
        f"{SHORTS} submissions went to the front that answered",
        seconds,
    )


FAULTS = {
    "a runner cut off, not killed": a_runner_is_cut_off,
    "a runner killed (SIGKILL)": a_runner_is_killed,
    "a runner stopped and revived (SIGSTOP)": a_runner_is_stopped_and_revived,
    "Postgres restarted": postgres_is_restarted,
    "the bucket answers 503 for a minute": the_bucket_answers_503,
    "a front restarted under load": a_front_is_restarted_under_load,
}


@contextmanager
def loaded(drill: Drill) -> Iterator[Victim]:
    """A runner in the middle of a long clip, and short clips in the queue."""
    victim = drill.victim()
    for _ in range(SHORTS):
        drill.submit(SHORT)
    yield victim
    drill.finish()


def _continued(drill: Drill, victim: Victim) -> str:
    wait = drill.wait(lambda: drill.row(victim.job_id).resumed_from_step is not None, "a resume")
    name = drill.successor(victim)
    row = drill.row(victim.job_id)
    assert RUNNERS[name] == RUNNERS[victim.name], f"{name} continued on another path"
    return (
        f"{name}, the other runner of its path, was free {wait:.0f} s later and continued at step "
        f"{row.resumed_from_step}"
    )


def _lives(drill: Drill, executor_id: str) -> bool:
    query = sa.text("SELECT 1 FROM hunyuan_workers WHERE executor_id = :id")
    return bool(drill._patiently(query.bindparams(id=executor_id)))


def main() -> None:
    print(ROW.format("fault", "what was seen", "recovery, s", "jobs", "lost", "rendered twice"))
    print("|---|---|---|---|---|---|", flush=True)
    bad = False
    with running_cluster() as cluster:
        drill = Drill(cluster)
        drill.victim()  # renders the clip that the others are compared with
        drill.finish()
        for name, fault in FAULTS.items():
            if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
                continue
            before = len(drill.ids)
            seen = fault(drill)
            drill.finish()
            lost, twice = drill.lost(), drill.rendered_twice()
            bad |= bool(lost or twice)
            recovery, number = f"{seen.recovery_seconds:.1f}", len(drill.ids) - before
            print(ROW.format(name, seen.what, recovery, number, len(lost), len(twice)), flush=True)
        different = drill.different()
        bad |= bool(different)
    print(f"\n{len(drill.ids)} jobs. Clips that differ from an uninterrupted one: {len(different)}")
    if bad:
        sys.exit(f"lost {lost}, rendered twice {twice}, different {different}")


if __name__ == "__main__":
    main()
