"""nginx and Caddy with the configurations that the docs show, on loopback and with TLS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT, find_program

PREFIX = "/hunyuan"
NGINX, CADDY = ROOT / "deploy/nginx/hunyuan.conf", ROOT / "deploy/caddy/Caddyfile"
# What Debian's nginx.conf has around the files in conf.d, for this user and in this folder.
NGINX_AROUND = """
daemon off;
pid {folder}/pid;
error_log {folder}/log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    gzip on;
    include {folder}/hunyuan.conf;
}}
"""
CADDY_AROUND = """
{{
	admin off
	auto_https disable_redirects
	skip_install_trust
	storage file_system {folder}
}}
"""


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own, and a certificate of it for localhost."""

    certificate: Path
    server_certificate: Path
    server_key: Path

    @property
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))


def new_authority(folder: Path) -> Authority:
    openssl = find_program("openssl")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test CA")
    run("req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
    run("x509", "-req", "-in", "server.csr", *signing, "-out", "server.pem")
    return Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")


@contextmanager
def proxy(kind: str, port: int, service_port: int, authority: Authority) -> Iterator[str]:
    """Run the proxy on `port` in front of a service, and yield the URL of the service there."""
    with tempfile.TemporaryDirectory(prefix=kind) as name:
        folder = Path(name)
        arguments = {"nginx": _nginx, "caddy": _caddy}[kind](folder, port, service_port, authority)
        output = folder / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [find_program(kind), *arguments], stdout=file, stderr=subprocess.STDOUT
            )
        try:
            _wait_until_it_listens(process, port, output)
            yield f"https://localhost:{port}{PREFIX}"
        finally:
            process.terminate()
            process.wait(60)


def _nginx(folder: Path, port: int, service_port: int, authority: Authority) -> list[str]:
    changes = {
        "listen 443 ": f"listen 127.0.0.1:{port} ",
        "video.example.com;": "localhost;",
        "/etc/ssl/certs/video.example.com.pem": str(authority.server_certificate),
        "/etc/ssl/private/video.example.com.key": str(authority.server_key),
        "127.0.0.1:3000": f"127.0.0.1:{service_port}",
    }
    (folder / "hunyuan.conf").write_text(_changed(NGINX, changes))
    (folder / "nginx.conf").write_text(NGINX_AROUND.format(folder=folder))
    return ["-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "log")]


def _caddy(folder: Path, port: int, service_port: int, authority: Authority) -> list[str]:
    certificate = f"tls {authority.server_certificate} {authority.server_key}"
    changes = {
        "video.example.com {": f"https://localhost:{port} {{\n\t{certificate}",
        "127.0.0.1:3000": f"127.0.0.1:{service_port}",
    }
    config = folder / "Caddyfile"
    config.write_text(CADDY_AROUND.format(folder=folder) + _changed(CADDY, changes))
    return ["run", "--config", str(config), "--adapter", "caddyfile"]


def _changed(file: Path, changes: Mapping[str, str]) -> str:
    text = file.read_text()
    for old, new in changes.items():
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    return text


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, output: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"the proxy did not start: {output.read_text()}")
