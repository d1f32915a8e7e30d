"""Starts a real Postgres for tests of the job store, if it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa


def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres, on the PATH or where Debian installs them."""
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if found := shutil.which("initdb"):
        candidates.append(Path(found).parent)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


@dataclass(frozen=True)
class Server:
    """A Postgres server with its data and its socket in `folder`."""

    binaries: Path
    folder: Path
    user: str | None

    @property
    def url(self) -> sa.URL:
        """The URL of its first database."""
        return sa.URL.create(
            "postgresql", username="test", database="postgres", query={"host": str(self.folder)}
        )

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self.run(
            "pg_ctl", "-w", "-t", "180", "-l", str(self.folder / "log"), "-o", options, "start"
        )

    def stop(self) -> None:
        self.run("pg_ctl", "-w", "-t", "180", "-m", "immediate", "stop")

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, cwd=self.folder, user=self.user
        )


@contextmanager
def stopped_postgres(binaries: Path) -> Iterator[Server]:
    """A server in a temporary folder. The caller starts it, and stops it again."""
    # Postgres refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        server = Server(binaries, folder, user)
        server.run("initdb", "-U", "test", "-A", "trust", "--no-sync")
        yield server


@contextmanager
def running_postgres(binaries: Path) -> Iterator[sa.URL]:
    """Run a server while the block runs, and yield its URL."""
    with stopped_postgres(binaries) as server:
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
