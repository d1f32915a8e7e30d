"""Causes the fault of every alert, and waits until a real Prometheus fires that alert and no other.

Run it as `python -m tests.alerts_drill`, with names of alerts to try only these. Prometheus
scrapes real services every second, with the deployed rules sixty times as fast.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from hunyuan_runner.settings import BUNDLED_MODELS
from tests.conftest import SHORT, Service, finish, serve, submit, wait_for
from tests.jobs.databases import postgres_binaries, stopped_postgres
from tests.prometheus import Prometheus, running_prometheus
from tests.receiver import receiving, wait_until

FIRE_SECONDS = 150
QUIET_SECONDS = 45  # in which a healthy service renders, and no alert may fire
# A clip that takes a minute or more, in short steps.
LONG = SHORT | {"width": 192, "height": 128, "num_frames": 33, "num_inference_steps": 100}
LONG |= {"step_cache": "off"}
SEPARATE = {"HUNYUAN_LOCAL_RUNNER": "false"}
SOON_DEAD = {"HUNYUAN_LEASE_SECONDS": "2"}


@dataclass
class Drill:
    """The services of one drill, in a folder of their own."""

    folder: Path
    services: list[Service] = field(default_factory=list)

    def start(self, entry: str = "service:HunyuanVideo", **environment: str) -> Service:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        ours = {"HUNYUAN_DATA_DIR": str(self.folder / "data")} | environment
        service = serve(folder, entry, ours)
        self.services.append(service)
        service.wait_until_ready()
        return service

    def start_runner(self, **environment: str) -> Service:
        return self.start("service:HunyuanRunner", **environment)

    def watch(self, *fronts: Service) -> contextlib.AbstractContextManager[Prometheus]:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return running_prometheus(folder, [front.url for front in fronts])


def client_of(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.url, timeout=60)


@contextmanager
def warmed_up(service: Service) -> Iterator[httpx.Client]:
    """A client of the service, whose estimates have been corrected by some jobs."""
    with client_of(service) as client:
        for clip in (SHORT, LONG | {"num_inference_steps": 10}):
            for _ in range(4):
                assert finish(client, submit(client, **clip))["status"] == "completed"
        yield client


def engine_of(service: Service) -> psutil.Process:
    engine = service.engine()
    assert engine is not None
    return engine


def steps(number: int) -> Callable[[dict[str, Any]], bool]:
    return lambda job: job["step"] >= number


Fault = Callable[[Drill], contextlib.AbstractContextManager[Prometheus]]
FAULTS: dict[str, tuple[str, Fault]] = {}  # by alert: what is done, and the function that does it


def fault(alert: str, words: str) -> Callable[[Callable[[Drill], Iterator[Prometheus]]], Fault]:
    """Register the fault of an alert. The function yields once the fault is there."""

    def register(cause: Callable[[Drill], Iterator[Prometheus]]) -> Fault:
        FAULTS[alert] = words, contextmanager(cause)
        return FAULTS[alert][1]

    return register


@fault("HunyuanFrontDown", "one of two fronts is killed")
def front_down(drill: Drill) -> Iterator[Prometheus]:
    other, front = drill.start(), drill.start(**SEPARATE)
    with drill.watch(other, front) as prometheus:
        front.kill()
        yield prometheus


@fault("HunyuanDatabaseDown", "Postgres is stopped")
def database_down(drill: Drill) -> Iterator[Prometheus]:
    binaries = postgres_binaries()
    assert binaries is not None, "not installed: the Debian package postgresql"
    with stopped_postgres(binaries) as server:
        server.start()
        url = server.url.render_as_string(hide_password=False)
        front = drill.start(HUNYUAN_DATABASE_URL=url, **SEPARATE)
        with drill.watch(front) as prometheus:
            server.stop()
            yield prometheus


@fault("HunyuanNoRunner", "the only runner is killed, and a job is submitted")
def no_runner(drill: Drill) -> Iterator[Prometheus]:
    front = drill.start(**SEPARATE, **SOON_DEAD)
    runner = drill.start_runner(**SOON_DEAD)
    with drill.watch(front) as prometheus, client_of(front) as client:
        finish(client, submit(client))
        runner.kill()
        submit(client)
        yield prometheus


@fault("HunyuanQueueStuck", "the engine is frozen in the middle of a render, and a job waits")
def queue_stuck(drill: Drill) -> Iterator[Prometheus]:
    service = drill.start()
    with drill.watch(service) as prometheus, client_of(service) as client:
        job = submit(client, **LONG)
        submit(client)
        wait_for(client, job, steps(2))
        with service.frozen_engine():
            yield prometheus
        assert finish(client, job)["status"] == "completed"


@fault("HunyuanMoreRunnersWanted", "twenty jobs are submitted, which should wait for one second")
def more_runners(drill: Drill) -> Iterator[Prometheus]:
    service = drill.start(HUNYUAN_TARGET_WAIT_SECONDS="1")
    with drill.watch(service) as prometheus, client_of(service) as client:
        for _ in range(20):
            submit(client, **LONG)
        yield prometheus


@fault("HunyuanDiskNearlyFull", "a file fills the disk of the data folder")
def disk_full(drill: Drill) -> Iterator[Prometheus]:
    disk = drill.folder / "data"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200M", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    try:
        service = drill.start()
        with drill.watch(service) as prometheus, client_of(service) as client:
            finish(client, submit(client))
            room = shutil.disk_usage(disk).free
            (disk / "filler").write_bytes(b"\0" * (room - 15_000_000))
            yield prometheus
            service.terminate()
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@fault("HunyuanJobsFailing", "the weights of the model are damaged")
def jobs_failing(drill: Drill) -> Iterator[Prometheus]:
    shutil.copytree(BUNDLED_MODELS / "demo", drill.folder / "models" / "demo")
    vae = drill.folder / "models" / "demo" / "vae" / "diffusion_pytorch_model.safetensors"
    weights = bytearray(vae.read_bytes())
    weights[-1] ^= 1
    vae.write_bytes(weights)
    service = drill.start(HUNYUAN_MODELS_DIR=str(drill.folder / "models"))
    with drill.watch(service) as prometheus, client_of(service) as client:
        for _ in range(3):
            assert finish(client, submit(client))["error"]["code"] == "model_unavailable"
        yield prometheus


@fault("HunyuanEnginesDying", "the engine is killed four times in the middle of a render")
def engines_dying(drill: Drill) -> Iterator[Prometheus]:
    service = drill.start()
    with drill.watch(service) as prometheus, client_of(service) as client:
        job = submit(client, **LONG)
        for _ in range(4):
            job = wait_for(client, job, steps(job["step"] + 5))
            engine_of(service).kill()
        yield prometheus
        assert finish(client, job)["status"] == "completed"


@fault("HunyuanRunnersDying", "four runners are killed, each when it has begun a render")
def runners_dying(drill: Drill) -> Iterator[Prometheus]:
    front = drill.start(**SEPARATE, **SOON_DEAD)
    patient = SOON_DEAD | {"HUNYUAN_MAX_FAILED_STARTS": "9"}
    runners = [drill.start_runner(**patient) for _ in range(5)]
    with drill.watch(front) as prometheus, client_of(front) as client:
        job = submit(client)
        for _ in range(4):
            wait_until(lambda: any(map(Service.engine, runners)))  # as soon as one has begun
            (busy,) = filter(Service.engine, runners)
            runners.remove(busy)
            busy.kill()
        yield prometheus
        assert finish(client, job)["status"] == "completed"


@fault("HunyuanRenderSlow", "the engine is frozen for four fifths of the time")
def render_slow(drill: Drill) -> Iterator[Prometheus]:
    service = drill.start()
    with warmed_up(service) as client:
        job = wait_for(client, submit(client, **LONG), steps(2))
        engine, over = engine_of(service), threading.Event()

        def slow_down() -> None:
            while not over.is_set():
                engine.suspend()
                time.sleep(0.08)
                engine.resume()
                time.sleep(0.02)

        with drill.watch(service) as prometheus:
            thread = threading.Thread(target=slow_down)
            thread.start()
            try:
                yield prometheus
            finally:
                over.set()
                thread.join()
            assert finish(client, job)["status"] == "completed"


@fault("HunyuanWebhooksFailing", "the receiver of webhooks answers 500")
def webhooks_failing(drill: Drill) -> Iterator[Prometheus]:
    service = drill.start(HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true")
    with (
        drill.watch(service) as prometheus,
        client_of(service) as client,
        receiving(then=500) as receiver,
    ):
        for _ in range(4):
            submit(client, webhook_url=receiver.url)
        yield prometheus


@fault("HunyuanErrors", "a table of the job database is gone, and jobs are submitted")
def errors(drill: Drill) -> Iterator[Prometheus]:
    front = drill.start(**SEPARATE)
    over = threading.Event()

    def post() -> None:
        while not over.wait(0.2):
            httpx.post(f"{front.url}/api/generate", json=SHORT, timeout=60)

    with drill.watch(front) as prometheus:
        with closing(sqlite3.connect(drill.folder / "data" / "jobs.sqlite")) as other:
            other.execute("DROP TABLE hunyuan_lanes")
        thread = threading.Thread(target=post)
        thread.start()
        try:
            yield prometheus
        finally:
            over.set()
            thread.join()


@contextmanager
def drilling() -> Iterator[Drill]:
    with tempfile.TemporaryDirectory(prefix="alerts", ignore_cleanup_errors=True) as name:
        drill = Drill(Path(name))
        try:
            yield drill
        finally:
            for service in drill.services:
                service.kill()


def fires(alert: str) -> bool:
    """Whether the fault makes its alert fire, and no other one."""
    words, cause = FAULTS[alert]
    with drilling() as drill, cause(drill) as prometheus:
        began = time.monotonic()
        while alert not in prometheus.firing() and time.monotonic() - began < FIRE_SECONDS:
            time.sleep(0.5)
        seconds = time.monotonic() - began
        fired = prometheus.has_fired()
    others = ", ".join(sorted(fired - {alert})) or "none"
    outcome = f"after {seconds:.0f} s" if alert in fired else "never"
    report(alert, words, outcome, others)
    return fired == {alert}


def silent() -> bool:
    """Whether no alert fires while a healthy service renders and sends webhooks."""
    with drilling() as drill:
        anywhere = {"HUNYUAN_WEBHOOK_ALLOW_PRIVATE": "true"}
        service, front = drill.start(**anywhere), drill.start(**SEPARATE, **anywhere)
        with (
            warmed_up(service) as client,
            receiving() as receiver,
            drill.watch(service, front) as prometheus,
        ):
            ends_at = time.monotonic() + QUIET_SECONDS
            while time.monotonic() < ends_at:
                job = submit(client, webhook_url=receiver.url)
                submit(client)
                assert finish(client, job)["status"] == "completed"
            wait_until(lambda: prometheus.value("max(hunyuan_queue_length)") == 0)
            fired = prometheus.has_fired()
    others = ", ".join(sorted(fired)) or "none"
    report("(none)", "none: two fronts, renders, webhooks that arrive", "", others)
    return not fired


def report(alert: str, words: str, outcome: str, others: str) -> None:
    print(f"| {alert} | {words} | {outcome} | {others} |", flush=True)


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("| alert | fault | fired | others that fired |\n|---|---|---|---|", flush=True)
    chosen = sys.argv[1:] or [*FAULTS]
    failed = [alert for alert in chosen if not fires(alert)]
    if not sys.argv[1:] and not silent():
        failed.append("a healthy service")
    if failed:
        sys.exit(f"not as expected: {', '.join(failed)}")


if __name__ == "__main__":
    main()
