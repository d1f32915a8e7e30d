"""A real S3 server for tests: Ceph's radosgw with a monitor and a store in memory.

Of what Debian packages it is the one that people run in production. It starts in two seconds,
because its monitor does not wait for more proposals before it decides on one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

PROGRAMS = ("radosgw", "ceph-mon", "ceph-osd")  # so are the Debian packages called
ACCESS_KEY, SECRET_KEY = "clips", "a-secret-of-the-tests"
REGION = "default"
START_SECONDS = 120
CONFIGURATION = """
[global]
fsid = {fsid}
mon host = v2:{host}:{mon_port}
public addr = {host}
cluster addr = {host}
ms bind ipv6 = false
keyring = {folder}/keyring
log file = {folder}/$name.log
admin socket = {folder}/$name.$pid.asok
pid file =
mon data = {folder}/mon
mon allow pool size one = true
auth allow insecure global id reclaim = false
paxos propose interval = 0.02
paxos min wait = 0.01
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon osd report timeout = 86400
rgw data = {folder}/rgw
rgw frontends = beast endpoint={host}:{port}
rgw enable apis = s3
rgw run sync thread = false
"""


@dataclass(frozen=True)
class Server:
    """A running S3 server with one bucket."""

    endpoint: str
    bucket: str = "clips"

    @property
    def url(self) -> str:
        """For HUNYUAN_STORAGE_URL."""
        return f"s3://{self.bucket}/service"

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a process needs to reach it, by default without a proxy."""
        return {
            "AWS_ENDPOINT": endpoint or self.endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        }


@contextmanager
def running_s3(host: str, port: int, mon_port: int) -> Iterator[Server]:
    """Run a server on these free ports while the block runs. It needs PROGRAMS."""
    with tempfile.TemporaryDirectory(prefix="s3") as name:
        cluster = _Cluster(Path(name), host, port, mon_port)
        try:
            cluster.start()
            yield Server(cluster.endpoint)
        finally:
            cluster.stop()


@dataclass(frozen=True)
class _Cluster:
    folder: Path
    host: str
    port: int
    mon_port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self) -> None:
        fsid = str(uuid4())
        for daemon in ("mon", "osd", "rgw"):
            (self.folder / daemon).mkdir()
        text = CONFIGURATION.format(
            fsid=fsid, host=self.host, port=self.port, mon_port=self.mon_port, folder=self.folder
        )
        self._configuration.write_text(text)
        keyring, map_file = str(self.folder / "keyring"), str(self.folder / "map")
        self._run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.")
        self._run("ceph-authtool", keyring, "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw", "osd.0"):
            caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
            self._run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps)
        address = f"[v2:{self.host}:{self.mon_port}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", address, map_file)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file, "--keyring", keyring)
        self._daemon("ceph-mon", "-i", "a")
        self._run("ceph", "osd", "new", fsid, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", fsid)
        self._daemon("ceph-osd", "-i", "0")
        self._daemon("radosgw", "-n", "client.rgw")
        self._wait_until_it_answers()
        keys = ("--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY)
        user = ("--uid", "clips", "--display-name", "clips", *keys)
        self._run("radosgw-admin", "-n", "client.rgw", "user", "create", *user)
        httpx.put(f"{self.endpoint}/{Server.bucket}", headers=_signed()).raise_for_status()

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    @property
    def _configuration(self) -> Path:
        return self.folder / "ceph.conf"

    def _run(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._configuration), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
        assert done.returncode == 0, f"{program}: {done.stderr}"

    def _daemon(self, program: str, *arguments: str) -> None:
        command = [program, "-c", str(self._configuration), "--foreground", *arguments]
        output = (self.folder / f"{program}.out").open("wb")
        with output:
            self.processes.append(subprocess.Popen(command, stdout=output, stderr=output))

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.processes[-1].poll() is None:
            with suppress(httpx.TransportError):
                httpx.get(self.endpoint)
                return
            time.sleep(0.05)
        logs = "\n".join(log.read_text()[-2000:] for log in self.folder.glob("*.o*"))
        raise AssertionError(f"radosgw did not start:\n{logs}")


def _signed() -> dict[str, str]:
    """Headers of a request that creates the bucket, in the short form of AWS's version 2."""
    date = formatdate(usegmt=True)
    wanted = f"PUT\n\n\n{date}\n/{Server.bucket}"
    digest = hmac.digest(SECRET_KEY.encode(), wanted.encode(), hashlib.sha1)
    return {"Date": date, "Authorization": f"AWS {ACCESS_KEY}:{base64.b64encode(digest).decode()}"}


class Proxy:
    """Forwards requests to a server, except while it answers 503 or waits, as it is set to.

    Use it as a context manager.
    """

    def __init__(self, endpoint: str, host: str = "127.0.0.1") -> None:
        self.failing = False  # answer 503 to everything
        self.failures = 0  # answer 503 to so many requests more
        self.refused = ""  # answer 503 to requests whose path contains this
        self.pause = 0.0  # seconds before each answer
        self.requests: list[tuple[str, str]] = []  # those forwarded: method and path
        self._lock = threading.Lock()
        handler = type("Handler", (_Forward,), {"proxy": self, "target": urlsplit(endpoint).netloc})
        self._server = ThreadingHTTPServer((host, 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.endpoint = f"http://{host}:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def admits(self, method: str, path: str) -> bool:
        """Whether a request is to be forwarded; if so, it is noted."""
        with self._lock:
            if self.failures > 0:
                self.failures -= 1
                return False
            if self.failing or (self.refused and self.refused in path):
                return False
            self.requests.append((method, path))
            return True


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    target: str

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.proxy.pause)
        if not self.proxy.admits(self.command, self.path):
            self.send_response(503, "Slow Down")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(self.target, timeout=60)
        try:
            with closing(connection):
                self.pass_on(connection, body)
        except ConnectionError:  # the client gave up, or the server ended
            self.close_connection = True

    def pass_on(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        # With the client's Host, because that is signed.
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        content = answer.read() if self.command != "HEAD" else b""
        if self.command != "HEAD" and "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward

    def log_message(self, *_: object) -> None:
        """Nothing."""
