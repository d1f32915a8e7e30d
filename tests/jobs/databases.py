"""Databases to run the job store on: SQLite always, a real Postgres where its binaries are."""

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
    """The folder that holds initdb and postgres, on the PATH or where Debian puts them."""
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if found := shutil.which("initdb"):
        candidates.append(Path(found).parent)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


@dataclass(frozen=True)
class Server:
    """A Postgres server of its own, on a socket in `folder`, that can be started and stopped."""

    binaries: Path
    folder: Path
    user: str | None

    @property
    def url(self) -> sa.URL:
        """Of its first database."""
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
    """A server that is yet to be started, in a temporary folder; it is to be stopped, too."""
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
    """The URL of a server that runs in the meantime."""
    with stopped_postgres(binaries) as server:
        server.start()
        try:
            yield server.url
        finally:
            server.stop()
