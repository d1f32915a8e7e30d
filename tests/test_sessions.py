"""Sessions of browsers: what a cookie of the page may do in place of an API key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.cookies import Morsel, SimpleCookie
from typing import Any

import httpx
import pytest

from hunyuan_runner.api import sessions
from hunyuan_runner.api.auth import Guard
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.api.sessions import COOKIE, Sessions
from hunyuan_runner.settings import Settings
from tests.conftest import SHORT, Service, StartService
from tests.event_source import EventSource
from tests.prefix_proxy import proxied
from tests.test_api_pages import BROWSER
from tests.test_auth import API_KEYS, KEYS, entry, scope

PREFIX = "/tools/hunyuan"
FORM = SHORT | {"prompt": "A blue square"}


@pytest.fixture(scope="module")
def guarded(start_service: StartService) -> Service:
    return start_service(HUNYUAN_API_KEYS=API_KEYS, HUNYUAN_LOCAL_RUNNER="false")


def sign_in(url: str, name: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{url}/studio/login", data={"key": KEYS[name]}, headers=headers, timeout=30)


def cookie(answer: httpx.Response) -> Morsel[str]:
    """The session that an answer sets."""
    return SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]


def browser_of(service: Service, name: str) -> httpx.Client:
    token = cookie(sign_in(service.url, name)).value
    return httpx.Client(base_url=service.url, cookies={COOKIE: token}, timeout=30)


@pytest.fixture
def ana(guarded: Service) -> Iterator[httpx.Client]:
    with browser_of(guarded, "ana") as client:
        yield client


def test_the_page_asks_for_a_key_once(guarded: Service) -> None:
    asked = httpx.get(guarded.url, headers=BROWSER, timeout=30)
    assert 'name="key"' in asked.text
    assert 'id="prompt"' not in asked.text
    with browser_of(guarded, "ana") as ana:
        page = ana.get("/", headers=BROWSER)
    assert 'id="prompt"' in page.text
    assert "Sign out ana" in page.text
    assert page.headers["Cache-Control"] == "no-store"


def test_a_wrong_key_opens_no_session(guarded: Service) -> None:
    answer = httpx.post(f"{guarded.url}/studio/login", data={"key": "hy_wrong"}, timeout=30)
    assert "Set-Cookie" not in answer.headers
    again = httpx.get(f"{guarded.url}/?refused", headers=BROWSER, timeout=30)
    assert answer.headers["Location"] == "../?refused"
    assert "does not know this key" in again.text


def test_anybody_may_sign_in_where_no_key_is_needed(start_service: StartService) -> None:
    service = start_service(
        HUNYUAN_API_KEYS=API_KEYS, HUNYUAN_ALLOW_ANONYMOUS="true", HUNYUAN_LOCAL_RUNNER="false"
    )
    page = httpx.get(service.url, headers=BROWSER, timeout=30)
    assert 'id="prompt"' in page.text
    assert 'href="?sign-in"' in page.text
    for query in ("?sign-in", "?refused"):
        assert 'name="key"' in httpx.get(f"{service.url}/{query}", headers=BROWSER).text
    with browser_of(service, "ana") as ana:
        assert "Sign out ana" in ana.get("/?refused", headers=BROWSER).text


def test_without_keys_the_page_is_closed_to_other_machines(service: Service) -> None:
    asked = httpx.get(service.url, headers=BROWSER | {"Host": "video.example.com"}, timeout=30)
    assert asked.status_code == 403
    assert "HUNYUAN_API_KEYS" in asked.text
    assert 'id="prompt"' not in asked.text


def test_the_cookie_is_for_this_service_and_this_browser_session_only(guarded: Service) -> None:
    session = cookie(sign_in(guarded.url, "ana"))
    assert (session["path"], session["httponly"], session["samesite"]) == ("/", True, "strict")
    assert not session["secure"]  # there is no https here
    assert not session["expires"]
    assert not session["max-age"]
    assert KEYS["ana"] not in session.value
    assert "ana" not in session.value


def test_the_cookie_is_secure_where_a_proxy_speaks_https(guarded: Service) -> None:
    assert cookie(sign_in(guarded.url, "ana", **{"X-Forwarded-Proto": "https"}))["secure"]


def test_the_cookie_is_for_the_path_of_a_proxy_that_names_one(guarded: Service) -> None:
    with proxied(guarded.url, PREFIX) as url:
        answer = sign_in(url, "ana")
        assert cookie(answer)["path"] == f"{PREFIX}/"
        with httpx.Client(cookies={COOKIE: cookie(answer).value}, timeout=30) as ana:
            page = ana.get(f"{url}/", headers=BROWSER)
            assert f'hx-post="{PREFIX}/studio/quote"' in page.text
            assert ana.post(f"{url}/studio/quote", data=FORM).status_code == 200


def test_a_session_reads_what_its_key_may_read(guarded: Service, ana: httpx.Client) -> None:
    job = httpx.post(
        f"{guarded.url}/api/generate", json=SHORT, headers={"X-API-Key": KEYS["ana"]}, timeout=30
    ).json()["job_id"]
    assert [each["job_id"] for each in ana.get("/api/jobs").json()["jobs"]] == [job]
    assert ana.get(f"/api/videos/{job}.mp4").status_code == 409  # it is ana's, and not completed
    stream = EventSource(f"{guarded.url}/api/events", "0", Cookie=f"{COOKIE}={ana.cookies[COOKIE]}")
    assert next(stream.connection()).data["job_id"] == job
    with browser_of(guarded, "bo") as bo, browser_of(guarded, "root") as root:
        assert bo.get("/api/jobs").json()["jobs"] == []
        assert bo.get(f"/api/videos/{job}.mp4").status_code == 404
        assert [each["job_id"] for each in root.get("/api/jobs").json()["jobs"]] == [job]


def test_a_session_changes_nothing_but_through_the_page(ana: httpx.Client) -> None:
    assert ana.post("/api/generate", json=SHORT).status_code == 401
    assert ana.post("/api/jobs/cancel").status_code == 401
    assert ana.delete("/api/jobs/some-job").status_code == 401
    made = ana.post("/studio/generate", data=FORM)
    assert made.status_code == 200
    assert "jobs-changed" in made.headers["HX-Trigger"]


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:1", "null"])
def test_a_page_of_another_origin_cannot_use_a_session(ana: httpx.Client, origin: str) -> None:
    for path in ("/studio/generate", "/studio/login", "/studio/logout"):
        answer = ana.post(path, data=FORM, headers={"Origin": origin})
        assert answer.status_code == 403, path
        assert answer.json()["error"]["code"] == "foreign_page"


def test_without_keys_a_page_of_another_origin_is_refused_too(client: httpx.Client) -> None:
    evil = {"Origin": "https://evil.example"}
    assert client.post("/studio/generate", data=FORM, headers=evil).status_code == 403


def test_signing_out_ends_the_session_of_the_browser(ana: httpx.Client) -> None:
    ended = cookie(ana.post("/studio/logout"))
    assert (ended.value, ended["max-age"], ended["path"]) == ("", "0", "/")


@pytest.mark.parametrize(
    "body", [{"json": {"key": KEYS["ana"]}}, {"files": {"key": b"x"}}, {"content": b"\xff" * 99}]
)
def test_a_sign_in_that_is_no_form_is_refused(guarded: Service, body: dict[str, Any]) -> None:
    answer = httpx.post(f"{guarded.url}/studio/login", timeout=30, **body)
    assert answer.status_code == 415


def test_all_fronts_of_a_service_know_a_session_until_its_key_is_removed(
    guarded: Service, start_service: StartService
) -> None:
    other = start_service(
        HUNYUAN_API_KEYS=entry("ana", KEYS["ana"]),  # and no longer bo's
        HUNYUAN_DATA_DIR=str(guarded.data_dir),
        HUNYUAN_LOCAL_RUNNER="false",
    )
    for name, status in (("ana", 200), ("bo", 401)):
        with browser_of(guarded, name) as client:
            assert client.get(f"{other.url}/api/jobs").status_code == status
            assert client.get(f"{guarded.url}/api/jobs").status_code == 200


@pytest.fixture
def guard() -> Guard:
    settings = Settings(api_keys=API_KEYS)
    guard = Guard(settings)
    guard.sessions = Sessions(bytes(32), settings.api_keys)
    return guard


def caller(guard: Guard, token: str) -> str:
    asked = scope("/api/jobs", "203.0.113.5", "x.example", cookie=f"a=b; {COOKIE}={token}; c=d")
    return guard.admit(asked).name


def test_a_session_ends_after_its_time(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    assert guard.sessions is not None
    token = guard.sessions.open(guard.key_named(KEYS["bo"]))
    assert caller(guard, token) == "bo"
    monkeypatch.setattr(sessions, "SESSION_SECONDS", 0)
    with pytest.raises(ApiError, match="An API key is required"):
        caller(guard, guard.sessions.open(guard.key_named(KEYS["bo"])))


def test_a_session_that_was_altered_is_none(guard: Guard) -> None:
    assert guard.sessions is not None
    token = guard.sessions.open(guard.key_named(KEYS["bo"]))
    expires, signature = token.split(".")
    forged = Sessions(bytes([1] * 32), guard.sessions.keys).open(guard.key_named(KEYS["bo"]))
    longer = f"{int(expires) + 1}.{signature}"
    for wrong in (forged, longer, f"{expires}.{signature[:-1]}0x", expires, "", ".", "\xe9.x"):
        with pytest.raises(ApiError):
            caller(guard, wrong)


def test_the_page_renews_a_session_that_is_old(
    guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert guard.sessions is not None
    assert not sessions.is_old(guard.sessions.open(guard.key_named(KEYS["bo"])))
    monkeypatch.setattr(time, "time", lambda: 1e9)
    token = guard.sessions.open(guard.key_named(KEYS["bo"]))
    monkeypatch.setattr(time, "time", lambda: 1e9 + sessions.RENEWED_AFTER_SECONDS + 1)
    assert sessions.is_old(token)
    assert caller(guard, token) == "bo"
