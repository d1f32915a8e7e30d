"""The compose panel in a browser: what it says before a clip is queued, and what it queues."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.prompts.words import KnownWords
from hunyuan_runner.studio.routes.compose import DEADLINES, LABELS, SIMPLE_EXAMPLES, VARIATIONS
from hunyuan_runner.studio.variations import MAX_VARIATIONS
from tests.conftest import ROOT, Service, StartService
from tests.studio.conftest import PHONE, OpenPage, Watch, screenshot, serious_faults
from tests.test_auth import API_KEYS, KEYS

DEMO = ROOT / "hunyuan_runner" / "bundled" / "demo"
HOSTILE = '"><img src=x onerror="document.title=1"> {{ 7 * 7 }} <script>document.title=2</script>'


def field(page: Page, name: str) -> Locator:
    return page.locator(f"[name={name}]")


def quote(page: Page) -> Locator:
    return page.locator("#quote")


def open_advanced(page: Page) -> None:
    page.get_by_text("Advanced settings").click()


def newest(api: httpx.Client) -> dict[str, Any]:
    job: dict[str, Any] = api.get("/api/jobs").json()["jobs"][0]
    return job


def test_a_clip_is_composed_quoted_and_queued(page: Page, api: httpx.Client) -> None:
    expect(quote(page)).to_contain_text("to make")
    page.get_by_role("button", name="A cat walks on grass").click()
    expect(page.get_by_label("What should it show?")).to_have_value("A cat walks on grass")
    page.locator(".preset", has_text="Fast").click()
    expect(field(page, "width")).to_have_attribute("placeholder", "128")
    open_advanced(page)
    field(page, "num_frames").fill("5")
    expect(page.locator("#length")).to_have_text("0.3 s long")
    page.get_by_role("button", name="Draw a seed").click()
    seed = int(field(page, "seed").input_value())
    expect(quote(page)).to_contain_text("Starts at once")
    expect(quote(page)).to_contain_text("of memory, fits")
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#messages")).to_contain_text("in the queue")
    clip = newest(api)["params"]
    assert (clip["prompt"], clip["width"], clip["num_frames"]) == ("A cat walks on grass", 128, 5)
    assert clip["seed"] == seed


def test_the_quote_follows_what_one_types(page: Page, api: httpx.Client) -> None:
    open_advanced(page)
    expect(field(page, "width")).to_have_attribute("placeholder", "192")
    small = quote(page).locator(".time").inner_text()
    field(page, "width").fill("640")
    field(page, "height").fill("480")
    expect(quote(page).locator(".time")).not_to_have_text(small)
    expect(page.locator("#quote-said")).to_contain_text(quote(page).locator(".time").inner_text())
    assert api.get("/api/jobs").json()["jobs"] == []


def test_a_wrong_value_is_explained_beside_its_field(page: Page, api: httpx.Client) -> None:
    open_advanced(page)
    field(page, "num_frames").fill("500")
    field(page, "width").fill("9")
    wrong = page.get_by_label("Frames", exact=True)
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#problem-width")).to_contain_text("Must be greater than or equal to 64")
    field(page, "width").fill("")
    field(page, "num_frames").fill("50")
    expect(page.locator("#problem-num_frames")).to_have_text("Must be 4k+1, such as 49 or 53")
    expect(quote(page)).to_contain_text("Frames must be 4k+1, such as 49 or 53.")
    quote(page).get_by_role("link", name="Frames").click()
    expect(wrong).to_be_focused()
    field(page, "num_frames").fill("49")
    expect(wrong).not_to_have_attribute("aria-invalid", "true")
    field(page, "draft_steps").fill("12")
    expect(page.locator("#problem-draft_steps")).to_have_text("Must be below “Steps”, here 12")
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#problem-prompt")).to_have_text("Write what the clip should show")
    expect(page.get_by_label("What should it show?")).to_be_focused()
    page.keyboard.type("A cat")
    expect(page.locator("#problem-prompt")).to_have_text("")
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#messages .error")).to_contain_text("must be below “Steps”")
    assert api.get("/api/jobs").json()["jobs"] == []


def test_words_that_the_demo_model_does_not_know_are_marked_before_submitting(page: Page) -> None:
    expect(page.get_by_text("The demo model draws only soft cartoons")).to_be_visible()
    prompt = page.get_by_label("What should it show?")
    prompt.fill("A zebra in a red car in the rain")
    marks = page.locator("#prompt-marks mark")
    expect(marks).to_have_text(["zebra", "rain"])
    said = page.locator("#prompt-words")
    expect(said).to_contain_text("does not know “zebra”")
    expect(said).to_contain_text("cannot draw “rain” in a scene of the kind “car”")
    prompt.fill("A blue ")
    page.get_by_role("button", name="triangle", exact=True).click()
    expect(prompt).to_have_value("A blue triangle")
    expect(marks).to_have_count(0)
    expect(said).to_have_text("")


def test_the_marks_lie_on_the_words(page: Page) -> None:
    """The prompt and its marks are two elements: their text must break at the same places."""
    page.get_by_label("What should it show?").fill("An aardvark " * 40)
    expect(page.locator("#prompt-marks mark")).to_have_count(40)
    heights = page.evaluate(
        "['prompt', 'prompt-marks'].map(id => document.getElementById(id).scrollHeight)"
    )
    assert abs(heights[0] - heights[1]) <= 2
    for style in ("font", "padding", "lineHeight", "width", "letterSpacing"):
        one, other = page.evaluate(
            "style => ['prompt', 'prompt-marks']"
            ".map(id => getComputedStyle(document.getElementById(id))[style])",
            style,
        )
        assert one == other, style


def test_the_examples_are_drawn_whole() -> None:
    known = KnownWords.of(DEMO)
    assert known is not None
    for prompt in SIMPLE_EXAMPLES:
        assert known.unknown(prompt) == []
        assert known.out_of_place(prompt)[1] == [], prompt


def test_an_alternative_that_is_ready_in_time_is_one_click_away(page: Page) -> None:
    open_advanced(page)
    for name, value in (("width", "640"), ("height", "480"), ("num_frames", "129")):
        field(page, name).fill(value)
    page.get_by_label("I need it").select_option(str(DEADLINES[0]))
    expect(quote(page)).to_contain_text("It may take longer than 1 min")
    quote(page).locator("[data-changes]").first.click()
    expect(quote(page)).not_to_contain_text("It may take longer")
    assert field(page, "width").input_value() or field(page, "num_frames").input_value() != "129"


def test_the_shape_changes_at_about_the_same_size(page: Page) -> None:
    open_advanced(page)
    expect(field(page, "width")).to_have_attribute("placeholder", "192")
    page.get_by_role("button", name="9:16").click()
    width, height = (int(field(page, side).input_value()) for side in ("width", "height"))
    assert (width, height) == (112, 208)
    expect(quote(page)).to_contain_text("to make")
    expect(page.locator("#chosen")).to_have_text("2 set")
    page.get_by_role("button", name="Back to the preset").click()
    expect(page.locator("#chosen")).to_be_hidden()
    expect(field(page, "width")).to_have_value("")


def test_several_variations_are_queued_as_drafts(page: Page, api: httpx.Client) -> None:
    page.get_by_label("What should it show?").fill("A red square")
    page.locator(".variations label", has_text="2").click()
    page.get_by_role("button", name="Make 2 drafts").click()
    expect(page.locator("#messages")).to_contain_text("in the queue")
    jobs = api.get("/api/jobs").json()["jobs"]
    assert len({job["params"]["seed"] for job in jobs}) == 2
    assert all(job["draft_steps"] for job in jobs)
    assert max(VARIATIONS) <= MAX_VARIATIONS


def test_a_clip_is_made_with_the_keyboard_alone(page: Page, api: httpx.Client) -> None:
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link that skips the header
    expect(page.get_by_label("What should it show?")).to_be_focused()
    page.keyboard.type("A green circle")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "preset":
            break
    page.keyboard.press("ArrowLeft")
    expect(page.locator("[name=preset][value=fast]")).to_be_checked()
    page.get_by_label("What should it show?").focus()
    page.keyboard.press("Control+Enter")
    expect(page.locator("#messages")).to_contain_text("in the queue")
    assert newest(api)["params"]["width"] == 128


def test_a_hostile_prompt_is_text(page: Page, api: httpx.Client) -> None:
    page.get_by_label("What should it show?").fill(HOSTILE)
    expect(page.locator("#prompt-words")).to_contain_text("img")
    expect(page.locator("#compose img")).to_have_count(0)
    page.get_by_role("button", name="Make video").click()
    expect(page.locator("#messages")).to_contain_text("in the queue")
    assert newest(api)["params"]["prompt"] == HOSTILE
    assert page.title() not in ("1", "2")


def test_this_machine_and_its_models_are_described(page: Page) -> None:
    page.get_by_role("button", name="This machine").click()
    machine = page.locator("#machine")
    expect(machine).to_contain_text("1 worker running")
    for fact in ("Processor", "Instructions", "Memory", "Disk", "fp32: the model is small"):
        expect(machine).to_contain_text(fact)
    for model in MODELS.values():
        expect(machine).to_contain_text(model.title)
        expect(machine).to_contain_text(model.licence)
    expect(machine).to_contain_text("hunyuan models download hunyuanvideo")
    page.keyboard.press("Escape")
    expect(machine).to_be_hidden()


@pytest.fixture(scope="module")
def idle(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A service that wants a key, has a large model, a price and no worker."""
    models = tmp_path_factory.mktemp("models")
    (models / "hunyuanvideo").mkdir()
    (models / "hunyuanvideo" / "model_index.json").write_text("{}")  # enough for a quote
    return start_service(
        HUNYUAN_API_KEYS=API_KEYS,
        HUNYUAN_MODELS_DIR=str(models),
        HUNYUAN_COST_PER_HOUR="3.6",
        HUNYUAN_LOCAL_RUNNER="false",
    )


