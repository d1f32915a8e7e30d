"""A container of a built image: the image's command as its own user, as the first process of a
process namespace, on a read-only file system. The network is this machine's.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import free_port
from tests.image.building import Image

START_SECONDS = 300
STOP_SECONDS = 120

# $1 is the image's file system, $2 the volume, $3 the user; the command follows.
ENTER = """
root=$1 volume=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mount --bind "$volume" "$root/data"
mount -t tmpfs tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
exec /usr/sbin/chroot --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True)
class Container:
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def wait_until_ready(self, status: str = "ok") -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/health").json().get("status") == status:
                    return
            time.sleep(0.2)
        pytest.fail(f"the container did not start:\n{self.log.read_text()}")

    @property
    def first_process(self) -> psutil.Process:
        """What has the process id 1 in the container."""
        (first,) = psutil.Process(self.process.pid).children()
        return first

    def stop(self) -> int:
        """Stop it as `docker stop` does; returns its exit code."""
        self.first_process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)


@contextmanager
def container(
    image: Image, volume: Path, log: Path, *command: str, **environment: str
) -> Iterator[Container]:
    """Start the image's entrypoint, with `command` if any."""
    port = free_port()
    given = environment | {"PORT": str(port), "HUNYUAN_CALIBRATE": "false", "HUNYUAN_THREADS": "1"}
    inside = ["env", "-C", image.config["WorkingDir"], "-i"]
    inside += [f"{name}={value}" for name, value in (image.environment | given).items()]
    inside += [*image.config["Entrypoint"], *command]
    user = image.config["User"]
    enter = ["unshare", "--mount", "--pid", "--fork", "bash", "-euc", ENTER]
    enter += ["enter", str(image.root), str(volume), f"{user}:{user}", *inside]
    with log.open("wb") as output, subprocess.Popen(enter, stdout=output, stderr=output) as process:
        try:
            yield Container(process, f"http://127.0.0.1:{port}", log)
        finally:
            # The first process takes all others of its namespace along. unshare's --kill-child
            # would not: a process that changes its user, as chroot does, outlives its parent.
            with contextlib.suppress(psutil.NoSuchProcess):
                for first in psutil.Process(process.pid).children():
                    first.kill()
            process.kill()


def health_check(image: Image, url: str) -> int:
    """Run the image's health check in its file system; returns its exit code."""
    (kind, command) = image.config["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"
    variables = image.environment | {"PORT": url.rpartition(":")[2]}
    inside = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
    chroot = ["/usr/sbin/chroot", "--userspec=1034:1034", str(image.root)]
    return subprocess.run([*chroot, *inside, "sh", "-c", command], capture_output=True).returncode
