"""The library panel in a browser: clips to look at, to find, to use again and to delete."""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import JSHandle, Locator, Page, expect

from hunyuan_runner.media import publish
from tests.conftest import Service, StartService, find_program, finish, submit, with_worker
from tests.studio.conftest import (
    PHONE,
    OpenPage,
    Watch,
    clear,
    screenshot,
    serious_faults,
)
from tests.test_auth import API_KEYS, KEYS, client_of

HOSTILE = (
    "<img src=x onerror=\"document.title='broken'\"> & 'a' \"b\" </li><script>alert(1)</script>"
)
UNDO_MS = 8_000
PROMPTS = ("A red circle", "Ocean waves at sunset", "A starry night over the mountains")
CLIP = {"width": 128, "height": 96, "num_frames": 9, "num_inference_steps": 8}


@pytest.fixture(scope="module")
def library(studio: Service) -> Iterator[httpx.Client]:
    """The API of a service with a few finished clips, which no test deletes."""
    with httpx.Client(base_url=studio.url, timeout=60) as client:
        clear(client)
        for job in [submit(client, prompt=prompt, **CLIP) for prompt in PROMPTS]:
            finish(client, job)
        yield client
        clear(client)


@pytest.fixture
def page(library: httpx.Client, open_page: OpenPage) -> Page:
    return open_page()


def cards(page: Page) -> Locator:
    return page.locator("#clips .clip:visible")


def card(page: Page, prompt: str) -> Locator:
    return cards(page).filter(has_text=prompt)


def opened(page: Page, prompt: str) -> Locator:
    """The player, with the clip of this prompt."""
    card(page, prompt).locator(".open").click()
    player = page.get_by_role("dialog")
    expect(player).to_be_visible()
    return player


def made(client: httpx.Client, prompt: str, **fields: Any) -> dict[str, Any]:
    """A clip that the test may delete."""
    return finish(client, submit(client, prompt=prompt, **fields))


def is_there(client: httpx.Client, job: dict[str, Any]) -> bool:
    return client.get(f"/api/status/{job['job_id']}").status_code == 200


def test_finished_clips_are_posters_that_move_under_the_pointer(page: Page) -> None:
    expect(cards(page)).to_have_count(3)
    assert cards(page).locator(".caption").all_inner_texts() == [*reversed(PROMPTS)]
    still = cards(page).first.locator("img[data-moving]")
    assert still.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    moving = page.locator(".moving")
    cards(page).first.hover()
    expect(moving).to_have_count(1)
    assert moving.evaluate("image => image.decode().then(() => image.naturalWidth)") == 128
    cards(page).last.hover()
    expect(cards(page).first.locator(".moving")).to_have_count(0)
    expect(cards(page).last.locator(".moving")).to_have_count(1)


def test_nothing_moves_by_itself_for_those_who_asked_for_less_motion(
    library: httpx.Client, open_page: OpenPage
) -> None:
    page = open_page(reduced_motion="reduce")
    cards(page).first.hover()
    cards(page).first.locator(".open").focus()
    video = opened(page, PROMPTS[0]).locator("video")
    expect(video).to_have_js_property("paused", True)
    expect(page.locator(".moving")).to_have_count(0)


def test_the_player_shows_the_clip_and_how_it_was_made(page: Page, library: httpx.Client) -> None:
    player = opened(page, PROMPTS[1])
    expect(page.locator("#player video")).not_to_have_js_property("currentTime", 0)
    facts = dict(
        zip(
            player.locator("dl:not(details dl) dt").all_inner_texts(),
            player.locator("dl:not(details dl) dd").all_inner_texts(),
            strict=True,
        )
    )
    job = library.get("/api/jobs", params={"search": "ocean"}).json()["jobs"][0]
    manifest = library.get(f"/api/jobs/{job['job_id']}/manifest").json()
    assert facts["Seed"] == "7"
    assert facts["Size"] == "128×96"
    assert facts["Length"] == "0.6 s, 9 frames at 15 fps"
    assert facts["Precision"] == manifest["precision"]
    assert facts["Rendered on"] == f"{manifest['cpu']}, 1 thread"
    assert {"Steps", "Guidance", "Flow shift", "Model", "Took", "Asked for", "Kept until"} <= {
        *facts
    }
    player.get_by_text("Weights and versions").click()
    expect(player).to_contain_text(manifest["versions"]["torch"])
    with page.expect_download() as download:
        player.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == f"{job['job_id']}.mp4"
    assert Path(download.value.path()).read_bytes() == library.get(job["video_url"]).content


