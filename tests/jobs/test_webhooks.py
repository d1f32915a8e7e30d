"""Webhooks from the store to the receiver: what is owed, and that it is sent, once."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError
from standardwebhooks import WebhookVerificationError

from hunyuan_runner.api.routes.webhooks import render
from hunyuan_runner.jobs import database, deliveries, webhooks
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.deliveries import (
    PER_RECEIVER,
    Attempt,
    Delivery,
    DeliveryNotFound,
    DeliveryState,
    Outbox,
    Outcome,
)
from hunyuan_runner.jobs.job import Caller, Job, Webhook
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.retention import expiry
from hunyuan_runner.jobs.signing import secret_of
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.jobs.webhooks import Render, Sender, pause_after
from hunyuan_runner.params import WEBHOOK_EVENTS, Stage, WebhookEvent
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobError, JobState
from tests.jobs.conftest import clip, wait_for_end
from tests.receiver import receiving, wait_until
from tests.stub_server import reply, serving

# Where the receiver is what matters.
on_sqlite = pytest.mark.parametrize("settings", ["sqlite"], indirect=True)

StartWorker = Callable[[], subprocess.Popen[str]]


@pytest.fixture
def outbox(jobs: Jobs) -> Outbox:
    return Outbox(jobs.database)


def webhook(url: str = "https://example.com/hook", *events: WebhookEvent) -> Webhook:
    return Webhook(url, events or WEBHOOK_EVENTS)


def canceled(jobs: Jobs, url: str = "https://example.com/hook") -> str:
    """The id of a job whose webhook is owed a `canceled`."""
    return jobs.cancel(jobs.submit(clip(), webhook=webhook(url)).id).id


def owed(outbox: Outbox, job_id: str) -> list[str]:
    return [delivery.event for delivery in outbox.of_job(job_id)]


def the_delivery(outbox: Outbox, job_id: str) -> Delivery:
    (delivery,) = outbox.of_job(job_id)
    return delivery


def the_attempt(outbox: Outbox) -> Attempt:
    (attempt,) = outbox.claim(10)
    return attempt


def change(outbox: Outbox, **values: Any) -> None:
    """Change every delivery."""
    with outbox._database.begin() as connection:
        connection.execute(sa.update(database.deliveries).values(**values))


@contextmanager
def sending(jobs: Jobs, settings: Settings, render: Render = render) -> Iterator[None]:
    """A sender at work, as in a front."""
    quick = {"webhook_allow_private": True, "webhook_retry_seconds": 0.1}
    with start_blocking_portal() as portal:
        sender = Sender(settings.model_copy(update=quick), jobs, render)
        portal.call(sender.start)
        yield
        portal.call(sender.stop)


def test_a_job_owes_its_start_and_each_of_its_ends_once(
    jobs: Jobs, outbox: Outbox, settings: Settings
) -> None:
    job = jobs.submit(clip(), webhook=webhook())
    assert owed(outbox, job.id) == []
    Claim.next(jobs.database, "a worker that dies")
    Lease(jobs.database, settings.lease_seconds).take_over()
    second = Claim.next(jobs.database, "the one that takes over")
    assert second is not None
    second.enter(Stage.DENOISING)
    assert owed(outbox, job.id) == ["started"]
    second.fail(JobError(code="broken", message="it broke"), expiry(jobs.database, settings))
    assert owed(outbox, job.id) == ["started", "failed"]
    jobs.retry(job.id)
    third = Claim.next(jobs.database, "another")
    assert third is not None
    third.complete(expiry(jobs.database, settings))
    assert owed(outbox, job.id) == ["started", "failed", "completed"]


def test_a_pause_sends_no_webhook(jobs: Jobs, outbox: Outbox, settings: Settings) -> None:
    job = jobs.submit(clip(), webhook=webhook())
    jobs.pause(job.id)
    jobs.resume(job.id)
    assert owed(outbox, job.id) == []
    claim = Claim.next(jobs.database, "a worker")
    assert claim is not None
    jobs.pause(job.id)
    claim.pause()
    jobs.resume(job.id)
    claim = Claim.next(jobs.database, "another")
    assert claim is not None
    assert owed(outbox, job.id) == ["started"]
    claim.complete(expiry(jobs.database, settings))
    assert owed(outbox, job.id) == ["started", "completed"]


def test_what_nobody_asked_to_hear_is_not_owed(jobs: Jobs, outbox: Outbox) -> None:
    silent, picky = (
        jobs.submit(clip()),
        jobs.submit(clip(), webhook=webhook("https://x/", "failed")),
    )
    for job in (silent, picky):
        jobs.cancel(job.id)
        assert owed(outbox, job.id) == []


def test_no_state_is_reached_without_its_delivery(jobs: Jobs) -> None:
    job = jobs.submit(clip(), webhook=webhook())
    with jobs.database.begin() as connection:
        connection.execute(sa.text("DROP TABLE hunyuan_deliveries"))
    with pytest.raises((DBAPIError, JobsUnavailable)):
        jobs.cancel(job.id)
    assert jobs.get(job.id).state is JobState.PENDING


def test_a_delivery_tells_of_the_job_as_it_was(jobs: Jobs, outbox: Outbox) -> None:
    job_id = canceled(jobs)
    then = jobs.get(job_id)
    jobs.retry(job_id)
    assert jobs.get(job_id).state is JobState.PENDING
    assert jobs.recall(the_attempt(outbox).job) == then


def test_a_delivery_of_an_earlier_version_has_the_job(jobs: Jobs, outbox: Outbox) -> None:
    job_id = canceled(jobs)
    row = dict(the_attempt(outbox).job)
    del row["warnings"]
    assert jobs.recall(row) == jobs.get(job_id)


def test_senders_at_once_never_take_the_same_delivery(jobs: Jobs, outbox: Outbox) -> None:
    job_ids = {canceled(jobs) for _ in range(20)}
    with ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda _: outbox.claim(3), range(16)))
    claimed = [attempt.job["id"] for claim in claims for attempt in claim]
    claimed += [attempt.job["id"] for attempt in outbox.claim(20)]
    assert len(claimed) == 20
    assert set(claimed) == job_ids


def test_news_are_sent_before_what_was_tried_in_vain(jobs: Jobs, outbox: Outbox) -> None:
    canceled(jobs)
    outbox.settle(the_attempt(outbox), Outcome(error="no answer in time"), pause_ms=0)
    job_id = canceled(jobs)
    assert [attempt.job["id"] for attempt in outbox.claim(1)] == [job_id]


def test_a_dead_sender_s_claim_runs_out_and_its_late_word_does_not_count(
    jobs: Jobs, outbox: Outbox
) -> None:
    job_id = canceled(jobs)
    dead = the_attempt(outbox)
    assert outbox.claim(10) == []
    change(outbox, next_attempt_at=0)
    heir = the_attempt(outbox)
    assert heir.delivery.attempts == 2
    outbox.settle(dead, Outcome(status=500), pause_ms=0)
    assert the_delivery(outbox, job_id).last_status is None
    outbox.settle(heir, Outcome(status=204), pause_ms=0)
    done = the_delivery(outbox, job_id)
    assert (done.state, done.last_status, done.next_attempt_at) == ("delivered", 204, None)


def test_only_2xx_is_a_receipt_and_only_410_ends_it(jobs: Jobs, outbox: Outbox) -> None:
    states = {
        Outcome(status=200): DeliveryState.DELIVERED,
        Outcome(status=204): DeliveryState.DELIVERED,
        Outcome(status=302): DeliveryState.PENDING,
        Outcome(status=404): DeliveryState.PENDING,
        Outcome(status=410): DeliveryState.FAILED,
        Outcome(status=500): DeliveryState.PENDING,
        Outcome(error="no answer in time"): DeliveryState.PENDING,
    }
    for outcome, state in states.items():
        job_id = canceled(jobs)
        outbox.settle(the_attempt(outbox), outcome, pause_ms=60_000)
        delivery = the_delivery(outbox, job_id)
        assert delivery.state is state, outcome
        assert (delivery.last_status, delivery.last_error) == (outcome.status, outcome.error)
        assert (delivery.next_attempt_at is not None) == (state is DeliveryState.PENDING)


@pytest.mark.parametrize("first_pause", [0.2, 5, 600])
def test_a_day_s_attempts_are_made_ever_more_seldom(first_pause: float) -> None:
    pauses: list[float] = []
    while (pause := pause_after(len(pauses) + 1, first_pause)) is not None:
        pauses.append(pause)
    assert 0.8 * first_pause <= pauses[0] <= 1.2 * first_pause
    assert pauses[:4] == sorted(pauses[:4])
    assert max(pauses) < 5 * 3600
    assert 15 * 3600 < sum(pauses) < 29 * 3600
    assert pause_after(5000, first_pause) is None


def test_a_delivery_is_given_up_and_can_be_sent_again(jobs: Jobs, outbox: Outbox) -> None:
    job_id = canceled(jobs)
    outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=None)
    assert the_delivery(outbox, job_id).state is DeliveryState.FAILED
    assert outbox.claim(10) == []
    again = outbox.resend(job_id, the_delivery(outbox, job_id).id)
    assert again.state is DeliveryState.PENDING
    outbox.settle(the_attempt(outbox), Outcome(status=200), pause_ms=60_000)
    assert the_delivery(outbox, job_id).attempts == 2
    assert the_delivery(outbox, job_id).state is DeliveryState.DELIVERED


def test_a_clock_that_was_wrong_loses_no_delivery_and_holds_none_up(
    jobs: Jobs, outbox: Outbox
) -> None:
    job_id = canceled(jobs)
    days = 7 * 24 * 3600 * 1000
    for error_ms in (-days, days):
        wrong = database.now_ms() + error_ms
        change(outbox, created_at=wrong, next_attempt_at=wrong, last_attempt_at=None)
        outbox.catch_up()
        outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=3_600_000)
        change(outbox, last_attempt_at=wrong, next_attempt_at=wrong + 1000)
        outbox.catch_up()
        outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=3_600_000)
        outbox.catch_up()
        assert outbox.claim(10) == []
    assert the_delivery(outbox, job_id).state is DeliveryState.PENDING


def started_and_canceled(jobs: Jobs, url: str = "https://example.com/hook") -> str:
    """The id of a job whose webhook is owed a `started` and a `canceled`."""
    job = jobs.submit(clip(), webhook=webhook(url))
    assert Claim.next(jobs.database, f"the worker of {job.id}")
    return jobs.cancel(job.id).id


def states(outbox: Outbox, job_id: str) -> dict[str, str]:
    return {delivery.event: delivery.state.value for delivery in outbox.of_job(job_id)}


def test_a_later_event_waits_for_the_one_before_it(jobs: Jobs, outbox: Outbox) -> None:
    job_id = started_and_canceled(jobs)
    first = the_attempt(outbox)
    assert first.delivery.event == "started"
    assert outbox.claim(10) == []
    outbox.settle(first, Outcome(status=200), pause_ms=0)
    assert the_attempt(outbox).delivery.event == "canceled"
    assert states(outbox, job_id) == {"started": "delivered", "canceled": "pending"}


def test_what_failed_is_superseded_by_a_later_event(jobs: Jobs, outbox: Outbox) -> None:
    job_id = started_and_canceled(jobs)
    outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=0)
    end = the_attempt(outbox)
    assert end.delivery.event == "canceled"
    assert states(outbox, job_id) == {"started": "superseded", "canceled": "pending"}
    outbox.settle(end, Outcome(status=500), pause_ms=0)
    jobs.retry(job_id)
    jobs.cancel(job_id)
    (second_end,) = outbox.claim(10)
    assert second_end.delivery.id == f"{job_id}-2-canceled"
    outbox.settle(second_end, Outcome(status=200), pause_ms=0)
    assert outbox.claim(10) == []
    assert [delivery.state for delivery in outbox.of_job(job_id)] == [
        "superseded",
        "superseded",
        "delivered",
    ]


def test_a_failing_event_is_retried_until_another_comes(jobs: Jobs, outbox: Outbox) -> None:
    job = jobs.submit(clip(), webhook=webhook())
    assert Claim.next(jobs.database, "a worker")
    for _ in range(3):
        outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=0)
    again = the_attempt(outbox)
    jobs.cancel(job.id)
    assert outbox.claim(10) == []  # the fourth attempt is under way
    outbox.settle(again, Outcome(status=500), pause_ms=0)
    assert the_attempt(outbox).delivery.event == "canceled"


def test_a_later_event_waits_no_longer_than_a_dead_sender_s_claim(
    jobs: Jobs, outbox: Outbox
) -> None:
    started_and_canceled(jobs)
    assert the_attempt(outbox).delivery.event == "started"
    change(outbox, next_attempt_at=0)
    again = the_attempt(outbox)
    assert (again.delivery.event, again.delivery.attempts) == ("started", 2)
    outbox.settle(again, Outcome(error="no answer in time"), pause_ms=0)
    assert the_attempt(outbox).delivery.event == "canceled"


def test_a_superseded_event_is_sent_again_by_hand(jobs: Jobs, outbox: Outbox) -> None:
    job_id = started_and_canceled(jobs)
    outbox.settle(the_attempt(outbox), Outcome(status=500), pause_ms=0)
    outbox.settle(the_attempt(outbox), Outcome(status=200), pause_ms=0)
    outbox.resend(job_id, f"{job_id}-started")
    by_hand = the_attempt(outbox)
    assert by_hand.delivery.event == "started"
    outbox.settle(by_hand, Outcome(status=200), pause_ms=0)
    assert states(outbox, job_id) == {"started": "delivered", "canceled": "delivered"}


def test_one_owner_s_receivers_hold_up_no_other_owner(
    jobs: Jobs, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 8
    monkeypatch.setattr(deliveries, "PER_OWNER", most)

    def owes(owner: str, receiver: str, number: int) -> None:
        for _ in range(number):
            canceled(jobs.seen_by(Caller(owner)), f"https://{receiver}/hook")

    owes("ana", "silent", 3 * most)
    claimed = outbox.claim(100)
    assert len(claimed) == PER_RECEIVER
    owes("ana", "another", 2)
    claimed += outbox.claim(100, under(claimed))
    assert [attempt.delivery.receiver for attempt in claimed[PER_RECEIVER:]] == ["another"] * 2
    for n in range(2 * most):
        owes("ana", f"silent-{n}", 1)
    claimed += outbox.claim(100, under(claimed))
    assert len(claimed) == most
    owes("bo", "silent", 1)
    (news,) = outbox.claim(1, under(claimed[1:]))  # as many of ana's are due, and for longer
    assert (news.delivery.owner, news.delivery.receiver) == ("bo", "silent")


def test_room_is_shared_evenly(jobs: Jobs, outbox: Outbox) -> None:
    for owner, number in {"ana": 9, "bo": 9, "cy": 1}.items():
        for n in range(number):
            canceled(jobs.seen_by(Caller(owner)), f"https://receiver-{n % 3}/")
    claimed = outbox.claim(9)
    assert Counter(attempt.delivery.owner for attempt in claimed) == {"ana": 4, "bo": 4, "cy": 1}
    receivers = Counter(attempt.delivery.receiver for attempt in claimed)
    assert set(receivers) == {"receiver-0", "receiver-1", "receiver-2"}


def under(claimed: list[Attempt]) -> list[Delivery]:
    return [attempt.delivery for attempt in claimed]


def test_more_than_fit_are_all_sent_in_the_end(jobs: Jobs, outbox: Outbox) -> None:
    job_ids = {canceled(jobs, f"https://receiver-{n % 2}/") for n in range(11)}
    sent: list[str] = []
    while claimed := outbox.claim(100):
        assert len(claimed) <= 2 * PER_RECEIVER
        for attempt in claimed:
            outbox.settle(attempt, Outcome(status=200), pause_ms=0)
            sent.append(attempt.job["id"])
    assert len(sent) == 11
    assert set(sent) == job_ids


def test_what_is_asked_for_again_during_an_attempt_is_sent_again(
    jobs: Jobs, outbox: Outbox
) -> None:
    job_id = canceled(jobs)
    attempt = the_attempt(outbox)
    outbox.resend(job_id, attempt.delivery.id)
    outbox.settle(attempt, Outcome(status=200), pause_ms=0)
    assert the_attempt(outbox).delivery.attempts == 2


def test_a_delivery_of_another_job_is_not_sent_again(jobs: Jobs, outbox: Outbox) -> None:
    one, other = canceled(jobs), canceled(jobs)
    with pytest.raises(DeliveryNotFound):
        outbox.resend(one, the_delivery(outbox, other).id)


@pytest.mark.parametrize("way", ["deleted", "expired"])
def test_a_deleted_job_sends_no_webhook(jobs: Jobs, outbox: Outbox, way: str) -> None:
    job_id = canceled(jobs)
    attempt = the_attempt(outbox)
    if way == "deleted":
        jobs.delete(job_id)
    else:
        with jobs.database.begin() as connection:
            connection.execute(sa.update(database.jobs).values(expires_at=1))
        jobs.delete_expired()
    outbox.settle(attempt, Outcome(status=500), pause_ms=0)
    assert outbox.claim(10) == []
    assert outbox.of_job(job_id) == []


def test_all_processes_share_one_secret_and_no_two_owners_do(
    jobs: Jobs, settings: Settings
) -> None:
    with ThreadPoolExecutor(8) as threads:
        drawn = set(threads.map(lambda _: secret_of("ana", settings, jobs.database), range(8)))
    assert len(drawn) == 1
    given = settings.model_copy(update={"webhook_secret": SecretStr("whsec_" + "A" * 32)})
    secrets = {secret_of(owner, given, jobs.database) for owner in ("", "ana", "bo")}
    assert len(secrets | drawn) == 4
    assert secret_of("ana", given, jobs.database) == secret_of("ana", given, jobs.database)


def test_a_failed_and_a_completed_job_send_webhooks(
    jobs: Jobs, outbox: Outbox, settings: Settings, start_worker: StartWorker
) -> None:
    start_worker()
    ana = jobs.seen_by(Caller("ana"))
    with receiving() as receiver, sending(jobs, settings):
        ended: list[Job] = []
        for prompt in ("broken", "a red circle"):
            job = ana.submit(clip(prompt), webhook=webhook(receiver.url))
            ended.append(wait_for_end(jobs, job.id))
        wait_until(lambda: len(receiver.accepted()) == 4)
        wait_until(lambda: all_delivered(outbox, ended))
        secret = secret_of("ana", settings, jobs.database)
        sent = {post.id: post.verified(secret) for post in receiver.accepted()}
        assert len(sent) == 4
        assert len(receiver.posts) == 4
    failed, completed = ended
    news = {(body["data"]["job_id"], body["type"]): body["data"] for body in sent.values()}
    assert news[failed.id, "job.failed"]["error"]["message"] == "it was asked to fail"
    assert news[completed.id, "job.completed"]["video_url"] == f"/api/videos/{completed.id}.mp4"
    for job in ended:
        assert news[job.id, "job.started"]["status"] == "in_progress"
    with pytest.raises(WebhookVerificationError):
        receiver.posts[0].verified(secret_of("bo", settings, jobs.database))


def all_delivered(outbox: Outbox, ended: list[Job]) -> bool:
    found = [delivery for job in ended for delivery in outbox.of_job(job.id)]
    return all(delivery.state is DeliveryState.DELIVERED for delivery in found)


def test_two_senders_tell_everything_once(jobs: Jobs, settings: Settings) -> None:
    with receiving() as receiver, sending(jobs, settings), sending(jobs, settings):
        job_ids = {canceled(jobs, receiver.url) for _ in range(20)}
        wait_until(lambda: len(receiver.posts) >= 20)
    assert len(receiver.posts) == 20
    assert {post.id.removesuffix("-1-canceled") for post in receiver.posts} == job_ids


@on_sqlite
def test_a_receiver_that_answers_for_ever_is_left(
    jobs: Jobs, outbox: Outbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "ATTEMPT_SECONDS", 0.5)
    left = False

    def dribble(request: BaseHTTPRequestHandler) -> None:
        nonlocal left
        try:
            for _ in range(1000):
                request.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                time.sleep(0.05)
        except OSError:
            left = True

    with serving(dribble) as url, sending(jobs, settings):
        job_id = canceled(jobs, url)
        wait_until(lambda: the_delivery(outbox, job_id).last_error == "no answer in time")
        wait_until(lambda: left)


@on_sqlite
def test_what_is_no_http_is_not_quoted(jobs: Jobs, outbox: Outbox, settings: Settings) -> None:
    def greet(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"SSH-2.0-secret\r\n")

    with serving(greet) as url, sending(jobs, settings):
        job_id = canceled(jobs, url)
        wait_until(lambda: the_delivery(outbox, job_id).last_error)
    assert the_delivery(outbox, job_id).last_error == "the answer is not HTTP"


@on_sqlite
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "unknown"])
def test_a_certificate_is_checked(
    jobs: Jobs,
    outbox: Outbox,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
) -> None:
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with receiving(tls=tls) as receiver, sending(jobs, settings):
        job_id = canceled(jobs, receiver.url.replace("127.0.0.1", "localhost"))
        wait_until(lambda: the_delivery(outbox, job_id).attempts > 1 or receiver.posts)
    assert bool(receiver.posts) == trusted
    if not trusted:
        assert "CERTIFICATE_VERIFY_FAILED" in (the_delivery(outbox, job_id).last_error or "")


@on_sqlite
def test_a_silent_receiver_holds_up_nobody_else(
    jobs: Jobs, outbox: Outbox, settings: Settings
) -> None:
    over = threading.Event()
    held: list[str] = []

    def keep_silent(request: BaseHTTPRequestHandler) -> None:
        held.append(request.path)
        over.wait()

    silent_jobs = 80
    with serving(keep_silent) as silent, receiving() as receiver, sending(jobs, settings):
        for n in range(silent_jobs):
            canceled(jobs.seen_by(Caller("ana")), f"{silent}/{n}")
        wait_until(lambda: len(held) == PER_RECEIVER)
        mine = canceled(jobs.seen_by(Caller("ana")), receiver.url)
        other = canceled(jobs.seen_by(Caller("bo")), receiver.url)
        wait_until(lambda: len(receiver.posts) == 2)
        sent = {post.id.partition("-")[0] for post in receiver.posts}
        over.set()
    assert sent == {mine, other}
    assert len(held) < silent_jobs / 2


@on_sqlite
def test_a_sender_leaves_threads_for_those_who_ask(jobs: Jobs, settings: Settings) -> None:
    at_once: list[int] = []
    under_way: list[str] = []

    def render_slowly(*sent: Any) -> str:
        under_way.append("one")
        at_once.append(len(under_way))
        time.sleep(0.1)
        under_way.pop()
        return render(*sent)

    for n in range(1, 13):
        canceled(jobs, f"http://127.0.0.{n}:9/")
    with sending(jobs, settings, render_slowly):
        wait_until(lambda: len(at_once) >= 12)
    assert 1 < max(at_once) <= webhooks.STORE_THREADS


def test_no_receiver_sees_a_job_start_after_its_end(
    jobs: Jobs, outbox: Outbox, settings: Settings
) -> None:
    seen: list[str] = []
    failing = iter([True, False] * 100)

    def answer_late(request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        if body["type"] == "job.started":
            time.sleep(0.2)
        seen.append(f"{body['data']['job_id']} {body['type']}")
        fails = body["type"] == "job.started" and next(failing)
        reply(request, b"", 500 if fails else 200)

    with serving(answer_late) as url:
        job_ids = [started_and_canceled(jobs, url) for _ in range(8)]
        with sending(jobs, settings), sending(jobs, settings):
            wait_until(
                lambda: "pending" not in {s for j in job_ids for s in states(outbox, j).values()}
            )
    for job_id in job_ids:
        mine = [line.split()[1] for line in seen if line.startswith(job_id)]
        assert mine == ["job.started", "job.canceled"]
    started = Counter(states(outbox, job_id)["started"] for job_id in job_ids)
    assert started == {"superseded": 4, "delivered": 4}


@on_sqlite
def test_a_body_that_never_ends_is_not_waited_for(
    jobs: Jobs, outbox: Outbox, settings: Settings
) -> None:
    def dribble(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        with suppress(OSError):
            while True:
                request.wfile.write(b".")
                time.sleep(0.05)

    with serving(dribble) as url, sending(jobs, settings):
        job_id = canceled(jobs, url)
        wait_until(lambda: the_delivery(outbox, job_id).state is DeliveryState.DELIVERED)
