"""Starts the real service as a user does, with its own port and data folder."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx
import psutil
import pytest

from hunyuan_runner.machine.building import PREBUILT, KernelsUnavailable, library_of
from hunyuan_runner.machine.host import cpu_flags
from hunyuan_runner.machine.instructions import available
from hunyuan_runner.storage.bucket import Bucket
from tests.s3 import PROGRAMS, Server, running_s3

ROOT = Path(__file__).parent.parent
START_SECONDS = 180
ENGINE = "hunyuan_runner.engine.child"

# Several processes run tests at once. If each used all cores, they would wait for each other at
# every step.
os.environ["OMP_NUM_THREADS"] = "1"
ENGINE_THREADS = "1"

# A process that a script starts in the background ignores SIGINT, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
# When a run is ended, by `timeout` for example, its services end too.
signal.signal(signal.SIGTERM, signal.default_int_handler)
GRACE_SECONDS = 60

# A clip of the demo model that takes half a second, and one that takes half a minute. The long one
# has many short steps, because a render stops between two of them.
SHORT = {"prompt": "A red circle", "width": 64, "height": 64, "num_frames": 5} | {
    "num_inference_steps": 2,
    "seed": 7,
}
LONG = {"prompt": "A red circle", "width": 256, "height": 192, "num_frames": 33} | {
    "num_inference_steps": 100,
    "step_cache": "off",
    "seed": 7,
}


def pytest_configure(config: pytest.Config) -> None:
    """Build the kernels for this CPU where every engine looks first.

    Otherwise each data folder would have its own, and each would take five seconds to build.
    """
    is_controller = not hasattr(config, "workerinput")
    if is_controller and (usable := available(cpu_flags())):
        with contextlib.suppress(KernelsUnavailable):
            library_of(usable[0], PREBUILT)


# `.ci/run` installs every program that tests need, and sets this: then none may be missing.
MUST_RUN = "HUNYUAN_TESTS_MUST_RUN"


def find_program(name: str, package: str | None = None) -> str:
    """The path of a program that a test runs, by default from the Debian package of that name.

    Without it the test is skipped, or fails if MUST_RUN is set.
    """
    path = shutil.which(name)
    return path or skip_without(package or name)


def skip_without(package: str) -> NoReturn:
    """Skip a test that needs a Debian package which is not installed; with MUST_RUN, fail it."""
    reason = f"not installed: the Debian package {package}"
    if os.environ.get(MUST_RUN) == "1":
        pytest.fail(f"{reason}, and {MUST_RUN} is set")
    pytest.skip(reason)


@dataclass(frozen=True)
class Service:
    """A `bentoml serve` under test."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until_ready(self, probe: str = "/readyz") -> None:
        deadline = time.monotonic() + START_SECONDS
        with httpx.Client(base_url=self.url) as client:  # to create one takes 20 ms of CPU time
            while time.monotonic() < deadline and self.process.poll() is None:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(probe).status_code == 200:
                        return
                time.sleep(0.1)
        pytest.fail(f"the service did not start:\n{self.log_tail()}")

    def terminate(self) -> int:
        """Stop the service with SIGTERM, as platforms do; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(GRACE_SECONDS)

    def kill(self) -> None:
        """Kill all its processes, also those in other sessions."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        self.process.wait()

    def engine(self) -> psutil.Process | None:
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next((each for each in family if ENGINE in each.cmdline()), None)

    @contextlib.contextmanager
    def frozen_engine(self) -> Iterator[None]:
        """The job that is rendered stays at its step, however long what comes meanwhile takes."""
        engine = self.engine()
        assert engine is not None
        engine.suspend()
        try:
            yield
        finally:
            engine.resume()

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-60:])


StartService = Callable[..., Service]
_running: list[Service] = []


@contextlib.contextmanager
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartService]:
    """Start services, which end with the context."""
    ours: list[Service] = []

    def start(
        entry: str = "service:HunyuanVideo", *, port: int | None = None, **environment: str
    ) -> Service:
        folder = tmp_path_factory.mktemp("service")
        service = serve(folder, entry, environment, port)
        ours.append(service)
        _running.append(service)
        service.wait_until_ready()
        return service

    try:
        yield start
    finally:
        for service in ours:
            with contextlib.suppress(subprocess.TimeoutExpired):
                service.terminate()
            service.kill()
            _running.remove(service)


