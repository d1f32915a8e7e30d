"""The whole page in a browser, as people use it: from a prompt to a clip."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.conftest import LONG, Service, StartService, submit, wait_for
from tests.studio.conftest import DESK, PHONE, OpenPage, Watch, screenshot, serious_faults
from tests.test_auth import API_KEYS, KEYS

MAX_FIRST_LOAD = 150_000  # bytes over the wire
TOUCH = {"viewport": PHONE, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
VIEWS: dict[str, dict[str, Any]] = {
    "light": {"viewport": DESK, "color_scheme": "light"},
    "dark": {"viewport": DESK, "color_scheme": "dark"},
    "phone": TOUCH | {"color_scheme": "light"},
}
PROMPT = "A red ball bounces on a white background"
NOTHING = "Nothing is waiting"  # every job has ended


def compose(page: Page, prompt: str = PROMPT, preset: str = "Fast") -> None:
    page.get_by_label("What should it show?").fill(prompt)
    page.get_by_role("radio", name=preset).check(force=True)  # its card is what one sees


def jobs_of(api: httpx.Client) -> list[dict[str, Any]]:
    return list(api.get("/api/jobs").json()["jobs"])


def test_a_clip_is_composed_quoted_made_played_and_downloaded(
    page: Page, api: httpx.Client
) -> None:
    compose(page, preset="High")
    expect(page.locator("#quote")).to_contain_text("to make")
    expect(page.locator("#quote")).to_contain_text("Starts at once")
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#jobs .job")).to_contain_text(PROMPT)
    expect(page.locator("#jobs")).to_contain_text(NOTHING)
    expect(page.locator("#quote")).to_contain_text("Starts at once")  # again
    [job] = jobs_of(api)
    page.locator(f"#clip-{job['job_id']}").get_by_role("button").click()
    video = page.get_by_label("The clip", exact=True)
    video.evaluate("video => video.play()")
    while video.evaluate("video => video.currentTime") < 0.1:
        page.wait_for_timeout(50)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{job['job_id']}.mp4"
    assert download.value.path().read_bytes() == api.get(job["video_url"]).content


def test_variations_are_drafted_and_one_is_approved(page: Page, api: httpx.Client) -> None:
    compose(page)
    page.get_by_role("radio", name="4", exact=True).check(force=True)
    page.get_by_role("button", name="Make 4 drafts").click()
    grid = page.locator(".drafts")
    expect(grid).to_contain_text("4 of 4 drafts ready")
    assert {job["step"] for job in jobs_of(api)} == {2}  # of 8
    grid.get_by_role("button", name="Finish").nth(2).click()
    expect(page.locator("#jobs")).to_contain_text(NOTHING)
    assert sorted(job["status"] for job in jobs_of(api)) == ["canceled"] * 3 + ["completed"]


def test_a_reload_shows_the_job_where_it_is(page: Page, api: httpx.Client) -> None:
    job = wait_for(api, submit(api, **LONG), lambda job: job["step"] > 1)
    page.reload()
    shown = page.locator(f"#job-{job['job_id']}")
    expect(shown).to_contain_text("of 100")
    expect(shown.get_by_role("img", name="Preview")).to_be_visible()
    [step] = re.findall(r"Step \d+ of", shown.inner_text())
    expect(shown).to_contain_text("Step")
    expect(shown).not_to_contain_text(step)  # and it goes on


def test_an_invalid_size_is_refused_beside_its_field(page: Page, api: httpx.Client) -> None:
    compose(page)
    page.get_by_text("Advanced settings").click()
    width = page.get_by_label("Width in pixels")
    width.fill("8")
    expect(page.locator("#problem-width")).to_contain_text("64")
    expect(width).to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#problem-width")).to_contain_text("64")
    assert jobs_of(api) == []
    width.fill("128")
    expect(page.locator("#problem-width")).to_be_hidden()
    expect(width).not_to_have_attribute("aria-invalid", "true")


def test_a_clip_can_be_made_before_its_quote_is_there(page: Page, api: httpx.Client) -> None:
    expect(page.locator("#quote")).to_contain_text("to make")
    held: list[Route] = []
    page.route("**/studio/quote", lambda route: held.append(route))
    with page.expect_request("**/studio/quote"):
        compose(page, preset="High")
    expect(page.get_by_role("button", name="Make video")).to_be_enabled()
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#jobs .job")).to_contain_text(PROMPT)
    for route in held:
        route.continue_()


def test_the_keyboard_is_enough(page: Page, api: httpx.Client) -> None:
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the prompt")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("What should it show?")).to_be_focused()
    page.keyboard.type("A red circle")
    button = page.get_by_role("button", name="Make video")
    reach(page, "submit")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    cancel = page.get_by_role("button", name="Cancel: A red circle")
    expect(cancel).to_be_visible()
    reach(page, (cancel.get_attribute("id") or ""))
    page.keyboard.press("Enter")
    expect(page.locator("#jobs .job.canceled")).to_be_focused()
    assert [job["status"] for job in jobs_of(api)] == ["canceled"]


def reach(page: Page, element_id: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == element_id:
            return
    pytest.fail(f"{element_id} cannot be reached with the keyboard")


def test_a_phone_is_wide_enough(open_page: OpenPage, api: httpx.Client) -> None:
    page = open_page(**TOUCH)
    compose(page, preset="High")
    page.get_by_role("button", name="Make video").tap()
    expect(page.locator("#jobs .job")).to_be_in_viewport()
    expect(page.locator("#jobs")).to_contain_text(NOTHING)
    wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wider)


def test_a_slow_browser_on_a_slow_network_makes_a_clip(
    page: Page, api: httpx.Client, watch: Watch
) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    slow = {"offline": False, "latency": 300, "downloadThroughput": 50e3, "uploadThroughput": 20e3}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", slow)
    page.goto(watch.origin, wait_until="commit")
    compose(page)
    page.get_by_role("button", name="Make video").click()
    while [job["status"] for job in jobs_of(api)] != ["completed"]:
        page.wait_for_timeout(100)
    expect(page.locator("#jobs")).to_contain_text(NOTHING)


def test_a_clip_cannot_be_asked_for_before_anybody_listens(
    page: Page, api: httpx.Client, watch: Watch
) -> None:
    """The browser would send the form itself, and load the page again without the prompt."""
    held: list[Route] = []
    page.route("**/htmx.min.js", lambda route: held.append(route))
    page.goto(watch.origin, wait_until="commit")
    compose(page)
    button = page.get_by_role("button", name="Make video")
    expect(button).to_be_disabled()
    held[0].continue_()
    button.click()
    expect(page.locator("#jobs .job")).to_contain_text(PROMPT)


def test_each_key_sees_its_own_jobs(
    start_service: StartService, open_page: OpenPage, watch: Watch
) -> None:
    service = start_service(HUNYUAN_API_KEYS=API_KEYS, HUNYUAN_LOCAL_RUNNER="false")
    watch.origin = service.url
    pages = {name: sign_in(open_page(), key) for name, key in KEYS.items()}
    for name in ("ana", "bo"):
        compose(pages[name], f"A red circle of {name}")
        pages[name].get_by_role("button", name="Make video").click()
        card = pages[name].locator("#jobs .job")
        expect(card).to_contain_text(f"A red circle of {name}")
        expect(card).to_contain_text("no worker is running")
    for name in ("ana", "bo"):
        assert pages[name].locator("#jobs .job .prompt").all_inner_texts() == [
            f"A red circle of {name}"
        ]
    admin = pages["root"].locator("#jobs .job")
    expect(admin).to_have_count(2)
    expect(admin.filter(has_text="by ana")).to_contain_text("A red circle of ana")


def sign_in(page: Page, key: str) -> Page:
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("What should it show?")).to_be_visible()
    return page


def test_the_first_load_is_small_and_soon_ready(open_page: OpenPage, studio: Service) -> None:
    page = open_page("/static/studio/icon.svg")
    received: list[float] = []
    session = page.context.new_cdp_session(page)
    session.on("Network.loadingFinished", lambda event: received.append(event["encodedDataLength"]))
    session.send("Network.enable")
    page.goto(studio.url)
    expect(page.locator("#quote")).to_contain_text("to make")
    assert sum(received) < MAX_FIRST_LOAD
    ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    print(f"{len(received)} answers of {sum(received):.0f} bytes, interactive after {ready:.0f} ms")


def test_each_view_can_be_shown(open_page: OpenPage, api: httpx.Client) -> None:
    pages = {view: open_page(**options) for view, options in VIEWS.items()}

    def show(name: str) -> None:
        for view, page in pages.items():
            assert serious_faults(page) == [], f"{name}-{view}"
            screenshot(page, f"{name}-{view}")

    for page in pages.values():
        compose(page, "A cat walks on grass")
        expect(page.locator("#quote")).to_contain_text("to make")
    show("compose")
    pages["light"].get_by_role("radio", name="4", exact=True).check(force=True)
    pages["light"].get_by_role("button", name="Make 4 drafts").click()
    for page in pages.values():
        expect(page.locator(".drafts")).to_contain_text("4 of 4 drafts ready")
        page.locator(".drafts").scroll_into_view_if_needed()
    show("drafts")
    running = submit(api, **LONG | {"prompt": "The sun sets over a calm sea"})
    for prompt in ("Snow falls on a field in winter", "A yellow car drives on a road"):
        submit(api, **LONG | {"prompt": prompt})
    for page in pages.values():
        card = page.locator(f"#job-{running['job_id']}")
        expect(card).to_contain_text(re.compile(r"Step ([4-9]|\d\d) of"))
        card.scroll_into_view_if_needed()
    show("queue")
