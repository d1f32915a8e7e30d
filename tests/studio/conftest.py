"""The page in a real browser: Debian's Chromium, driven by Playwright, on a real service.

Every page that a test opens is watched: no request may leave the service, and neither an error on
its console nor a violation of its content security policy may pass unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.conftest import ROOT, Service, find_program, services, with_worker

SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = [
    "--no-sandbox",  # the tests run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Chromium drops requests when the machine gets another network, as other tests make some.
NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
PATIENCE_MS = 180_000  # for what happens within a second on an idle machine
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
# What axe-core calls serious or worse, of the rules for WCAG 2.2 AA and of good practice.
AXE = """() => axe.run(document, {resultTypes: ["violations"]}).then(({violations}) => violations
    .filter(({impact}) => ["serious", "critical"].includes(impact))
    .flatMap(({id, help, nodes}) => nodes.map(({html, failureSummary}) =>
        `${id}: ${help}\\n${html}\\n${failureSummary}`)))"""

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Watch:
    """What a browser must not do on a page, and what it did of that."""

    origin: str
    # Patterns of console errors. A job may be deleted while its picture is on the way.
    allowed: list[str] = field(default_factory=lambda: [r"404 .*/(preview|draft|thumbnail)"])
    found: list[str] = field(default_factory=list)

    def on(self, page: Page) -> None:
        page.on("request", self._see_request)
        page.on("console", self._see_message)
        page.on("pageerror", lambda error: self.found.append(f"uncaught: {error}"))

    def _see_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.found.append(f"request to {request.url}")

    def _see_message(self, message: ConsoleMessage) -> None:
        if message.type == "error":  # also violations of the content security policy
            self.found.append(f"console: {message.text} {message.location.get('url', '')}")

    @property
    def faults(self) -> list[str]:
        allowed = [*self.allowed, NETWORK_CHANGED]
        return [fault for fault in self.found if not any(re.search(one, fault) for one in allowed)]


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that all tests of the page share, with its runner; jobs have no owner."""
    with services(tmp_path_factory) as start:
        yield with_worker(start())


# For one file only: Playwright leaves an event loop running, and other tests have their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = find_program("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM)
        yield browser
        browser.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def watch(studio: Service) -> Watch:
    return Watch(studio.url)


@pytest.fixture
def open_page(browser: Browser, watch: Watch) -> Iterator[OpenPage]:
    """Open the page in a browser of its own: `open_page(viewport=PHONE, color_scheme="dark")`.

    After the test nothing that `watch` forbids may have happened.
    """
    with ExitStack() as contexts:

        def open_page(path: str = "/", *, origin: str | None = None, **options: Any) -> Page:
            context = browser.new_context(**{"viewport": DESK} | options)
            contexts.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            page = context.new_page()
            watch.on(page)
            page.goto(f"{origin or watch.origin}{path}")
            return page

        yield open_page
    assert watch.faults == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """The page on a desk."""
    return open_page()


@pytest.fixture
def api(studio: Service) -> Iterator[httpx.Client]:
    """The API of the service; the test begins and ends without jobs."""
    with httpx.Client(base_url=studio.url, timeout=60) as client:
        clear(client)
        yield client
        clear(client)


def clear(client: httpx.Client) -> None:
    """Delete all jobs."""
    while jobs := client.get("/api/jobs", params={"limit": 100}).json()["jobs"]:
        for job in jobs:
            client.post(f"/api/jobs/{job['job_id']}/cancel")
            client.delete(f"/api/jobs/{job['job_id']}")


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds on the page that is serious or worse."""
    page.emulate_media(reduced_motion="reduce")  # a colour that changes just now is neither
    expect(page.locator(".htmx-request")).to_have_count(0)  # what is asked for is dimmed
    page.evaluate(AXE_SCRIPT)
    return list(page.evaluate(AXE))


def screenshot(page: Page, name: str) -> None:
    """Write a picture of the page to build/screenshots, for people to look at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
