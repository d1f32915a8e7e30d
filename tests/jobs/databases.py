"""Databases to run the job store on: SQLite always, a real Postgres where its binaries are."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


def postgres_binaries() -> Path | None:
    """The folder that holds initdb and postgres, on the PATH or where Debian puts them."""
    candidates = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if found := shutil.which("initdb"):
        candidates.append(Path(found).parent)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None)


@contextmanager
def running_postgres(binaries: Path) -> Iterator[sa.URL]:
    """A server of its own on a socket in a temporary folder; the URL of its first database."""
    # Postgres refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(binaries / program), "-D", str(folder / "data"), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user)

        run("initdb", "-U", "test", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-t", "180", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield sa.URL.create(
                "postgresql", username="test", database="postgres", query={"host": str(folder)}
            )
        finally:
            run("pg_ctl", "-w", "-t", "180", "-m", "immediate", "stop")