def test_everything_works_with_the_keyboard(page: Page, library: httpx.Client) -> None:
    job = made(library, "A green square")
    page.reload()
    newest = cards(page).first.locator(".open")
    newest.focus()
    page.keyboard.press("Enter")
    player = page.get_by_role("dialog")
    expect(player).to_contain_text("A green square")
    page.keyboard.press("ArrowRight")
    expect(player).to_contain_text(PROMPTS[2])
    older = player.get_by_role("button", name="Older clip")
    older.focus()
    page.keyboard.press("Enter")
    expect(player).to_contain_text(PROMPTS[1])
    expect(older).to_be_focused()
    page.keyboard.press("Escape")
    expect(player).not_to_be_visible()
    expect(card(page, PROMPTS[1]).locator(".open")).to_be_focused()
    newest.focus()
    page.keyboard.press("Tab")
    expect(newest.locator("xpath=..").get_by_role("checkbox")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("#selection")).to_contain_text("1 selected")
    page.keyboard.press("Delete")
    expect(card(page, "A green square")).to_have_count(0)
    expect(card(page, PROMPTS[2]).locator(".open")).to_be_focused()
    page.keyboard.press("Control+z")
    expect(card(page, "A green square").locator(".open")).to_be_focused()
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    library.delete(f"/api/jobs/{job['job_id']}")


def test_a_clip_is_deleted_some_seconds_later_unless_that_is_undone(
    page: Page, library: httpx.Client
) -> None:
    kept, deleted = made(library, "A kept square"), made(library, "A deleted square")
    page.clock.install()
    page.reload()
    opened(page, "A kept square").get_by_role("button", name="Delete").click()
    expect(card(page, "A kept square")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "A kept square")).to_have_count(1)
    opened(page, "A deleted square").get_by_role("button", name="Delete").click()
    page.clock.run_for(1000)
    assert is_there(library, deleted)
    undo = page.get_by_role("button", name="Undo")
    undo.hover()  # while somebody points at it, the time stands still
    page.clock.run_for(2 * UNDO_MS)
    assert is_there(library, deleted)
    page.locator("#library-title").hover()
    with page.expect_response("**/studio/library/delete"):
        page.clock.run_for(UNDO_MS)
    expect(undo).to_have_count(0)
    assert not is_there(library, deleted)
    assert is_there(library, kept)
    library.delete(f"/api/jobs/{kept['job_id']}")


def test_a_clip_stays_if_one_leaves_the_page_before_it_is_deleted(
    page: Page, library: httpx.Client
) -> None:
    card(page, PROMPTS[0]).locator(".open").focus()
    page.keyboard.press("Delete")
    expect(page.locator("#messages")).to_contain_text("nothing is deleted")
    expect(cards(page)).to_have_count(2)
    page.reload()
    expect(cards(page)).to_have_count(3)


