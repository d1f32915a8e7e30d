"""API keys: who is let in, whose jobs they reach, how much they may ask."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import ValidationError

from hunyuan_runner.api.auth import Guard
from hunyuan_runner.api.errors import ApiError
from hunyuan_runner.jobs.job import Caller
from hunyuan_runner.settings import Settings
from tests.conftest import LONG, SHORT, Service, StartService, finish, submit
from tests.event_source import Event, EventSource
from tests.receiver import wait_until

# OpenAI closes its own servers; the format and the SDK live on.
pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")

KEYS = {name: f"hy_key-of-{name}" for name in ("ana", "bo", "root")}
OPEN = {"/", "/health", "/livez", "/readyz"}
PAGE = "https://app.example"


def entry(name: str, key: str, suffix: str = "") -> str:
    return f"{name}:{hashlib.sha256(key.encode()).hexdigest()}{suffix}"


API_KEYS = ",".join(
    (
        entry("ana", KEYS["ana"]),
        entry("ana", "hy_older-key-of-ana"),
        entry("bo", KEYS["bo"]),
        entry("root", KEYS["root"], ":admin"),
    )
)


@pytest.fixture(scope="module")
def guarded(start_service: StartService) -> Service:
    return start_service(
        HUNYUAN_API_KEYS=API_KEYS,
        HUNYUAN_MAX_QUEUED="3",
        HUNYUAN_CORS_ORIGINS=PAGE,
        HUNYUAN_LOG_FORMAT="json",
    )


def client_of(service: Service, name: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEYS[name]}"}
    return httpx.Client(base_url=service.url, headers=headers, timeout=30)


@pytest.fixture(scope="module")
def ana(guarded: Service) -> Iterator[httpx.Client]:
    with client_of(guarded, "ana") as client:
        yield client


@pytest.fixture(scope="module")
def bo(guarded: Service) -> Iterator[httpx.Client]:
    with client_of(guarded, "bo") as client:
        yield client


@pytest.fixture(scope="module")
def root(guarded: Service) -> Iterator[httpx.Client]:
    with client_of(guarded, "root") as client:
        yield client


@pytest.fixture(scope="module")
def anas(ana: httpx.Client) -> dict[str, Any]:
    """A completed job of ana's."""
    return finish(ana, submit(ana))


Operation = tuple[str, str]


def operations(client: httpx.Client) -> list[Operation]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods]


def call(client: httpx.Client, operation: Operation, job_id: str, **options: Any) -> httpx.Response:
    """Ask for an operation on this job, with a body where one may be read."""
    method, path = operation
    query = {"task_id": job_id} if path.startswith("/generate/") else {}
    body = None if method in ("GET", "DELETE") else SHORT
    url = re.sub(r"\{\w+\}", job_id, path)
    return client.request(method, url, params=query, json=body, **options)


