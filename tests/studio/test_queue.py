"""The queue panel in a browser: what it shows of jobs, and what its buttons do to them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.retention import expiry
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobError
from tests.conftest import (
    LONG,
    SHORT,
    Service,
    StartService,
    finish,
    submit,
    wait_for,
    with_worker,
)
from tests.studio.conftest import OpenPage, Watch, serious_faults

HOSTILE = "<img src=x onerror=document.title='broken'> & \"b\" </li><script>alert(1)</script>"


def card(page: Page, job: dict[str, Any]) -> Locator:
    return page.locator(f"#job-{job['job_id']}")


def press(page: Page, job: dict[str, Any], button: str) -> None:
    card(page, job).get_by_role("button", name=button).click()


def order(page: Page) -> list[str]:
    """The prompts of the cards, from the top."""
    return page.locator("#jobs .job .prompt").all_inner_texts()


@pytest.fixture
def running(api: httpx.Client) -> dict[str, Any]:
    """A job that is being rendered, and that takes long."""
    return wait_for(api, submit(api, **LONG), lambda job: job["step"] > 0)


def test_a_job_is_followed_from_its_start_to_its_end(page: Page, api: httpx.Client) -> None:
    expect(page.get_by_text("Nothing is waiting")).to_be_visible()
    title = page.title()
    job = submit(api, **LONG | {"num_inference_steps": 24, "prompt": "A green square"})
    shown = card(page, job)
    expect(shown).to_contain_text("A green square")
    expect(shown).to_contain_text("seed 7")
    expect(shown.get_by_text("Denoising")).to_be_visible()
    expect(shown).to_contain_text("of 24")
    preview = shown.get_by_role("img", name="Preview")
    expect(preview).to_be_visible()
    first = preview.get_attribute("src")
    shown.evaluate("card => (card.marked = true)")
    expect(preview).not_to_have_attribute("src", first or "")  # it grows
    assert shown.evaluate("card => card.marked")  # the same element, so it keeps the focus
    assert preview.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    assert "%" in page.title()
    assert (page.locator("#favicon").get_attribute("href") or "").startswith("data:image/svg+xml")
    assert shown.get_by_role("progressbar").evaluate("bar => bar.value") > 0
    expect(page.locator("#messages")).to_contain_text("Finished: A green square")
    expect(shown).to_have_count(0)
    assert page.title() == title
    assert finish(api, job)["status"] == "completed"


def test_waiting_jobs_are_reordered_with_the_keyboard(
    page: Page, api: httpx.Client, running: dict[str, Any]
) -> None:
    jobs = [submit(api, prompt=f"A circle {name}") for name in ("one", "two", "three")]
    expect(card(page, jobs[2]).get_by_text("No. 3 in the queue")).to_be_visible()
    up = card(page, jobs[2]).get_by_role("button", name="Move up")
    up.focus()
    page.keyboard.press("Enter")
    expect(card(page, jobs[2]).get_by_text("No. 2 in the queue")).to_be_visible()
    expect(up).to_be_focused()
    page.keyboard.press("Enter")
    expect(card(page, jobs[2]).get_by_text("Next")).to_be_visible()
    expect(card(page, jobs[2])).to_be_focused()  # it cannot move further, so the button is gone
    press(page, jobs[0], "Move down")
    press(page, jobs[0], "Render next")
    expect(card(page, jobs[0]).get_by_text("Next")).to_be_visible()
    assert order(page)[1:] == ["A circle one", "A circle three", "A circle two"]


def test_a_job_is_paused_resumed_canceled_continued_and_removed(
    page: Page, api: httpx.Client, running: dict[str, Any]
) -> None:
    press(page, running, "Pause")
    expect(card(page, running).get_by_text("Paused")).to_be_visible()
    press(page, running, "Resume")
    expect(card(page, running).get_by_text("resumed at step")).to_be_visible()
    expect(card(page, running)).to_contain_text("Attempt 2")
    press(page, running, "Cancel")
    expect(card(page, running).get_by_text("Canceled")).to_be_visible()
    press(page, running, "Continue")
    expect(card(page, running).get_by_text("Attempt 3")).to_be_visible()
    press(page, running, "Cancel")
    press(page, running, "Remove")
    expect(card(page, running)).to_have_count(0)
    expect(page.locator("#queue-title")).to_be_focused()
    assert api.get(f"/api/status/{running['job_id']}").status_code == 404


def test_a_button_that_comes_too_late_says_so(
    page: Page, api: httpx.Client, watch: Watch, running: dict[str, Any]
) -> None:
    watch.allowed.append("409")
    waiting = submit(api)
    button = card(page, waiting).get_by_role("button", name="Pause")
    expect(button).to_be_visible()

    def too_late(route: Route) -> None:
        cancel(api, waiting)
        route.continue_()

    page.route("**/studio/queue/*/pause", too_late)
    button.click()
    expect(page.locator("#messages")).to_contain_text("only a queued or denoising job can be")


def cancel(api: httpx.Client, job: dict[str, Any]) -> None:
    api.post(f"/api/jobs/{job['job_id']}/cancel").raise_for_status()


def test_one_of_several_drafts_is_finished_and_the_others_are_dropped(
    page: Page, api: httpx.Client, studio: Service
) -> None:
    form = SHORT | {"num_inference_steps": 4, "variations": 4, "prompt": "A red circle"}
    text: dict[str, Any] = {name: str(value) for name, value in form.items()}
    assert page.request.post(f"{studio.url}/studio/generate", form=text).ok
    grid = page.locator(".drafts")
    expect(grid).to_contain_text("4 of 4 drafts ready")
    assert grid.locator(".facts").all_inner_texts() == [
        "Seed 7",
        "Seed 8",
        "Seed 9",
        "Seed 10",
    ]
    expect(grid.locator("video")).to_have_count(4)
    assert grid.locator("video").first.evaluate(
        "video => new Promise((found, failed) => {"
        "video.onerror = failed; if (video.readyState > 1) found(video.videoWidth);"
        "video.onloadeddata = () => found(video.videoWidth)})"
    )
    chosen = grid.locator(".tile").nth(1)
    chosen.get_by_role("button", name="Finish").click()
    expect(page.locator("#jobs")).to_contain_text("Nothing is waiting")
    expect(grid).to_have_count(0)
    states = {job["params"]["seed"]: job["status"] for job in api.get("/api/jobs").json()["jobs"]}
    assert states == {7: "canceled", 8: "completed", 9: "canceled", 10: "canceled"}


def test_a_failed_job_says_what_to_do(
    page: Page, api: httpx.Client, studio: Service, running: dict[str, Any]
) -> None:
    job = submit(api)
    fail(studio, JobError(code="out_of_memory", message="The clip needs 9 GB <b>more</b>."))
    shown = card(page, job)
    expect(shown).to_contain_text("Failed. The clip needs 9 GB <b>more</b>.")
    expect(shown).to_contain_text("Make a smaller or shorter clip")
    press(page, job, "Try again")
    expect(shown.get_by_text("Next")).to_be_visible()


def fail(studio: Service, error: JobError, created_at: int | None = None) -> None:
    """Let the job that is next in the queue fail, as if a worker of the service had taken it."""
    store = Jobs(settings := Settings(data_dir=studio.data_dir))
    claim = Claim.next(store.database, "a worker of the test")
    assert claim is not None
    if created_at is not None:
        update = sa.update(database.jobs).where(database.jobs.c.id == claim.job_id)
        with store.database.begin() as connection:
            connection.execute(update.values(created_at=created_at))
    claim.fail(error, expiry(store.database, settings))
    store.close()


def test_two_tabs_and_a_reload_show_the_same(
    open_page: OpenPage, api: httpx.Client, running: dict[str, Any]
) -> None:
    one, two = open_page(), open_page()
    press(one, running, "Pause")
    for tab in (one, two):
        expect(card(tab, running).get_by_text("Paused", exact=True)).to_be_visible()
    one.reload()
    expect(card(one, running).get_by_text("Paused", exact=True)).to_be_visible()
    press(one, running, "Cancel")
    expect(card(two, running).get_by_text("Canceled")).to_be_visible()


def test_a_prompt_is_shown_as_text(page: Page, api: httpx.Client, running: dict[str, Any]) -> None:
    job = submit(api, prompt=HOSTILE)
    expect(card(page, job).locator(".prompt")).to_have_text(HOSTILE)
    cancel(api, running)
    expect(page.locator("#messages")).to_contain_text(f"Finished: {HOSTILE}")
    assert "broken" not in page.title()


def test_the_queue_is_asked_for_when_its_stream_is_silent(
    open_page: OpenPage, api: httpx.Client, watch: Watch
) -> None:
    watch.allowed += ["studio/events", "studio/queue"]
    page = open_page("/static/studio/icon.svg")
    page.clock.install()
    page.route("**/studio/events", lambda route: route.abort())
    page.goto(watch.origin)
    expect(page.get_by_text("Not connected")).to_be_visible()
    job = submit(api)
    expect(card(page, job)).to_have_count(0)
    api.post(f"/api/jobs/{job['job_id']}/pause")
    finish(api, submit(api))
    running = submit(api, **LONG)
    page.clock.run_for(31_000)
    expect(card(page, running)).to_be_visible()
    page.route("**/studio/queue", lambda route: route.abort())
    page.clock.run_for(31_000)
    assert page.locator("#messages").inner_text() == ""  # said once, in the panel
    page.unroute("**/studio/queue")
    page.unroute("**/studio/events")
    page.clock.run_for(70_000)
    expect(page.get_by_text("Not connected")).to_be_hidden()


def test_an_answer_that_comes_late_replaces_nothing_newer(
    page: Page, api: httpx.Client, running: dict[str, Any]
) -> None:
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/studio/queue", lambda route: held.append((route, route.fetch())))
    shown = card(page, running)
    expect(shown).to_be_visible()
    page.evaluate("document.dispatchEvent(new CustomEvent('jobs-changed'))")
    with page.expect_response("**/studio/queue"):
        while not held:
            page.wait_for_timeout(50)
        cancel(api, running)
        expect(shown.get_by_text("Canceled")).to_be_visible()
        [(route, answer)] = held
        route.fulfill(response=answer)
    page.wait_for_timeout(500)  # in which the answer would be shown
    assert "Canceled" in shown.inner_text()


def test_a_long_job_offers_a_notification_and_asks_on_a_click_only(
    open_page: OpenPage, api: httpx.Client
) -> None:
    page = open_page()
    page.evaluate("() => { Notification.requestPermission = async () => (window.asked = true) }")
    offer = page.get_by_role("button", name="Notify me")
    expect(offer).to_be_hidden()
    submit(api, **LONG | {"width": 640, "height": 480})
    expect(offer).to_be_visible()
    assert page.evaluate("window.asked") is None
    offer.click()
    expect(offer).to_be_hidden()
    assert page.evaluate("window.asked")


def test_the_end_of_a_long_job_is_notified_to_those_who_look_elsewhere(
    open_page: OpenPage, api: httpx.Client, studio: Service, running: dict[str, Any]
) -> None:
    page = open_page("/static/studio/icon.svg")
    page.add_init_script(
        """window.notes = [];
        window.Notification = class extends EventTarget {
            static permission = "granted";
            constructor(title, options) { super(); notes.push(`${title}: ${options.body}`); }
        };
        Object.defineProperty(document, "hidden", {get: () => true});"""
    )
    page.goto(studio.url)
    error = JobError(code="engine_stalled", message="It hung.")
    for prompt, created_at in (("A short one", None), ("A long one", 1_600_000_000_000)):
        job = submit(api, prompt=prompt)
        expect(card(page, job).get_by_text("Next")).to_be_visible()
        fail(studio, error, created_at)
        expect(page.locator("#messages")).to_contain_text(f"Failed: {prompt}")
    assert page.evaluate("notes") == ["Failed: A long one"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_queue_has_no_serious_fault_of_accessibility(
    scheme: str, open_page: OpenPage, api: httpx.Client, running: dict[str, Any]
) -> None:
    page = open_page(color_scheme=scheme)
    waiting = submit(api), submit(api)
    api.post(f"/api/jobs/{waiting[0]['job_id']}/pause").raise_for_status()
    expect(card(page, waiting[0]).get_by_text("Paused", exact=True)).to_be_visible()
    assert serious_faults(page) == []


def test_the_page_survives_a_killed_service(
    start_service: StartService, open_page: OpenPage, watch: Watch
) -> None:
    soon_missed = {"HUNYUAN_LEASE_SECONDS": "4"}
    service = with_worker(start_service(**soon_missed))
    watch.origin = service.url
    watch.allowed += ["ERR_", "status of 503", "htmx:(afterRequest|sendError)"]
    page = open_page()
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job = submit(client, **LONG)
    expect(card(page, job).get_by_text(re.compile(r"Step ([4-9]|\d\d) of"))).to_be_visible()
    service.kill()
    expect(page.get_by_text("Not connected")).to_be_visible()
    port = int(service.url.rpartition(":")[2])
    start_service(port=port, HUNYUAN_DATA_DIR=str(service.data_dir), **soon_missed)
    expect(page.get_by_text("Not connected")).to_be_hidden()
    expect(card(page, job).get_by_text("resumed at step")).to_be_visible()