def test_many_clips_are_selected_and_deleted_at_once(page: Page, library: httpx.Client) -> None:
    jobs = [made(library, f"Square number {n}") for n in range(4)]
    page.clock.install()
    page.reload()
    boxes = [card(page, f"number {n}").locator("label.pick") for n in range(4)]
    boxes[3].click()
    boxes[1].click(modifiers=["Shift"])
    bar = page.locator("#selection")
    expect(bar).to_contain_text("3 selected")
    bar.get_by_role("button", name="Select all shown").click()
    expect(bar).to_contain_text("7 selected")
    page.keyboard.press("Escape")
    expect(bar).not_to_be_visible()
    boxes[0].click()
    boxes[3].click()
    # One of them is deleted elsewhere in the meantime.
    library.delete(f"/api/jobs/{jobs[3]['job_id']}")
    bar.get_by_role("button", name="Delete").click()
    expect(page.locator("#messages")).to_contain_text("Deleted 2 clips.")
    with page.expect_response("**/studio/library/delete"):
        page.clock.run_for(UNDO_MS)
    expect(page.locator("#clips .clip")).to_have_count(5)
    assert [is_there(library, job) for job in jobs] == [False, True, True, False]
    for job in jobs[1:3]:
        library.delete(f"/api/jobs/{job['job_id']}")


def test_what_cannot_be_deleted_comes_back_with_the_reason(page: Page, watch: Watch) -> None:
    watch.allowed.append("library/delete")
    page.clock.install()
    page.reload()
    page.route("**/studio/library/delete", lambda route: route.abort())
    card(page, PROMPTS[0]).locator(".open").focus()
    page.keyboard.press("Delete")
    expect(cards(page)).to_have_count(2)
    page.clock.run_for(UNDO_MS)
    expect(page.locator("#messages")).to_contain_text("nothing was deleted")
    expect(cards(page)).to_have_count(3)


def test_clips_are_found_by_text_and_state(page: Page, library: httpx.Client) -> None:
    search = page.get_by_role("searchbox", name="Search prompts")
    search.fill("WAVES ocean")
    expect(cards(page)).to_have_count(1)
    expect(card(page, PROMPTS[1])).to_be_visible()
    search.fill("50% off")
    expect(page.locator("#clips")).to_contain_text("Nothing found")
    search.fill("")
    expect(cards(page)).to_have_count(3)
    canceled = submit(library, prompt="A canceled triangle", num_inference_steps=100)
    library.post(f"/api/jobs/{canceled['job_id']}/cancel")
    state = page.get_by_label("State")
    state.select_option("Canceled")
    expect(cards(page)).to_have_count(1)
    expect(cards(page).first).to_contain_text("Canceled")
    player = opened(page, "A canceled triangle")
    expect(player.get_by_role("link", name="Download")).to_have_count(0)
    page.keyboard.press("Escape")
    state.select_option("All states")
    expect(cards(page)).to_have_count(4)
    library.delete(f"/api/jobs/{canceled['job_id']}")


def test_the_same_clip_is_made_again_with_a_new_seed(page: Page, library: httpx.Client) -> None:
    opened(page, PROMPTS[0]).get_by_role("button", name="new seed").click()
    expect(page.locator("#messages")).to_contain_text("Queued again")
    newest = finish(library, library.get("/api/jobs?limit=1").json()["jobs"][0])
    old = library.get("/api/jobs", params={"search": PROMPTS[0]}).json()["jobs"][-1]
    assert newest["params"].pop("seed") != old["params"].pop("seed")
    assert newest["params"] == old["params"]
    expect(card(page, PROMPTS[0])).to_have_count(2)  # without a reload
    library.delete(f"/api/jobs/{newest['job_id']}")


def test_a_clip_that_finished_while_the_stream_was_cut_appears_with_the_next_one(
    library: httpx.Client, open_page: OpenPage, watch: Watch
) -> None:
    watch.allowed.append("ERR_FAILED .*/studio/events")
    page = open_page("/static/studio/icon.svg")
    page.route("**/studio/events", lambda route: route.abort())
    page.goto(watch.origin)
    job = made(library, "A circle meanwhile")
    expect(card(page, "A circle meanwhile")).to_have_count(0)
    page.unroute("**/studio/events")
    expect(card(page, "A circle meanwhile")).to_be_visible()
    library.delete(f"/api/jobs/{job['job_id']}")