@pytest.fixture(scope="module")
def start_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartService]:
    """Start a service: `start_service("service:HunyuanRunner", HUNYUAN_DATA_DIR=…)`.

    It ends with the file: while it has nothing to do, it takes 1.4 % of a core.
    """
    with services(tmp_path_factory) as start:
        yield start


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service with its runner, shared by all tests that do not stop it."""
    with services(tmp_path_factory) as start:
        yield with_worker(start())


def with_worker(service: Service) -> Service:
    """The service, once its worker takes jobs."""
    with httpx.Client(base_url=service.url) as client:
        while client.get("/health").json()["status"] != "ok":
            time.sleep(0.1)
    return service


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """A real S3 server, with a bucket."""
    for program in PROGRAMS:
        find_program(program)
    with running_s3("127.0.0.1", free_port(), free_port()) as server:
        yield server


@pytest.fixture
def s3_bucket(
    s3: Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Bucket:
    """An empty folder of the server's bucket."""
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    return Bucket.open(f"{s3.url}/{request.node.name}")


@pytest.fixture(scope="session")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def clip(client: httpx.Client) -> dict[str, Any]:
    """A completed job."""
    return finish(client, submit(client))


@pytest.fixture
def running_job(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """A job that is being rendered, and that takes long."""
    job = submit(client, **LONG)
    yield wait_for(client, job, lambda job: job["step"] > 0 or job["stage"] == "denoising")
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    client.delete(f"/api/jobs/{job['job_id']}")


def submit(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/generate", json=SHORT | fields)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def finish(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Wait until the job has ended, in whatever state."""
    return wait_for(client, job, lambda job: job["completed_at"] is not None)


def wait_for(
    client: httpx.Client, job: dict[str, Any], condition: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Poll until `condition` holds, or until the test's timeout."""
    while not condition(job):
        time.sleep(0.1)
        job = client.get(f"/api/status/{job['job_id']}").json()
    return job


# Tests that use one of these start something that takes seconds.
SLOW_FIXTURES = {
    "service",
    "studio",
    "start_service",
    "start_worker",
    "start_engine",
    "engine",
    "postgres",
    "bento",
    "s3",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, which `make quick` skips; some have the mark in their source.

    Their files come first, so that no process ends up alone with a long one.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        # tests/jobs/conftest.py requests Postgres by the value of a parameter.
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if SLOW_FIXTURES & {*item.fixturenames, *(v for v in values if isinstance(v, str))}:
            item.add_marker(pytest.mark.slow)
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from scanning all modules and tests again and again.

    It takes a third of the time to collect the tests, and later holds one up for seconds if the
    machine is busy.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for service in _running:
            report.sections.append((f"log of {service.url}", service.log_tail()))
    return report


def free_port() -> int:
    """A free port outside of the range from which the system chooses ports.

    A service takes seconds until it listens. Meanwhile the system may give a port of its range to
    another test.
    """
    while True:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", random.randrange(10_000, 32_768)))
            return int(probe.getsockname()[1])


def serve(
    folder: Path, entry: str, environment: dict[str, str], port: int | None = None
) -> Service:
    port = port or free_port()
    data_dir = Path(environment.get("HUNYUAN_DATA_DIR", folder / "data"))
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HUNYUAN_", "BENTOML_"))}
    ours = {
        "HUNYUAN_DATA_DIR": str(data_dir),
        "HUNYUAN_THREADS": ENGINE_THREADS,
        "HUNYUAN_CALIBRATE": "false",  # which takes seconds
        "HUNYUAN_LEASE_SECONDS": "60",  # so that no worker seems dead while the disk is busy
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    command = [sys.executable, "-m", "bentoml", "serve", entry]
    command += ["--host", "127.0.0.1", "--port", str(port), "--timeout-graceful-shutdown", "5"]
    log = folder / "log.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=inherited | ours | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(f"http://127.0.0.1:{port}", data_dir, process, log)
