"""Webhooks as a user sees them: the running service, a receiver, and the log of deliveries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from standardwebhooks import WebhookVerificationError

from hunyuan_runner.client import HunyuanClient
from hunyuan_runner.settings import Settings
from tests.conftest import LONG, SHORT, Service, StartService, finish, submit, wait_for
from tests.receiver import Receiver, receiving, wait_until

KEYS = {name: f"hy_key-of-{name}" for name in ("ana", "bo")}
API_KEYS = ",".join(f"{n}:{hashlib.sha256(key.encode()).hexdigest()}" for n, key in KEYS.items())
LINKS = ("video_url", "thumbnail_url", "preview_url")
# Receivers are on loopback, and nobody waits for minutes.
ENVIRONMENT = {"HUNYUAN_WEBHOOK_ALLOW_PRIVATE": "true", "HUNYUAN_WEBHOOK_RETRY_SECONDS": "0.2"}


@pytest.fixture(scope="module")
def notifying(start_service: StartService) -> Service:
    """A service with two users that sends webhooks to loopback."""
    return start_service(HUNYUAN_API_KEYS=API_KEYS, **ENVIRONMENT)


def client_of(service: Service, name: str) -> httpx.Client:
    return httpx.Client(base_url=service.url, headers={"X-API-Key": KEYS[name]}, timeout=30)


@pytest.fixture(scope="module")
def ana(notifying: Service) -> Iterator[httpx.Client]:
    with client_of(notifying, "ana") as client:
        yield client


@pytest.fixture(scope="module")
def bo(notifying: Service) -> Iterator[httpx.Client]:
    with client_of(notifying, "bo") as client:
        yield client


def log_of(client: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/api/jobs/{job['job_id']}/webhooks").json())


def deliveries(client: httpx.Client, job: dict[str, Any]) -> list[dict[str, Any]]:
    return list(log_of(client, job)["deliveries"])


def all_delivered(client: httpx.Client, job: dict[str, Any], number: int) -> bool:
    found = deliveries(client, job)
    return len(found) == number and all(d["state"] == "delivered" for d in found)


def secret_of(client: httpx.Client) -> str:
    answer = client.get("/api/webhooks/secret")
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.json()["secret"])


def types(receiver: Receiver) -> list[str]:
    return sorted(post.type for post in receiver.accepted())


def test_each_event_arrives_once_and_in_order(
    ana: httpx.Client, bo: httpx.Client, notifying: Service
) -> None:
    with receiving() as receiver:
        job = submit(ana, webhook_url=f"{receiver.url}/hook?token=hidden")
        done = finish(ana, job)
        wait_until(lambda: all_delivered(ana, job, 2))
    assert [post.type for post in receiver.posts] == ["job.started", "job.completed"]
    secret = secret_of(ana)
    for post in receiver.posts:
        assert post.path == "/hook?token=hidden"
        assert post.headers["Content-Type"] == "application/json"
        body = post.verified(secret)
        assert body["data"]["job_id"] == job["job_id"]
        with pytest.raises(WebhookVerificationError):
            post.verified(secret_of(bo))
    news = {post.type: post.verified(secret) for post in receiver.accepted()}
    # The job was submitted on this machine, so where its links lead is known.
    links = {name: notifying.url + done[name] for name in LINKS}
    assert news["job.completed"]["data"] == done | links
    assert news["job.started"]["data"]["status"] == "in_progress"
    started, completed = (news[f"job.{event}"]["timestamp"] for event in ("started", "completed"))
    assert datetime.fromisoformat(started) <= datetime.fromisoformat(completed)
    assert len({post.id for post in receiver.posts}) == 2

    log = log_of(ana, job)
    assert log["webhook_url"] == done["webhook_url"] == f"{receiver.url}/hook"
    assert log["webhook_events"] == ["started", "completed", "failed", "canceled"]
    assert [d["event"] for d in log["deliveries"]] == ["started", "completed"]
    assert [d["attempts"] for d in log["deliveries"]] == [1, 1]
    assert {d["id"] for d in log["deliveries"]} == {post.id for post in receiver.posts}
    for delivery in log["deliveries"]:
        assert (delivery["last_status"], delivery["next_attempt_at"]) == (200, None)
        created, attempted = (delivery[f"{event}_at"] for event in ("created", "last_attempt"))
        assert datetime.fromisoformat(created) <= datetime.fromisoformat(attempted)
    for hidden in ("hidden", secret, secret.removeprefix("whsec_")):
        assert hidden not in notifying.log.read_text()


def test_an_event_arrives_though_the_receiver_fails_at_first(ana: httpx.Client) -> None:
    with receiving(500, 503) as receiver:
        job = submit(ana, webhook_url=receiver.url, webhook_events=["completed"])
        wait_until(lambda: all_delivered(ana, job, 1))
    assert [post.answered for post in receiver.posts] == [500, 503, 200]
    assert deliveries(ana, job)[0]["attempts"] == 3


def test_an_event_in_vain_is_superseded_by_the_end(ana: httpx.Client) -> None:
    def statuses() -> dict[str, str]:
        return {d["event"]: d["state"] for d in deliveries(ana, job)}

    with receiving(then=500) as failing:
        job = submit(ana, webhook_url=failing.url)
        wait_until(lambda: statuses() == {"started": "superseded", "completed": "pending"})
    with receiving(port=httpx.URL(failing.url).port or 0) as receiver:
        wait_until(lambda: statuses() == {"started": "superseded", "completed": "delivered"})
    assert [post.type for post in receiver.posts] == ["job.completed"]


def test_a_canceled_bentoml_task_sends_only_that_it_was_canceled(ana: httpx.Client) -> None:
    with receiving() as receiver:
        fields = {"webhook_url": receiver.url, "webhook_events": ["canceled"]}
        receipt = ana.post("/generate/submit", json=LONG | fields).json()
        job = ana.get(f"/api/status/{receipt['task_id']}").json()
        wait_for(ana, job, lambda job: job["status"] == "in_progress")
        ana.put("/generate/cancel", params=receipt)
        wait_until(lambda: all_delivered(ana, job, 1))
    (post,) = receiver.posts
    body = post.verified(secret_of(ana))
    assert (body["type"], body["data"]["status"]) == ("job.canceled", "canceled")


def test_a_delivery_can_be_sent_again(ana: httpx.Client, bo: httpx.Client) -> None:
    with receiving(200, 500) as receiver:
        job = submit(ana, webhook_url=receiver.url, webhook_events=["completed"])
        wait_until(lambda: all_delivered(ana, job, 1))
        (delivery,) = deliveries(ana, job)
        path = f"/api/jobs/{job['job_id']}/webhooks/{delivery['id']}/resend"
        assert bo.post(path).status_code == 404
        assert ana.post(path.replace("completed", "failed")).status_code == 404
        again = ana.post(path)
        assert (again.status_code, again.json()["state"]) == (202, "pending")
        wait_until(lambda: len(receiver.posts) == 3)
        wait_until(lambda: all_delivered(ana, job, 1))
    assert {post.id for post in receiver.posts} == {delivery["id"]}
    assert len({post.body for post in receiver.posts}) == 1
    assert deliveries(ana, job)[0]["attempts"] == 3


def test_the_python_client_names_the_webhook(ana: httpx.Client, notifying: Service) -> None:
    with (
        receiving() as receiver,
        HunyuanClient(notifying.url, api_key=KEYS["ana"]) as service,
    ):
        url = f"{receiver.url}/hook?token=hidden"
        clip: dict[str, Any] = SHORT | {"webhook_url": url, "webhook_events": ["completed"]}
        job = service.generate(**clip)
        assert job.job.webhook_url == f"{receiver.url}/hook"
        wait_until(lambda: all_delivered(ana, {"job_id": job.id}, 1))
    assert types(receiver) == ["job.completed"]


def test_a_redirect_is_not_followed(ana: httpx.Client) -> None:
    with receiving() as elsewhere, receiving(then=307, Location=elsewhere.url) as receiver:
        job = submit(ana, webhook_url=receiver.url, webhook_events=["completed"])
        wait_until(lambda: len(receiver.posts) >= 2)
        wait_until(lambda: deliveries(ana, job)[0]["last_status"] == 307)
        assert deliveries(ana, job)[0]["state"] == "pending"
        assert elsewhere.posts == []
        ana.delete(f"/api/jobs/{job['job_id']}")
        assert ana.get(f"/api/jobs/{job['job_id']}/webhooks").status_code == 404


def test_a_receiver_that_answers_410_gets_no_more(ana: httpx.Client) -> None:
    with receiving(then=410) as receiver:
        job = submit(ana, webhook_url=receiver.url, webhook_events=["completed"])
        wait_until(lambda: [d["state"] for d in deliveries(ana, job)] == ["failed"])
    assert len(receiver.posts) == 1
    assert deliveries(ana, job)[0]["next_attempt_at"] is None


def test_a_service_killed_before_it_could_deliver_delivers_after_its_restart(
    start_service: StartService, tmp_path: Path
) -> None:
    environment = ENVIRONMENT | {"HUNYUAN_DATA_DIR": str(tmp_path / "data")}
    first = start_service(**environment)
    with (
        httpx.Client(base_url=first.url, timeout=30) as client,
        receiving(then=503) as refusing,
    ):
        job = submit(client, webhook_url=refusing.url, webhook_events=["completed"])
        wait_until(lambda: [d["last_status"] for d in deliveries(client, job)] == [503])
        secret = secret_of(client)
        first.kill()
    with receiving(port=httpx.URL(refusing.url).port or 0) as receiver:
        second = start_service(HUNYUAN_LOCAL_RUNNER="false", **environment)
        with httpx.Client(base_url=second.url, timeout=30) as client:
            wait_until(lambda: all_delivered(client, job, 1))
    (post,) = receiver.posts
    assert post.id == refusing.posts[0].id
    body = post.verified(secret)
    assert (body["type"], body["data"]["job_id"]) == ("job.completed", job["job_id"])


def test_a_name_of_this_machine_is_not_connected_to(client: httpx.Client) -> None:
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        job = submit(client, webhook_url=url)
        wait_until(lambda: any(d["last_error"] for d in deliveries(client, job)))
        errors = {d["last_error"] for d in deliveries(client, job)} - {None}
        assert errors == {"localhost is not a public address"}
        assert receiver.posts == []
    client.delete(f"/api/jobs/{finish(client, job)['job_id']}")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.0.1.",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "017700000001",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "0",
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.168.0.1:8080",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::10.0.0.1]",
        "[2002:7f00:1::]",
        "[fd00::1]",
        "[fe80::1]",
    ],
)
@pytest.mark.parametrize("path", ["/api/generate", "/generate/submit"])
def test_a_private_address_is_refused_in_any_disguise(
    client: httpx.Client, host: str, path: str
) -> None:
    answer = client.post(path, json=SHORT | {"webhook_url": f"http://{host}/hook?token=hidden"})
    assert answer.status_code == 422
    assert "webhook_url must be on a public address" in answer.text
    assert "hidden" not in answer.text


@pytest.mark.parametrize(
    ("fields", "param", "expected"),
    [
        ({"webhook_url": "ftp://example.com/"}, "webhook_url", "http or https"),
        ({"webhook_url": "file:///etc/passwd"}, "webhook_url", "http or https"),
        ({"webhook_url": "example.com/hook"}, "webhook_url", "https://example.com/hook"),
        ({"webhook_url": "https://ana:hidden@example.com/"}, "webhook_url", "password"),
        ({"webhook_url": "https://ana@example.com/"}, "webhook_url", "user name"),
        ({"webhook_url": f"https://example.com/{'a' * 2048}"}, "webhook_url", "2048"),
        ({"webhook_url": 7}, "webhook_url", "string"),
        (
            {"webhook_url": "https://example.com", "webhook_events": ["done"]},
            "webhook_events.0",
            "'completed'",
        ),
        ({"webhook_url": "https://example.com", "webhook_events": []}, "webhook_events", "1 item"),
        ({"webhook_events": ["completed"]}, None, "webhook_events needs a webhook_url"),
    ],
    ids=str,
)
def test_a_webhook_that_cannot_be_is_refused(
    client: httpx.Client, fields: dict[str, Any], param: str | None, expected: str
) -> None:
    newest = client.get("/api/jobs?limit=1").json()
    answer = client.post("/api/generate", json=SHORT | fields)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"] == param
    assert expected in answer.json()["error"]["message"]
    assert "hidden" not in answer.text
    assert client.get("/api/jobs?limit=1").json() == newest


def test_a_job_without_a_webhook_has_an_empty_log(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    assert log_of(client, clip) == {"webhook_url": None, "webhook_events": [], "deliveries": []}
    assert clip["webhook_url"] is None


def test_the_openapi_document_describes_what_is_sent(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    body = document["webhooks"]["job"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"]["$ref"] == "#/components/schemas/Notice"
    assert (
        "job.completed" in document["components"]["schemas"]["Notice"]["properties"]["type"]["enum"]
    )


@pytest.mark.parametrize("secret", ["whsec_hidden", "hidden" * 8, "whsec_" + "hidden!?" * 8])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValidationError, match="24 bytes or more") as refusal:
        Settings.model_validate({"webhook_secret": secret})
    assert "hidden" not in str(refusal.value)