def test_the_settings_of_a_clip_are_put_into_the_form(page: Page) -> None:
    page.locator("#prompt").fill("Something else")
    opened(page, PROMPTS[1]).get_by_role("button", name="Use these settings").click()
    expect(page.locator("#prompt")).to_have_value(PROMPTS[1])
    expect(page.locator("#prompt")).to_be_focused()
    form = page.locator("#compose-form").evaluate("form => Object.fromEntries(new FormData(form))")
    wanted = {name: str(value) for name, value in CLIP.items()}
    assert (wanted | {"seed": "7"}).items() <= form.items()


def run(program: str, language: str, folder: Path, **environment: str) -> None:
    commands = {
        "curl": ["sh", "-euc", program],
        "Python": [sys.executable, "-c", program],
        "JavaScript": ["node", "--input-type=module", "-e", program],
    }
    for tool, package in {"curl": "curl", "jq": "jq", "node": "nodejs"}.items():
        find_program(tool, package)
    folder.mkdir()
    subprocess.run(commands[language], cwd=folder, check=True, env=os.environ | environment)


def test_a_program_that_is_copied_makes_the_same_clip(
    library: httpx.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    player = opened(page, PROMPTS[0])
    player.get_by_text("Copy as code").click()
    for number, language in enumerate(("curl", "Python", "JavaScript")):
        player.get_by_role("button", name=f"Copy {language}").click()
        expect(player.get_by_role("button", name=f"Copied {language}")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == player.locator("pre").nth(number).text_content()
        if language == "curl":
            run(copied, language, tmp_path / language)
    again, first = library.get("/api/jobs", params={"search": PROMPTS[0]}).json()["jobs"]
    assert (tmp_path / "curl" / "clip.mp4").read_bytes() == library.get(first["video_url"]).content
    library.delete(f"/api/jobs/{again['job_id']}")


def test_a_prompt_full_of_html_is_text(page: Page, library: httpx.Client) -> None:
    job = made(library, HOSTILE)
    page.reload()
    title = page.title()
    expect(card(page, HOSTILE)).to_be_visible()
    player = opened(page, HOSTILE)
    expect(player.locator(".prompt")).to_have_text(HOSTILE)
    player.get_by_text("Copy as code").click()
    expect(player.locator("pre").first).to_contain_text("<script>alert(1)</script>")
    player.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#prompt")).to_have_value(HOSTILE)
    assert page.title() == title
    library.delete(f"/api/jobs/{job['job_id']}")


# Files


def dropped(page: Page, content: bytes, name: str = "clip.mp4") -> JSHandle:
    """What the browser gives to a page on which a file is dropped."""
    return page.evaluate_handle(
        """([content, name]) => {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name, { type: "video/mp4" }));
            return transfer;
        }""",
        [base64.b64encode(content).decode(), name],
    )


def drop(page: Page, content: bytes, name: str = "clip.mp4") -> None:
    transfer = dropped(page, content, name)
    page.dispatch_event("#queue", "dragover", {"dataTransfer": transfer})
    expect(page.locator("#drop")).to_be_visible()
    page.dispatch_event("#queue", "drop", {"dataTransfer": transfer})
    expect(page.locator("#drop")).not_to_be_visible()


def test_a_clip_that_is_dropped_on_the_page_shows_its_settings(
    page: Page, library: httpx.Client
) -> None:
    job = library.get("/api/jobs", params={"search": "ocean"}).json()["jobs"][0]
    sent: list[int] = []
    page.on("request", lambda request: sent.append(len(request.post_data_buffer or b"")))
    drop(page, library.get(job["video_url"]).content)
    player = page.get_by_role("dialog")
    expect(player).to_contain_text("Settings in this file")
    expect(player.locator(".prompt")).to_have_text(PROMPTS[1])
    expect(player.locator("dd").first).to_have_text("7")
    player.get_by_role("button", name="Use these settings").click()
    expect(page.locator("#prompt")).to_have_value(PROMPTS[1])
    assert max(sent) < 10_000  # the manifest, not the film


def test_of_a_file_of_gigabytes_only_the_settings_are_read(
    page: Page, library: httpx.Client, tmp_path: Path
) -> None:
    job = library.get("/api/jobs", params={"search": "ocean"}).json()["jobs"][0]
    content = library.get(job["video_url"]).content
    start = content.index(b"mdat") - 4
    size = int.from_bytes(content[start : start + 4], "big") + 8 + 3 * 10**9
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(content[:start] + b"\0\0\0\1mdat" + size.to_bytes(8, "big"))
    os.truncate(huge, start + size)  # a hole, which takes no room on the disk
    page.locator("#file").set_input_files(huge)
    expect(page.get_by_role("dialog").locator(".prompt")).to_have_text(PROMPTS[1])


def with_manifest(folder: Path, manifest: str) -> bytes:
    frames = np.zeros((1, 16, 16, 3), np.uint8)
    return publish(frames, 24, {"manifest": manifest}, folder).video.read_bytes()


def test_files_that_hold_no_settings_are_refused_in_words(
    page: Page, library: httpx.Client, watch: Watch, tmp_path: Path
) -> None:
    watch.allowed.append("422")
    said = page.locator("#messages .error")
    job = library.get("/api/jobs?limit=1").json()["jobs"][0]
    clip = library.get(job["video_url"]).content
    manifest = library.get(f"/api/jobs/{job['job_id']}/manifest").text
    newer = manifest.replace('"fps"', '"sound":"loud","fps"')
    bombs = "[" * 20_000
    for content, problem in {
        b"<html>": "not an MP4",
        clip[:500]: "damaged or incomplete",
        clip.replace(b"mdtamanifest", b"mdtasomething"[:12]): "made by another program",
        with_manifest(tmp_path, "no JSON"): "cannot be used here",
        with_manifest(tmp_path, bombs): "cannot be used here",
        with_manifest(tmp_path, manifest.replace('"seed":7', '"seed":-5')): "seed must be",
        with_manifest(tmp_path, newer): "sound is not a known field",
        with_manifest(tmp_path, manifest.replace('"manifest":1', '"manifest":2')): "manifest must",
    }.items():
        drop(page, content, f"{HOSTILE[:20]}.mp4")
        expect(said.last).to_contain_text(problem)
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_settings_full_of_html_are_text(page: Page, library: httpx.Client, tmp_path: Path) -> None:
    job = library.get("/api/jobs?limit=1").json()["jobs"][0]
    manifest = library.get(f"/api/jobs/{job['job_id']}/manifest").json()
    manifest["params"] |= {"prompt": HOSTILE, "negative_prompt": HOSTILE, "true_cfg_scale": 3}
    manifest |= {"cpu": HOSTILE, "precision": HOSTILE, "versions": {HOSTILE: HOSTILE}}
    title = page.title()
    drop(page, with_manifest(tmp_path, json.dumps(manifest)))
    player = page.get_by_role("dialog")
    expect(player.locator(".prompt").first).to_have_text(HOSTILE)
    expect(player.locator("dd", has_text="<script>").first).to_have_text(HOSTILE)
    assert page.title() == title


def test_a_file_of_a_model_that_is_not_here_says_so(
    page: Page, library: httpx.Client, tmp_path: Path
) -> None:
    job = library.get("/api/jobs?limit=1").json()["jobs"][0]
    manifest = library.get(f"/api/jobs/{job['job_id']}/manifest").text
    drop(page, with_manifest(tmp_path, manifest.replace('"demo"', '"hunyuanvideo"')))
    expect(page.get_by_role("dialog")).to_contain_text("hunyuanvideo is not installed")


# Many clips


def multiply(service: Service, job: dict[str, Any], count: int) -> None:
    """Put `count` copies of a job into the database, and its thumbnail into the storage."""
    folder = service.data_dir / "objects" / "jobs"
    with closing(sqlite3.connect(service.data_dir / "jobs.sqlite")) as database, database:
        found = database.execute("SELECT * FROM hunyuan_jobs WHERE id = ?", [job["job_id"]])
        names = [column[0] for column in found.description]
        row = dict(zip(names, found.fetchone(), strict=True))
        for n in range(count):
            copy = f"{n:016x}{'0' * 12}"  # older than all others
            marks = ", ".join("?" * len(row))
            database.execute(
                f"INSERT INTO hunyuan_jobs ({', '.join(names)}) VALUES ({marks})",
                [*(row | {"id": copy}).values()],
            )
            (folder / copy).mkdir()
            os.link(folder / job["job_id"] / "thumbnail.jpg", folder / copy / "thumbnail.jpg")


def remove_copies(service: Service) -> None:
    with closing(sqlite3.connect(service.data_dir / "jobs.sqlite")) as database, database:
        database.execute("DELETE FROM hunyuan_jobs WHERE id LIKE '00000%'")
    for folder in (service.data_dir / "objects" / "jobs").glob("00000*"):
        shutil.rmtree(folder)


def test_a_thousand_clips_scroll_without_drawing_all_of_them(
    library: httpx.Client, studio: Service, open_page: OpenPage
) -> None:
    multiply(studio, library.get("/api/jobs?limit=1").json()["jobs"][0], 1000)
    page = open_page()
    # Count the cards that the browser draws at the same time.
    page.evaluate(
        """() => {
            window.drawn = new Set();
            window.most = 0;
            document.addEventListener("contentvisibilityautostatechange", (event) => {
                if (event.skipped) drawn.delete(event.target);
                else drawn.add(event.target);
                most = Math.max(most, drawn.size);
            }, true);
        }"""
    )
    page.evaluate(
        """async () => {
            const content = document.querySelector("#library .content");
            while (content.querySelector(".more")) {
                content.scrollTop = content.scrollHeight;
                await new Promise(requestAnimationFrame);
            }
        }"""
    )
    ids = page.locator("#clips .clip").evaluate_all("cards => cards.map((card) => card.dataset.id)")
    assert len(ids) == 1003
    assert ids == sorted(ids, reverse=True)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def metrics() -> dict[str, float]:
        found = session.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in found}

    page.locator("#library .content").hover()
    before, steps = metrics(), 40
    for _ in range(steps):
        page.mouse.wheel(0, -2000)
        page.evaluate("() => new Promise(requestAnimationFrame)")
    after = metrics()
    assert page.evaluate("most") < 150
    # Cards that come into sight are laid out, and nothing else is.
    assert after["Nodes"] - before["Nodes"] < 500
    assert after["LayoutCount"] - before["LayoutCount"] < 10 * steps
    page.close()
    remove_copies(studio)


def test_the_next_cards_come_also_after_the_last_card_is_deleted(
    library: httpx.Client, studio: Service, page: Page, watch: Watch
) -> None:
    watch.allowed.append("/thumbnail")  # of the deleted job
    multiply(studio, library.get("/api/jobs?limit=1").json()["jobs"][0], 40)
    page.reload()
    expect(cards(page)).to_have_count(24)
    last = cards(page).last.get_attribute("data-id")
    assert library.delete(f"/api/jobs/{last}").is_success
    page.locator("#clips .more").scroll_into_view_if_needed()
    expect(cards(page)).to_have_count(43)
    page.close()
    remove_copies(studio)


# Users


@pytest.fixture(scope="module")
def guarded(start_service: StartService) -> Service:
    """A service that wants keys."""
    return with_worker(start_service(HUNYUAN_API_KEYS=API_KEYS))


def sign_in(page: Page, key: str) -> Page:
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    expect(page.locator("#library-title")).to_be_visible()
    page.wait_for_load_state()
    return page


def test_two_keys_see_their_own_clips_and_an_admin_sees_whose_they_are(
    open_page: OpenPage, watch: Watch, guarded: Service
) -> None:
    watch.origin = guarded.url
    with client_of(guarded, "ana") as ana, client_of(guarded, "bo") as bo:
        job = made(ana, "The clip of ana")
        made(bo, "The clip of bo")
        pages = {name: sign_in(open_page(), KEYS[name]) for name in KEYS}
        shown = {
            name: cards(page).locator(".caption").all_inner_texts() for name, page in pages.items()
        }
        assert shown == {
            "ana": ["The clip of ana"],
            "bo": ["The clip of bo"],
            "root": ["The clip of bo", "The clip of ana"],
        }
        assert cards(pages["root"]).locator(".owner").all_inner_texts() == ["bo", "ana"]
        request = pages["bo"].context.request
        assert request.get(f"{guarded.url}/studio/library/{job['job_id']}").status == 404
        answer = request.post(
            f"{guarded.url}/studio/library/delete",
            form={"ids": job["job_id"]},
            headers={"Origin": guarded.url},
        )
        assert (answer.status, answer.json()) == (200, {"kept": {}})
        assert is_there(ana, job)
        clear(ana)
        clear(bo)


def test_the_programs_of_a_service_with_keys_take_the_key_from_the_environment(
    open_page: OpenPage, watch: Watch, guarded: Service, tmp_path: Path
) -> None:
    watch.origin = guarded.url
    prompt = 'It\'s a "red" $HOME `circle` \\ 赤い'
    with client_of(guarded, "ana") as ana:
        job = made(ana, f"{prompt}\non a table")
        page = sign_in(open_page(), KEYS["ana"])
        player = opened(page, prompt)
        expect(player.locator("video")).not_to_have_js_property("currentTime", 0)
        player.get_by_text("Copy as code").click()
        assert KEYS["ana"] not in page.content()
        for language, program in zip(
            ("curl", "Python", "JavaScript"), player.locator("pre").all_inner_texts(), strict=True
        ):
            run(program, language, tmp_path / language, HUNYUAN_API_KEY=KEYS["ana"])
            made_again = (tmp_path / language / "clip.mp4").read_bytes()
            assert made_again == ana.get(job["video_url"]).content
        clear(ana)


def test_the_programs_of_a_service_with_the_key_of_an_admin_alone_take_it_too(
    start_service: StartService,
) -> None:
    key = "k" * 40
    service = start_service(HUNYUAN_ADMIN_KEY=key, HUNYUAN_LOCAL_RUNNER="false")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30) as admin:
        job = submit(admin)
        assert "HUNYUAN_API_KEY" in admin.get(f"/studio/library/{job['job_id']}").text


