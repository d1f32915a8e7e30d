"""How both clients find a service: from what people type, and through proxies."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

import pytest

from hunyuan_runner.client import ServiceUnavailable, UnexpectedAnswer
from hunyuan_runner.client.address import Address, authorization, followed
from tests.client.conftest import Clients
from tests.stub_server import reply, serving

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
NO_JOBS = json.dumps({"jobs": [], "has_more": False, "next": None}).encode()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("localhost:3000", "http://localhost:3000"),
        ("127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("[::1]:3000", "http://[::1]:3000"),
        ("render-box", "http://render-box"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("video.example.com", "https://video.example.com"),
        ("video.example.com:3000", "http://video.example.com:3000"),
        (" http://video.example.com/films// ", "http://video.example.com/films"),
        ("box:3000/films", "http://box:3000/films"),
        ("HTTPS://video.example.com/", "https://video.example.com"),
    ],
)
def test_an_address_may_be_typed_short(clients: Clients, typed: str, url: str) -> None:
    with clients(typed) as client:
        assert client.base_url == url


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "http://",
        "http://[",
        "two words",
        "ftp://box",
        "box:port",
        "box:99999",
        "http://box:0",
        "http://box/?key=1",
        "http://box/#top",
        f"{'x' * 64}.example.com",
        "http://\udcff.example.com",
    ],
)
def test_a_wrong_address_is_refused_at_once(clients: Clients, typed: str) -> None:
    refusal = "is not the address of a service"
    with pytest.raises(ServiceUnavailable, match=refusal) as refused, clients(typed):
        pass
    assert not refused.value.temporary


def test_no_message_shows_the_password_of_an_address() -> None:
    address = Address.of("http://ana:secret@box:3000")
    assert str(address) == "http://box:3000"
    with pytest.raises(ServiceUnavailable) as refused:
        Address.of("http://ana:secret@box:port")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("key", ["line\nbreak", "schlüssel"])
def test_a_key_that_does_not_fit_into_a_header_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ServiceUnavailable, match="API key") as refused:
        authorization(key)
    assert key not in str(refused.value)
    assert authorization(" hy_key\n") == {"Authorization": "Bearer hy_key"}


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "socks5://127.0.0.1:1", "socks4://x", "http://[", ":::"]
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY", "all_proxy"])
def test_this_machine_is_reached_without_a_proxy(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, name: str, proxy: str
) -> None:
    monkeypatch.setenv(name, proxy)
    with serving(lambda request: reply(request, NO_JOBS)) as url:
        for host in ("127.0.0.1", "localhost", "127.1"):
            with clients(url.replace("127.0.0.1", host), retries=0) as client:
                assert client.list().jobs == ()


def test_other_machines_are_reached_through_the_proxy(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        reply(request, NO_JOBS)

    with serving(answer) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.removeprefix("http://"))
        with clients("http://video.example.com/films") as client:
            client.list()
    assert asked == ["http://video.example.com/films/api/jobs"]


@pytest.mark.parametrize(
    ("exempt", "url"),
    [
        ("video.example.com", "http://video.example.com"),
        (".example.com, other", "https://video.example.com"),
        ("video.example.com:3000", "http://video.example.com:3000"),
        ("10.0.0.0/8", "http://10.20.30.40:3000"),
        ("fd00::1", "http://[fd00::1]:3000"),
        ("*", "http://video.example.com"),
    ],
)
def test_no_proxy_exempts_a_service(monkeypatch: pytest.MonkeyPatch, exempt: str, url: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    assert Address.of(url).proxy is not None
    monkeypatch.setenv("NO_PROXY", exempt)
    assert Address.of(url).proxy is None
    assert Address.of("http://elsewhere.test").proxy is None or exempt != "*"


@pytest.mark.parametrize("proxy", ["socks5://ana:secret@proxy:1080", "gopher://proxy", "http://["])
def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    clients: Clients, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    there = "http://video.example.com"
    with pytest.raises(ServiceUnavailable, match="ALL_PROXY") as refused, clients(there):
        pass
    assert "NO_PROXY=video.example.com" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_proxy_that_does_not_answer_is_named(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://ana:secret@127.0.0.1:1")
    with (
        clients("http://video.example.com", retries=0) as client,
        pytest.raises(ServiceUnavailable) as away,
    ):
        client.list()
    assert "through the proxy http://127.0.0.1:1 " in str(away.value)
    assert "secret" not in str(away.value)


def test_a_redirect_is_reported_with_its_target(clients: Clients) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        reply(request, b"", 301, Location="https://video.example.com/api/jobs")

    with (
        serving(answer) as url,
        clients(url) as client,
        pytest.raises(UnexpectedAnswer, match="redirects to https://video"),
    ):
        client.list()


@pytest.mark.parametrize(
    ("base_url", "link", "url"),
    [
        ("http://box:3000", "/api/x", "http://box:3000/api/x"),
        ("http://box:3000/films", "/api/x", "http://box:3000/films/api/x"),
        ("http://box:3000/films", "/films/api/x", "http://box:3000/films/api/x"),
        ("http://box:3000/a", "/ab/api/x", "http://box:3000/a/ab/api/x"),
        ("http://box:3000/a", "https://video.example.com/b/x", "https://video.example.com/b/x"),
    ],
)
def test_a_link_starts_from_the_address_that_was_typed(base_url: str, link: str, url: str) -> None:
    assert followed(link, base_url) == url
