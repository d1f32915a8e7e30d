"""A job in a notebook, as both Python clients show it."""

from __future__ import annotations

import base64
import json
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from hunyuan_runner.client import notebook
from tests.client.conftest import Clients, View
from tests.conftest import SHORT
from tests.stub_server import reply, serving


class Elements(HTMLParser):
    """The tags of some HTML with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: dict[str, dict[str, str | None]] = {}
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def played(html: str) -> bytes:
    """The clip inside the HTML."""
    source = Elements(html).tags["video"]["src"] or ""
    return base64.b64decode(source.removeprefix("data:video/mp4;base64,"), validate=True)


def test_a_notebook_plays_the_clip_and_keeps_it(
    hunyuan: Any, client: httpx.Client, clip: dict[str, Any]
) -> None:
    shown = hunyuan.job(clip["job_id"])._repr_html_()
    assert played(shown) == client.get(clip["video_url"]).content
    assert clip["params"]["prompt"] in Elements(shown).text


def test_a_notebook_plays_the_draft_of_a_paused_job(hunyuan: Any, tmp_path: Path) -> None:
    handle = hunyuan.generate(**SHORT, draft_steps=1)
    assert "completed" not in handle._repr_html_()
    handle.wait(until_paused=True)
    draft = handle.download_draft(tmp_path / "draft.mp4")
    assert played(handle._repr_html_()) == draft.read_bytes()
    handle.cancel()


def test_a_large_clip_is_a_link(
    hunyuan: Any, clip: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "INLINE_BYTES", 100)
    shown = Elements(hunyuan.job(clip["job_id"])._repr_html_())
    assert shown.tags["a"]["href"] == hunyuan.base_url + clip["video_url"]
    assert "video" not in shown.tags


def test_a_clip_that_cannot_be_fetched_is_a_link_without_a_password(
    clients: Clients, view: View
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        found = "/status/" in request.path
        reply(request, json.dumps(view()).encode() if found else b"", 200 if found else 404)

    with serving(answer) as url, clients(url.replace("//", "//ana:secret@")) as client:
        shown = client.job("x")._repr_html_()
    assert Elements(shown).tags["a"]["href"] == url + view()["video_url"]
    assert "secret" not in shown


def test_a_job_without_a_clip_is_shown_without_a_request(clients: Clients, view: View) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        reply(request, json.dumps(view(status="pending", video_url=None)).encode())

    with serving(answer) as url, clients(url) as client:
        shown = client.job("x")._repr_html_()
    assert "pending" in Elements(shown).text
    assert len(asked) == 1


@pytest.mark.parametrize("link", ["javascript:alert(1)", '/"><script>alert(1)</script>'])
def test_answers_of_a_hostile_service_are_escaped(clients: Clients, view: View, link: str) -> None:
    script = '"><script>alert(1)</script>'
    hostile = view(
        job_id=script, status=script, video_url=link, params=view()["params"] | {"prompt": script}
    )

    def answer(request: BaseHTTPRequestHandler) -> None:
        found = "/status/" in request.path
        reply(request, json.dumps(hostile).encode() if found else b"", 200 if found else 404)

    with serving(answer) as url, clients(url) as client:
        shown = Elements(client.job("x")._repr_html_())
    assert set(shown.tags) <= {"p", "a"}
    assert (shown.tags.get("a", {}).get("href") or url).startswith(url)
