"""Starts a real service to measure, with its own port and data folder."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import psutil

START_SECONDS = 120
STOP_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """A running `bentoml serve`, and a client with a connection that is kept open."""

    client: httpx.Client
    port: int

    def front_process(self) -> psutil.Process:
        return front_process(self.port)


def front_process(port: int) -> psutil.Process:
    """The process that answers HTTP on this port.

    Its parent, BentoML's supervisor, holds the listening socket too. The younger one is the front.
    """
    holders = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.laddr and connection.laddr.port == port and connection.pid
    } - {os.getpid()}
    return max((psutil.Process(pid) for pid in holders), key=psutil.Process.create_time)


@contextlib.contextmanager
def running_service(**environment: str) -> Iterator[Service]:
    """Run `bentoml serve` with an empty data folder and these environment variables."""
    with socket.socket() as probe, tempfile.TemporaryDirectory() as data_dir:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = ["bentoml", "serve", "service:HunyuanVideo", "--host", "127.0.0.1"]
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            env=os.environ
            | {
                "HUNYUAN_DATA_DIR": data_dir,
                "HUNYUAN_LOG_LEVEL": "WARNING",
                "HUNYUAN_CALIBRATE": "false",
            }
            | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                _wait_until_ready(client, process)
                yield Service(client, port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(STOP_SECONDS)


def _wait_until_ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/readyz").is_success:
                return
        time.sleep(0.1)
    raise RuntimeError("the service did not start")
