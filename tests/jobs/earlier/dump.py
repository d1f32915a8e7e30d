"""`make release-dump`: keep the job databases and a data folder as a release leaves them.

    python -m tests.jobs.earlier.dump 0.1.0 [COMMIT]

runs that release's own code, from a checkout of its commit, by default the tag v0.1.0. The tests
then upgrade what it left. A version in the changelog with a date has to have a dump.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.conftest import ROOT, SHORT, finish, free_port, submit, wait_for
from tests.jobs.earlier import FOLDER

START_SECONDS = 180
# With enough steps to stop it in between.
SLOW = SHORT | {"width": 128, "height": 128, "num_inference_steps": 100, "step_cache": "off"}
KEPT = ("jobs.sqlite", "objects")  # of the data folder; the rest is made anew


def main() -> None:
    version, commit = sys.argv[1], (sys.argv[2:] or [f"v{sys.argv[1]}"])[0]
    with checkout(commit) as folder:
        for kind in ("sqlite", "postgres"):
            command = [sys.executable, "-P", str(FOLDER / "fill.py"), kind]
            filled = subprocess.run(command, env=environment(folder), check=True, stdout=-1)
            (FOLDER / f"{version}.{kind}.sql").write_bytes(filled.stdout)
        with tempfile.TemporaryDirectory() as data:
            leave_data(folder, Path(data))
            with tarfile.open(FOLDER / f"{version}.data.tar.gz", "w:gz") as archive:
                for name in KEPT:
                    archive.add(Path(data) / name, name)


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "release"
        git("worktree", "add", "--quiet", "--detach", str(folder), commit)
        try:
            yield folder
        finally:
            git("worktree", "remove", "--force", str(folder))


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The environment in which Python finds that version's code before ours."""
    return os.environ | {"PYTHONPATH": str(folder)} | more


def leave_data(folder: Path, data: Path) -> None:
    """Serve with that version until one clip is finished and one is in mid-render, then stop."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = "from hunyuan_runner.cli import app; app()"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program, "serve", "--port", str(port)],
        env=environment(folder, HUNYUAN_DATA_DIR=str(data), HUNYUAN_CALIBRATE="false"),
        cwd=folder,
    ) as process:
        try:
            wait_until_ready(process, url)
            with httpx.Client(base_url=url, timeout=60) as client:
                finish(client, submit(client))
                wait_for(client, submit(client, **SLOW), lambda job: job["step"] >= 2)
        finally:
            process.send_signal(signal.SIGTERM)  # which hands the job back


def wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        time.sleep(0.1)
    raise SystemExit("the release did not start")


if __name__ == "__main__":
    main()