def test_a_key_is_asked_for_once_and_kept_from_scripts(
    open_page: OpenPage, watch: Watch, idle: Service
) -> None:
    watch.origin = idle.url
    page = open_page()
    page.get_by_label("API key").fill("hy_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know this key")
    assert serious_faults(page) == []
    page.get_by_label("API key").fill(KEYS["ana"])
    page.keyboard.press("Enter")
    expect(quote(page)).to_contain_text("Costs")
    assert page.evaluate("document.cookie") == ""
    assert KEYS["ana"] not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    for place in ("#quote", "#preset-note", "#machine-state"):
        expect(page.locator(place)).to_contain_text("No worker")
    expect(quote(page)).to_contain_text("Waits for a worker")
    page.get_by_role("button", name="Sign out ana").click()
    expect(page.get_by_label("API key")).to_be_visible()


def test_another_model_has_its_own_presets_and_limits(
    open_page: OpenPage, watch: Watch, idle: Service
) -> None:
    watch.origin = idle.url
    page = open_page()
    page.get_by_label("API key").fill(KEYS["bo"])
    held: list[Route] = []  # one may choose a model before the page is ready
    page.route(
        "**/htmx.min.js", lambda route: held.append(route)
    )  # one may choose a model before the page is ready
    page.get_by_role("button", name="Sign in").click(no_wait_after=True)
    demo_only = page.get_by_text("draws only soft cartoons")
    expect(demo_only).to_be_visible()
    page.get_by_label("Model").select_option("hunyuanvideo")
    held[0].continue_()
    expect(demo_only).to_be_hidden()
    expect(page.locator(".preset").first).to_contain_text("480×360")
    expect(field(page, "num_frames")).to_have_attribute("placeholder", "61")
    page.get_by_role("button", name="A red fox").click()
    open_advanced(page)
    for name, value in (("width", "1280"), ("height", "720"), ("num_frames", "500")):
        field(page, name).fill(value)
    expect(page.locator("#problem-num_frames")).to_contain_text("Must be")
    expect(page.get_by_role("option", name="FastHunyuan")).to_be_disabled()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(open_page: OpenPage, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    open_advanced(page)
    page.get_by_label("What should it show?").fill("A dog on a red sea")
    field(page, "num_frames").fill("50")
    expect(page.locator("#problem-num_frames")).to_be_visible()
    expect(page.locator("#prompt-words")).to_contain_text("dog")
    assert serious_faults(page) == []
    screenshot(page, f"compose-{scheme}")
    page.get_by_role("button", name="This machine").click()
    expect(page.locator("#machine")).to_contain_text("Processor")
    assert serious_faults(page) == []
    screenshot(page, f"machine-{scheme}")


def test_nothing_is_wider_than_a_phone(open_page: OpenPage) -> None:
    page = open_page(viewport=PHONE, has_touch=True, is_mobile=True)
    open_advanced(page)
    expect(quote(page)).to_contain_text("to make")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert serious_faults(page) == []
    screenshot(page, "compose-phone")


def test_the_theme_can_be_chosen_and_is_kept(open_page: OpenPage) -> None:
    page = open_page(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Switch between light and dark").click()
    assert page.evaluate(ground) != light
    page.reload()
    assert page.evaluate(ground) != light


def test_every_field_has_a_label_for_its_errors(page: Page) -> None:
    without_fast_decoder = LABELS.keys() - {"decoder"}  # the demo model has none
    for name in without_fast_decoder:
        expect(page.locator(f"#problem-{name}")).to_have_count(1)