def test_nothing_but_pages_and_probes_is_answered_without_a_key(guarded: Service) -> None:
    with httpx.Client(base_url=guarded.url, timeout=30) as stranger:
        for operation in operations(stranger):
            answer = call(stranger, operation, "some-job")
            if operation[1] in OPEN:
                assert answer.status_code == 200, operation
            else:
                assert answer.status_code == 401, operation
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        for path in ("/docs", "/openapi.json", "/schema.json", "/static/docs/docs.js"):
            assert stranger.get(path).status_code != 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEYS['ana']}"},
        {"authorization": f"bearer  {KEYS['ana']}"},
        {"X-API-Key": KEYS["ana"]},
        {"X-API-Key": "hy_older-key-of-ana"},
    ],
    ids=["bearer", "any case", "header of its own", "key being replaced"],
)
def test_a_key_may_be_sent_in_either_way(
    guarded: Service, anas: dict[str, Any], headers: dict[str, str]
) -> None:
    url = f"{guarded.url}/api/status/{anas['job_id']}"
    answer = httpx.get(url, headers=headers, timeout=30)
    assert answer.json()["job_id"] == anas["job_id"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEYS['ana']}"},
        {"X-API-Key": KEYS["ana"] + "x"},
        {"X-API-Key": hashlib.sha256(KEYS["ana"].encode()).hexdigest()},
        {"X-API-Key": "\xe9"},
    ],
    ids=["wrong", "wrong scheme", "longer", "its hash", "not ASCII"],
)
def test_a_wrong_key_is_refused(guarded: Service, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = httpx.get(f"{guarded.url}/api/jobs", headers=encoded, timeout=30)
    assert answer.status_code == 401


def test_no_route_reaches_another_s_job(
    bo: httpx.Client, ana: httpx.Client, anas: dict[str, Any]
) -> None:
    on_a_job = [
        operation
        for operation in operations(bo)
        if "{" in operation[1] or operation[1].startswith("/generate/")
    ]
    assert len(on_a_job) > 15
    for operation in on_a_job:
        if operation[1] == "/generate/submit":
            continue
        answer = call(bo, operation, anas["job_id"])
        assert answer.status_code == 404, (operation, answer.text)
    assert ana.get(f"/api/status/{anas['job_id']}").json() == anas
    assert ana.get(anas["video_url"]).status_code == 200


def test_lists_show_one_s_own_jobs_and_an_admin_everybody_s(
    ana: httpx.Client, bo: httpx.Client, root: httpx.Client, anas: dict[str, Any]
) -> None:
    bos = submit(bo)["job_id"]

    def listed(client: httpx.Client) -> set[str]:
        rest = {job["job_id"] for job in client.get("/api/jobs").json()["jobs"]}
        assert rest == {video["id"] for video in client.get("/v1/videos").json()["data"]}
        return rest

    assert listed(bo) == {bos}
    assert anas["job_id"] in listed(ana)
    assert bos not in listed(ana)
    assert {anas["job_id"], bos} <= listed(root)
    assert bo.get(f"/api/jobs?after={anas['job_id']}").status_code == 404
    assert root.get(anas["video_url"]).status_code == 200
    finish(bo, bo.get(f"/api/status/{bos}").json())
    assert root.delete(f"/api/jobs/{bos}").status_code == 204
    assert listed(bo) == set()


def test_event_streams_show_only_the_caller_s_jobs(
    guarded: Service, ana: httpx.Client, bo: httpx.Client, anas: dict[str, Any]
) -> None:
    def stream(name: str) -> Iterator[Event]:
        headers = {"Authorization": f"Bearer {KEYS[name]}"}
        return EventSource(f"{guarded.url}/api/events", "0", **headers).connection()

    mine, everybody_s = stream("ana"), stream("root")
    next(mine), next(everybody_s)  # so they are open, and go on with what comes
    bos = finish(bo, submit(bo))["job_id"]
    last = finish(ana, submit(ana))["job_id"]

    def seen(events: Iterator[Event]) -> set[str]:
        jobs = set()
        for event in events:
            jobs.add(event.data["job_id"])
            if event.type == "final" and event.data["job_id"] == last:
                break
        return jobs

    assert bos in seen(everybody_s)
    owned = seen(mine)
    assert last in owned
    assert bos not in owned
    assert bos not in seen(stream("ana"))


def test_an_idempotency_key_is_its_caller_s_alone(ana: httpx.Client, bo: httpx.Client) -> None:
    headers = {"Idempotency-Key": "order 17"}
    made = [
        client.post("/api/generate", json=SHORT, headers=headers).json()["job_id"]
        for client in (ana, bo, ana)
    ]
    assert made[0] == made[2] != made[1]
    for client, job_id in zip((ana, bo), made, strict=False):
        finish(client, client.get(f"/api/status/{job_id}").json())


def test_as_many_jobs_may_wait_as_a_key_may_have(ana: httpx.Client, bo: httpx.Client) -> None:
    running = submit(bo, **LONG)  # occupies the worker
    waiting = [submit(ana)["job_id"] for _ in range(3)]
    refused = ana.post("/api/generate", json=SHORT)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "queue_full"
    assert int(refused.headers["Retry-After"]) > 0
    others = submit(bo)
    for client, job_id in [*((ana, job) for job in waiting), (bo, others["job_id"])]:
        assert client.post(f"/api/jobs/{job_id}/cancel").status_code == 200
    submit_again = submit(ana)
    bo.post(f"/api/jobs/{running['job_id']}/cancel")
    finish(ana, submit_again)


def test_the_openai_sdk_sends_its_key(guarded: Service, anas: dict[str, Any]) -> None:
    with openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=KEYS["ana"], max_retries=0) as sdk:
        assert anas["job_id"] in {video.id for video in sdk.videos.list()}
        with pytest.raises(openai.AuthenticationError):
            sdk.with_options(api_key="wrong").videos.list()