def test_a_page_of_another_site_cannot_delete_clips(library: httpx.Client) -> None:
    job = library.get("/api/jobs?limit=1").json()["jobs"][0]
    answer = library.post(
        "/studio/library/delete",
        data={"ids": job["job_id"]},
        headers={"Origin": "https://elsewhere.example"},
    )
    assert answer.status_code == 403
    assert is_there(library, job)


def test_too_many_clips_at_once_are_refused(library: httpx.Client) -> None:
    answer = library.post("/studio/library/delete", data={"ids": "a " * 101})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "ids")


# Looks


def test_the_library_fits_a_phone(library: httpx.Client, open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    overflow = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(overflow)
    page.locator("#library").evaluate("panel => panel.scrollIntoView()")
    screenshot(page, "library-phone")
    card(page, PROMPTS[0]).locator(".open").tap()
    player = page.get_by_role("dialog")
    expect(player).to_be_visible()
    expect(page.locator("#player video")).not_to_have_js_property("currentTime", 0)
    screenshot(page, "player-phone")
    player.get_by_text("Copy as code").tap()
    assert not player.evaluate("dialog => dialog.scrollWidth > dialog.clientWidth")
    player.get_by_role("button", name="Close").tap()
    expect(player).not_to_be_visible()
    cards(page).first.locator(".pick").tap()
    expect(page.locator("#selection")).to_contain_text("1 selected")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_library_is_accessible(library: httpx.Client, open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    cards(page).first.locator(".pick").click()
    expect(page.locator("#selection")).to_be_visible()
    screenshot(page, f"library-{scheme}")
    assert serious_faults(page) == []
    player = opened(page, PROMPTS[1])
    screenshot(page, f"player-{scheme}")
    for part in ("Weights and versions", "Copy as code"):
        player.get_by_text(part).click()
    assert serious_faults(page) == []
