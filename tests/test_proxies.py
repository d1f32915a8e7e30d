"""nginx and Caddy in front of the service, as the docs configure them: with TLS, below a path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest

from hunyuan_runner.api.auth import client_address
from hunyuan_runner.settings import Settings
from tests.conftest import LONG, SHORT, Service, StartService, finish, free_port, submit
from tests.proxies import PREFIX, Authority, new_authority, proxy
from tests.receiver import receiving, wait_until
from tests.test_api_pages import BROWSER, LOADED

KINDS = ["nginx", "caddy"]
LINKS = ("video_url", "thumbnail_url", "preview_url")


@dataclass(frozen=True)
class Proxied:
    """A service, and the URL at which a proxy serves it."""

    url: str
    service: Service
    authority: Authority

    def client(self) -> httpx.Client:
        context = self.authority.context
        return httpx.Client(base_url=self.url, verify=context, timeout=60, follow_redirects=True)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return new_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=KINDS)
def proxied(
    request: pytest.FixtureRequest, start_service: StartService, authority: Authority
) -> Iterator[Proxied]:
    port = free_port()
    service = start_service(
        HUNYUAN_PUBLIC_URL=f"https://localhost:{port}{PREFIX}",
        HUNYUAN_TRUSTED_PROXIES="127.0.0.1",
        HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true",
        HUNYUAN_CALIBRATE="false",
    )
    wait_until(lambda: httpx.get(f"{service.url}/health").json()["status"] == "ok")
    with proxy(request.param, port, port_of(service), authority) as url:
        yield Proxied(url, service, authority)
    service.terminate()


def port_of(service: Service) -> int:
    port = httpx.URL(service.url).port
    assert port is not None
    return port


def test_every_request_of_a_client_works_and_so_does_each_page(proxied: Proxied) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "hunyuan_runner", "check", proxied.url, "--json"],
        env=os.environ | {"SSL_CERT_FILE": str(proxied.authority.certificate)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with proxied.client() as client:
        for path in ("", "/", "/docs"):
            page = client.get(proxied.url + path, headers=BROWSER)
            assert str(page.url).startswith(proxied.url + "/")
            for link in (quoted or plain for quoted, plain in LOADED.findall(page.text)):
                if not link.startswith("data:"):
                    assert client.get(urljoin(str(page.url), link)).status_code == 200, link
        assert client.get("/openapi.json").json()["servers"] == [{"url": proxied.url}]


@dataclass(frozen=True)
class Stream:
    """An event stream that a thread reads: the ids of its events, and when they arrived."""

    events: list[tuple[str, float]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)

    def read(self, client: httpx.Client, path: str) -> None:
        with client.stream("GET", path) as answer:
            assert "Content-Encoding" not in answer.headers, "compressed events arrive late"
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    self.events.append((line[4:], time.monotonic()))
                elif line.startswith("data: "):
                    self.data.append(json.loads(line[6:]))


def test_events_arrive_while_the_job_is_rendered(proxied: Proxied) -> None:
    through, direct = Stream(), Stream()
    with proxied.client() as client, httpx.Client(base_url=proxied.service.url, timeout=60) as near:
        job = submit(near, **LONG)
        path = f"/api/jobs/{job['job_id']}/events"
        readers = [
            threading.Thread(target=stream.read, args=(reader, path), daemon=True)
            for stream, reader in ((through, client), (direct, near))
        ]
        for reader in readers:
            reader.start()
        wait_until(lambda: sum("step" in data and data["step"] > 0 for data in through.data) >= 3)
        # It had not ended, so a proxy that waits for the end of an answer would have failed.
        assert near.post(f"/api/jobs/{job['job_id']}/cancel").json()["status"] == "canceled"
        for reader in readers:
            reader.join(60)
    assert through.data[-1]["status"] == "canceled"
    # Each stream begins with what is newest then, so they may differ in their first events.
    arrived = dict(direct.events)
    both = [(name, at - arrived[name]) for name, at in through.events if name in arrived]
    assert [name for name, _ in both] == [n for n, _ in direct.events if n in dict(both)]
    assert len(both) >= 3
    delays = sorted(delay for _, delay in both)
    print(f"{len(delays)} events, later than without the proxy: at most {delays[-1] * 1000:.1f} ms")


def test_a_clip_is_downloaded_whole_or_in_parts(proxied: Proxied) -> None:
    with proxied.client() as client, httpx.Client(base_url=proxied.service.url, timeout=60) as near:
        job = finish(near, submit(near))
        video = near.get(f"/api/videos/{job['job_id']}.mp4").content
        for name in LINKS:
            assert job[name].startswith(f"{proxied.url}/api/")
            assert client.get(job[name]).status_code == 200
        whole = client.get(job["video_url"])
        assert whole.content == video
        part = client.get(job["video_url"], headers={"Range": "bytes=100-199"})
        assert (part.status_code, part.content) == (206, video[100:200])
        assert part.headers["Content-Range"] == f"bytes 100-199/{len(video)}"
        last = client.get(job["video_url"], headers={"Range": "bytes=-10"})
        assert (last.status_code, last.content) == (206, video[-10:])
        beyond = client.get(job["video_url"], headers={"Range": f"bytes={len(video)}-"})
        assert beyond.status_code == 416
        known = client.get(job["video_url"], headers={"If-None-Match": whole.headers["ETag"]})
        assert known.status_code == 304
        head = client.head(job["video_url"])
        assert head.headers["Content-Length"] == str(len(video))


def test_the_links_in_a_webhook_lead_through_the_proxy(proxied: Proxied) -> None:
    with proxied.client() as client, receiving() as receiver:
        accepted = client.post("/api/generate", json=SHORT | {"webhook_url": receiver.url})
        assert accepted.headers["Location"].startswith(f"{proxied.url}/api/status/")
        wait_until(lambda: len(receiver.posts) == 2)
        sent = json.loads(receiver.posts[-1].body)["data"]
        assert sent["status"] == "completed"
        for name in LINKS:
            assert sent[name].startswith(f"{proxied.url}/api/")
            assert client.get(sent[name]).status_code == 200


def test_clients_behind_a_proxy_have_each_their_rate_limit(
    start_service: StartService, authority: Authority
) -> None:
    service = start_service(
        HUNYUAN_LOCAL_RUNNER="false",
        HUNYUAN_ALLOW_ANONYMOUS="true",
        HUNYUAN_RATE_LIMIT="3/hour",
        HUNYUAN_TRUSTED_PROXIES="127.0.0.1",
    )
    # Each has the proxy's connection come from an address of their own.
    addresses = iter(f"127.0.0.{number}" for number in range(2, 10))
    for kind in KINDS:
        with proxy(kind, free_port(), port_of(service), authority) as url:

            def statuses(address: str, *forwarded: str, url: str = url) -> list[int]:
                transport = httpx.HTTPTransport(
                    local_address=address, verify=authority.context, proxy=None
                )
                with httpx.Client(transport=transport, timeout=60) as client:
                    return [
                        client.get(f"{url}/api/jobs", headers={"X-Forwarded-For": name}).status_code
                        for name in forwarded
                    ]

            first, second = next(addresses), next(addresses)
            # What a client itself says it is does not count.
            named = ["9.9.9.1", "9.9.9.2", "127.0.0.1", "9.9.9.3", ""]
            assert statuses(first, *named) == [200, 200, 200, 429, 429]
            assert statuses(second, "9.9.9.1") == [200]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["9.9.9.9, 1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["9.9.9.9", "1.1.1.1 , 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [" , "], "10.0.0.1"),
        ("10.0.0.1", ["9.9.9.9, <script>"], "<script>"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        ("2.2.2.2", ["1.1.1.1"], "2.2.2.2"),
        ("", ["1.1.1.1"], ""),
    ],
    ids=str,
)
def test_only_trusted_proxies_name_the_client(peer: str, forwarded: list[str], client: str) -> None:
    trusted = Settings(trusted_proxies="10.0.0.0/8, ::1").trusted_proxies
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1) if peer else None, "headers": headers}
    assert client_address(scope, trusted) == client
    assert client_address(scope, ()) == peer


def test_a_wrong_network_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="must be addresses or networks"):
        Settings(trusted_proxies="10.0.0.0/99")