def test_a_page_of_a_named_site_may_ask_and_no_other(guarded: Service, ana: httpx.Client) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "X-API-Key"}
    url = f"{guarded.url}/api/generate"
    allowed = httpx.options(url, headers=asked | {"Origin": PAGE}, timeout=30)
    assert allowed.headers["Access-Control-Allow-Origin"] == PAGE
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    elsewhere = asked | {"Origin": "https://elsewhere.example"}
    foreign = httpx.options(url, headers=elsewhere, timeout=30)
    assert "Access-Control-Allow-Origin" not in foreign.headers
    answer = ana.get("/api/jobs/none", headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE
    assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
    form = ana.post("/v1/videos", data={"prompt": " "}, headers={"Origin": PAGE})
    assert form.status_code == 422


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
def test_a_page_is_asked_beforehand_without_a_key(guarded: Service, method: str) -> None:
    headers = "authorization, content-type, idempotency-key, if-none-match, last-event-id, range"
    asked = {"Origin": PAGE, "Access-Control-Request-Method": method}
    answer = httpx.options(
        f"{guarded.url}/api/jobs/x", headers=asked | {"Access-Control-Request-Headers": headers}
    )
    assert answer.status_code == 200
    assert method in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert set(headers.split(", ")) <= set(allowed)


# What the Fetch standard lets any page read, and what is for the browser or for proxies alone.
READABLE = {"cache-control", "content-length", "content-type"}
NOT_FOR_PAGES = {
    "content-security-policy",
    "date",
    "referrer-policy",
    "transfer-encoding",
    "vary",
    "x-accel-buffering",
    "x-content-type-options",
    "x-frame-options",
}


def test_a_page_can_read_every_header_that_says_something(
    guarded: Service, ana: httpx.Client
) -> None:
    job = finish(ana, submit(ana))
    waiting = submit(ana)
    document = ana.get("/openapi.json").json()
    requests = [
        (method, path.replace("{job_id}", job_id))
        for path, operations in document["paths"].items()
        for method in operations
        for job_id in (job["job_id"], waiting["job_id"], "none")
    ]
    requests.sort(key=lambda request: request[0] != "get")  # those that delete come late
    requests += [("GET", "/nowhere"), ("PATCH", "/api/jobs"), ("POST", "/generate")]
    seen: set[str] = set()
    for method, path in requests:
        headers = {"Origin": PAGE, "Range": "bytes=0-9"}
        with ana.stream(method, path, headers=headers) as answer:
            exposed = answer.headers["Access-Control-Expose-Headers"].lower().split(", ")
            names = {name for name in answer.headers if not name.startswith("access-control-")}
            assert names <= READABLE | NOT_FOR_PAGES | set(exposed), f"{method} {path}"
            seen |= names
    accepted = ana.post("/api/generate", json=SHORT, headers={"Origin": PAGE})
    refused = httpx.get(f"{guarded.url}/api/jobs", headers={"Origin": PAGE})
    seen |= set(accepted.headers) | set(refused.headers)
    assert {"location", "www-authenticate", "etag", "content-disposition", "allow"} <= seen
    ana.post(f"/api/jobs/{accepted.json()['job_id']}/cancel")


def test_logs_are_json_with_request_ids_and_without_keys_or_prompts(
    guarded: Service, ana: httpx.Client
) -> None:
    secret = "a prompt that nobody may read"
    job = submit(ana, prompt=secret)
    ana.get(f"/api/status/{job['job_id']}", headers={"X-Request-Id": "request-17"})
    finish(ana, job)
    wait_until(lambda: f"job {job['job_id']} completed" in guarded.log.read_text())
    lines = [json.loads(line) for line in guarded.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "request-17"]
    assert (line["level"], line["method"], line["status"]) == ("INFO", "GET", 200)
    assert line["path"] == f"/api/status/{job['job_id']}"
    text = guarded.log.read_text()
    for hidden in (secret, *KEYS.values()):
        assert hidden not in text


def scope(path: str, client: str, host: str, **headers: str) -> dict[str, Any]:
    sent = {"host": host, **headers}
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "client": (client, 1),
        "headers": [(name.replace("_", "-").encode(), v.encode()) for name, v in sent.items()],
    }


