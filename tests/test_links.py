"""Links can be followed wherever they are read: through a proxy with a path, and in webhooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import openai
import pytest
from pydantic import ValidationError
from starlette.datastructures import Headers

from hunyuan_runner.api.links import forwarded_prefix, lasting_base
from hunyuan_runner.client import HunyuanClient
from hunyuan_runner.settings import Settings
from tests.conftest import SHORT, Service, StartService, finish, free_port, submit
from tests.prefix_proxy import proxied
from tests.receiver import receiving, wait_until
from tests.test_api_pages import BROWSER, LOADED

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

PREFIX = "/tools/hunyuan"
LINKS = {"video_url", "thumbnail_url", "preview_url"}


@pytest.fixture(scope="module")
def below(service: Service) -> Iterator[str]:
    """The URL of the service behind a proxy that names the path under which it exposes it."""
    with proxied(service.url, PREFIX) as url:
        yield url


@pytest.fixture(scope="module")
def public(start_service: StartService) -> Iterator[tuple[str, Service]]:
    """A service that knows its public URL, and that URL, at which a proxy says nothing."""
    port = free_port()
    url = f"http://127.0.0.1:{port}{PREFIX}"
    service = start_service(HUNYUAN_PUBLIC_URL=f"{url}/", HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true")
    with proxied(service.url, PREFIX, port=port, says_so=False):
        yield url, service


def links_of(job: dict[str, Any]) -> dict[str, str]:
    return {name: job[name] for name in LINKS}


def data_of_events(stream: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: ")]


def test_every_link_leads_through_the_proxy(below: str, service: Service) -> None:
    with httpx.Client(base_url=below, timeout=30) as client:
        accepted = client.post("/api/generate", json=SHORT)
        location = accepted.headers["Location"]
        job = finish(client, accepted.json())
        events = client.get(f"/api/jobs/{job['job_id']}/events").text
        (listed,) = client.get("/api/jobs?limit=1").json()["jobs"]
    for link in (location, *links_of(job).values()):
        assert link.startswith(f"{PREFIX}/api/")
        assert httpx.get(urljoin(below, link)).status_code == 200
    (final,) = data_of_events(events)
    assert links_of(final) == links_of(listed) == links_of(job)


def test_each_is_answered_with_links_of_their_own(
    below: str, service: Service, clip: dict[str, Any]
) -> None:
    path = f"/api/status/{clip['job_id']}"
    for _ in range(3):
        assert links_of(httpx.get(service.url + path).json()) == links_of(clip)
        behind = links_of(httpx.get(below + path).json())
        assert behind == {name: PREFIX + link for name, link in links_of(clip).items()}


def test_streams_of_one_job_have_each_their_links(below: str, service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = submit(client, num_inference_steps=8)
        path = f"/api/jobs/{job['job_id']}/events"
        with httpx.stream("GET", below + path, timeout=60) as behind:
            direct = data_of_events(client.get(path).text)[-1]
            final = data_of_events(behind.read().decode())[-1]
    assert final["video_url"] == PREFIX + direct["video_url"]


@pytest.mark.parametrize("path", ["", "/", "/docs"])
def test_a_page_loads_all_its_files_through_a_proxy(below: str, path: str) -> None:
    """Also where the proxy shows it without the slash at the end."""
    with httpx.Client(headers=BROWSER, timeout=30) as client:
        answer = client.get(below + path) if path else client.get(f"{below}/")
        page = answer.text
        assert "{{" not in page
        for found in LOADED.findall(page):
            link = found[0] or found[1]
            if not link.startswith(("data:", "#")):
                assert client.get(urljoin(below + path, link)).status_code == 200, link
    assert "X-Forwarded-Prefix" in answer.headers["Vary"]


def test_the_documents_name_the_address(below: str, service: Service) -> None:
    assert httpx.get(f"{below}/openapi.json").json()["servers"] == [{"url": PREFIX}]
    assert "servers" not in httpx.get(f"{service.url}/openapi.json").json()
    assert httpx.get(below + "/").json()["docs"] == f"{PREFIX}/docs"


@pytest.mark.parametrize("said", [True, False], ids=["said", "not said"])
def test_the_clients_work_below_a_path(
    service: Service, clip: dict[str, Any], tmp_path: Path, said: bool
) -> None:
    fields: dict[str, Any] = SHORT
    with proxied(service.url, PREFIX, says_so=said) as url, HunyuanClient(url) as client:
        job = client.generate(**fields)
        job.wait()
        saved = job.download(tmp_path / "clip.mp4")
        assert saved.stat().st_size > 0
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        assert sdk.videos.retrieve(job.id).status == "completed"
        assert sdk.videos.download_content(job.id).read() == saved.read_bytes()


HOSTILE = {
    "a host": "//evil.example",
    "a host after a part": "/a//evil.example",
    "a URL": "https://evil.example",
    "a script": "javascript:alert(1)",
    "HTML": '/"><script>alert(1)</script>',
    "an entity": "/&quot;",
    "upwards": "/a/../..",
    "a dot": "/./a",
    "upwards, encoded": "/%2e%2e",
    "a backslash": "/\\evil.example",
    "a query": "/a?b",
    "a fragment": "/a#b",
    "a space": "/a b",
    "no slash": "a",
    "too long": "/a" * 150,
    "a user": "/@evil.example",
    "a second one": "/a, //evil.example",
}


@pytest.mark.parametrize("prefix", HOSTILE.values(), ids=HOSTILE)
def test_a_prefix_that_is_no_plain_path_is_ignored(
    client: httpx.Client, clip: dict[str, Any], prefix: str
) -> None:
    headers = {"X-Forwarded-Prefix": prefix}
    job = client.get(f"/api/status/{clip['job_id']}", headers=headers).json()
    assert links_of(job) == links_of(clip)
    pages = (client.get("/", headers=BROWSER | more).text for more in (headers, {}))
    moment = re.compile(r'data-number="\d+"')
    assert len({moment.sub("", page) for page in pages}) == 1
    assert "servers" not in client.get("/openapi.json", headers=headers).json()


@pytest.mark.parametrize(
    ("values", "prefix"),
    [
        (["/a"], "/a"),
        (["/a/"], "/a"),
        (["/"], ""),
        (["/a/b-c_d.e~1"], "/a/b-c_d.e~1"),
        (["/outer", "/inner"], "/outer/inner"),
        (["/outer, /inner/"], "/outer/inner"),
        (["/a\r\nX-Evil: 1"], ""),
        (["/a\n"], ""),
        (["/ä"], ""),
        ([], ""),
    ],
    ids=str,
)
def test_proxies_in_a_row_name_the_path_together(values: list[str], prefix: str) -> None:
    raw = [(b"x-forwarded-prefix", value.encode("latin-1")) for value in values]
    assert forwarded_prefix(Headers(raw=raw)) == prefix


def test_a_public_url_is_what_every_link_begins_with(public: tuple[str, Service]) -> None:
    url, service = public
    with (
        httpx.Client(base_url=service.url, timeout=30) as direct,
        httpx.Client(timeout=30) as anywhere,
        receiving() as receiver,
    ):
        hostile = {"X-Forwarded-Prefix": "/other", "X-Forwarded-Host": "evil.example"}
        body = SHORT | {"webhook_url": receiver.url}
        accepted = direct.post("/api/generate", json=body, headers=hostile)
        assert accepted.headers["Location"] == f"{url}/api/status/{accepted.json()['job_id']}"
        job = finish(direct, accepted.json())
        assert job["video_url"] == f"{url}/api/videos/{job['job_id']}.mp4"
        for link in (accepted.headers["Location"], *links_of(job).values()):
            assert link.startswith(f"{url}/api/")
            assert anywhere.get(link).status_code == 200
        (final,) = data_of_events(direct.get(f"/api/jobs/{job['job_id']}/events").text)
        wait_until(lambda: len(receiver.posts) == 2)
        sent = json.loads(receiver.posts[-1].body)["data"]
        assert links_of(sent) == links_of(final) == links_of(job)
        assert direct.get("/openapi.json").json()["servers"] == [{"url": url}]
        assert direct.get("/").json()["docs"] == f"{url}/docs"


def test_the_pages_of_a_public_service_work_wherever_they_are_opened(
    public: tuple[str, Service],
) -> None:
    for root in (public[0], public[1].url):
        page = httpx.get(f"{root}/docs", headers=BROWSER).text
        for found in LOADED.findall(page):
            assert httpx.get(urljoin(f"{root}/docs", found[0] or found[1])).status_code == 200


def test_a_form_of_the_public_page_is_its_own(public: tuple[str, Service]) -> None:
    url, service = public
    origin = url.removesuffix(PREFIX)
    headers = {"Origin": origin}
    own = httpx.post(f"{service.url}/v1/videos", data={"prompt": " "}, headers=headers)
    assert own.status_code == 422
    headers = {"Origin": origin.replace("http:", "https:")}
    foreign = httpx.post(f"{service.url}/v1/videos", data={"prompt": " "}, headers=headers)
    assert foreign.status_code == 403


def scope(client: str, host: str, server: tuple[str, int] | None, **headers: str) -> dict[str, Any]:
    sent = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
    raw = [(name.lower().encode(), value.encode()) for name, value in sent.items()]
    return {"type": "http", "scheme": "http", "client": (client, 1), "server": server} | {
        "headers": raw
    }


HERE = ("127.0.0.1", 3000)


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        (scope("127.0.0.1", "localhost:3000", HERE), "http://127.0.0.1:3000"),
        (scope("::1", "[::1]:3000", ("::1", 3000)), "http://[::1]:3000"),
        (scope("127.0.0.1", "video.example.com", HERE), ""),
        (scope("10.0.0.9", "127.0.0.1:3000", ("10.0.0.1", 3000)), ""),
        (scope("10.0.0.9", "10.0.0.1:3000", ("10.0.0.1", 3000)), ""),
        (scope("127.0.0.1", "localhost", HERE, X_Forwarded_For="10.0.0.9"), ""),
        (scope("127.0.0.1", "localhost", HERE, X_Forwarded_Prefix="/a"), "/a"),
        (scope("10.0.0.9", "evil.example", HERE, X_Forwarded_Prefix="/a"), "/a"),
        (scope("127.0.0.1", "localhost", None), ""),
    ],
    ids=str,
)
def test_a_webhook_is_sent_no_host_that_a_stranger_named(asked: dict[str, Any], base: str) -> None:
    assert lasting_base(asked) == base


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://video.example.com", "https://video.example.com"),
        ("https://video.example.com/hunyuan/", "https://video.example.com/hunyuan"),
        ("http://[::1]:3000/a/b", "http://[::1]:3000/a/b"),
        ("video.example.com", None),
        ("ftp://video.example.com", None),
        ("https://", None),
        ("https:///a", None),
        ("https://ana:secret@video.example.com", None),
        ("https://video.example.com/a?b=1", None),
        ("https://video.example.com/a#b", None),
        ("https://video.example.com/a b", None),
        ("https://video.example.com/../a", None),
        ('https://video.example.com/"><script>', None),
        ("https://video.example.com\n", None),
        ("", None),
    ],
    ids=str,
)
def test_a_public_url_is_looked_at(url: str, kept: str | None) -> None:
    if kept is None:
        with pytest.raises(ValidationError, match=re.escape("https://video.example.com/hunyuan")):
            Settings.model_validate({"public_url": url})
    else:
        assert Settings.model_validate({"public_url": url}).public_url == kept
