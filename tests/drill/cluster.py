"""The service of a drill: two fronts and three runners, a Postgres, and a bucket with a proxy."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import sqlalchemy as sa

from tests.conftest import ROOT, free_port
from tests.drill.network import HERE, Machine, machines
from tests.jobs.databases import Server as Postgres
from tests.jobs.databases import postgres_binaries, stopped_postgres
from tests.s3 import Proxy, Server, running_s3

PORT = 3000
POSTGRES_PORT = 5432
START_SECONDS = 180
RUNNERS = {"runner1": "1", "runner2": "1", "runner3": "2"}  # and the threads of their engines


@dataclass
class Process:
    """A front or a runner on its machine. It may be started again."""

    machine: Machine
    entry: str
    environment: dict[str, str]
    folder: Path
    running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://{self.machine.address}:{PORT}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.machine.name}.log"

    def start(self) -> None:
        command = [sys.executable, "-m", "bentoml", "serve", self.entry]
        command += ["--host", self.machine.address, "--port", str(PORT)]
        command += ["--timeout-graceful-shutdown", "5"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HUNYUAN_", "BENTOML_"))}
        own = self.folder / self.machine.name
        ours = {
            "HUNYUAN_DATA_DIR": str(own),
            "BENTOML_HOME": str(own / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        with self.log.open("ab") as output:
            self.running = subprocess.Popen(
                self.machine.command(*command),
                cwd=ROOT,
                env=clean | ours | self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"{self.machine.name} did not start:\n{self.log.read_text()[-3000:]}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all its processes."""
        assert self.running is not None
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(self.running.pid)
            for process in (parent, *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.running is not None
        if number is signal.SIGTERM:
            self.running.send_signal(number)
        else:
            self.send(number)
        self.running.wait()


@dataclass
class Cluster:
    fronts: list[Process]
    runners: dict[str, Process]
    database: Database
    bucket: Proxy
    engine: sa.Engine = field(repr=False)


@dataclass(frozen=True)
class Database:
    """A Postgres on its machine, that can be restarted."""

    server: Postgres
    machine: Machine

    @property
    def url(self) -> str:
        return f"postgresql://test@{self.machine.address}:{POSTGRES_PORT}/postgres"

    def start(self) -> None:
        hosts = self.server.folder / "data" / "pg_hba.conf"
        hosts.write_text("local all all trust\nhost all all 10.77.0.0/24 trust\n")
        options = (
            f"-c listen_addresses={self.machine.address} -c port={POSTGRES_PORT} "
            f"-c unix_socket_directories={self.server.folder}"
        )
        self._control("-o", options, "-l", f"{self.server.folder}/log", "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        user = ("runuser", "-u", self.server.user, "--") if self.server.user else ()
        control = str(self.server.binaries / "pg_ctl")
        data = f"{self.server.folder}/data"
        command = self.machine.command(*user, control, "-w", "-t", "60", "-D", data, *arguments)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self.server.folder)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    binaries = postgres_binaries()
    assert binaries is not None, "install Debian's postgresql"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drill")))
        stack.callback(_keep_logs, folder)
        names = ("postgres", "front1", "front2", *RUNNERS)
        hosts = stack.enter_context(machines(*names))
        database = Database(stack.enter_context(stopped_postgres(binaries)), hosts["postgres"])
        database.start()
        stack.callback(database.stop)
        s3 = stack.enter_context(running_s3(HERE, free_port(), free_port()))
        proxy = stack.enter_context(Proxy(s3.endpoint, HERE))
        shared = _shared(s3, proxy, database)
        fronts = [
            Process(
                hosts[name],
                "service:HunyuanVideo",
                shared | {"HUNYUAN_LOCAL_RUNNER": "false", "HUNYUAN_ALLOW_ANONYMOUS": "true"},
                folder,
            )
            for name in ("front1", "front2")
        ]
        runners = {
            name: Process(
                hosts[name], "service:HunyuanRunner", shared | {"HUNYUAN_THREADS": threads}, folder
            )
            for name, threads in RUNNERS.items()
        }
        for process in (*fronts, *runners.values()):
            process.start()
            stack.callback(process.stop)
        for process in (*fronts, *runners.values()):
            process.wait()
        engine = sa.create_engine(
            database.url.replace("postgresql://", "postgresql+psycopg://"), pool_pre_ping=True
        )
        stack.callback(engine.dispose)
        yield Cluster(fronts, runners, database, proxy, engine)


def _shared(s3: Server, proxy: Proxy, database: Database) -> dict[str, str]:
    return {
        "HUNYUAN_DATABASE_URL": database.url,
        "HUNYUAN_STORAGE_URL": s3.url,
        "HUNYUAN_CALIBRATE": "false",
        **s3.environment(proxy.endpoint),
    }


def _keep_logs(folder: Path) -> None:
    kept = ROOT / "build" / "drill"
    kept.mkdir(parents=True, exist_ok=True)
    for log in folder.glob("*.log"):
        shutil.copy(log, kept)