def settings(**values: Any) -> Settings:
    return Settings(**values)


@pytest.mark.parametrize(
    ("client", "host", "admitted"),
    [
        ("127.0.0.1", "localhost:3000", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "[::1]:3000", True),
        ("192.168.1.7", "192.168.1.2:3000", False),
        ("127.0.0.1", "video.example.com", False),
        ("127.0.0.1", "", False),
        ("172.17.0.1", "localhost:3000", False),
    ],
    ids=["localhost", "v4", "v6", "a neighbour", "a proxy or rebound name", "no host", "docker"],
)
def test_without_keys_this_machine_alone_is_answered(
    client: str, host: str, admitted: bool
) -> None:
    guard = Guard(settings())
    if admitted:
        assert guard.admit(scope("/api/jobs", client, host)) == Caller("")
    else:
        with pytest.raises(ApiError, match="HUNYUAN_API_KEYS") as refusal:
            guard.admit(scope("/api/jobs", client, host))
        assert refusal.value.status == 403
    guard.admit(scope("/livez", client, host))


def test_anybody_is_answered_where_that_is_set_and_sees_no_key_s_jobs() -> None:
    guard = Guard(settings(api_keys=API_KEYS, allow_anonymous=True))
    assert guard.admit(scope("/api/jobs", "203.0.113.5", "x.example")) == Caller("")
    with pytest.raises(ApiError) as refusal:
        guard.admit(scope("/api/jobs", "203.0.113.5", "x.example", x_api_key="wrong"))
    assert refusal.value.status == 401


def test_metrics_need_a_key_unless_they_are_public() -> None:
    asked = scope("/metrics", "203.0.113.5", "x.example")
    with pytest.raises(ApiError):
        Guard(settings(api_keys=API_KEYS)).admit(asked)
    Guard(settings(api_keys=API_KEYS, public_metrics=True)).admit(asked)


def test_a_key_that_the_platform_generated_is_an_admin_s() -> None:
    generated = "k3y/+" * 8 + "=\n"
    guard = Guard(settings(api_keys=API_KEYS, admin_key=generated))
    sent = scope("/api/jobs", "203.0.113.5", "x.example", x_api_key=generated.strip())
    assert guard.admit(sent) == Caller("admin", sees_all=True)
    known = scope("/api/jobs", "203.0.113.5", "x.example", x_api_key=KEYS["ana"])
    assert guard.admit(known) == Caller("ana")


def test_a_short_admin_key_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="must have 32 characters or more") as refusal:
        settings(admin_key="hunter2")
    assert "hunter2" not in str(refusal.value)


def test_each_key_has_a_rate_of_its_own() -> None:
    guard = Guard(settings(api_keys=API_KEYS, rate_limit="2/hour"))

    def ask(name: str) -> Caller:
        return guard.admit(scope("/api/jobs", "203.0.113.5", "x.example", x_api_key=KEYS[name]))

    ask("ana"), ask("ana")
    with pytest.raises(ApiError, match="2 requests") as refusal:
        ask("ana")
    assert refusal.value.status == 429
    assert refusal.value.headers is not None
    assert 0 < int(refusal.value.headers["Retry-After"]) <= 3600
    assert ask("bo").name == "bo"
    guard.admit(scope("/livez", "203.0.113.5", "x.example"))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("api_keys", "ana", "hunyuan keys new"),
        ("api_keys", "ana:abc", "name:sha256"),
        ("api_keys", f"a na:{'0' * 64}", "name:sha256"),
        ("rate_limit", "often", "120/minute"),
        ("cors_origins", "app.example", "https://"),
        ("max_queued", "0", "greater than or equal to 1"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(name: str, value: str, expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        settings(**{name: value})
