"""The routes of the compose panel without a browser: forms that no page of ours would send."""

from __future__ import annotations

import html
import json
import re
from typing import Any

import httpx
import pytest

FIELDS = (
    "prompt",
    "negative_prompt",
    "model",
    "preset",
    "width",
    "num_frames",
    "fps",
    "seed",
    "guidance_scale",
    "step_cache",
    "decoder",
    "draft_steps",
    "priority",
    "deadline_seconds",
    "variations",
    "webhook_url",
    "metadata",
    "no_such_field",
)
VALUES = {
    "blank": " ",
    "markup": '"><script>alert(1)</script>',
    "template": "{{ 7 * 7 }}{% include 'page.html' %}",
    "path": "../../etc/passwd",
    "negative": "-1",
    "huge": "9" * 400,
    "infinite": "Infinity",
    "no number": "NaN",
    "NUL": "\0",
    "unicode": "\u202e\ud7ff①𝟗",
    "JSON": '{"a": [1]}',
}


def facts(answer: httpx.Response) -> dict[str, Any]:
    """What the script of the page reads in a quote."""
    match = re.search(r'data-facts="([^"]*)"', answer.text)
    assert match is not None
    found: dict[str, Any] = json.loads(html.unescape(match[1]))
    return found


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_no_value_of_a_field_breaks_the_quote(client: httpx.Client, value: str) -> None:
    for name in FIELDS:
        answer = client.post("/studio/quote", data={"prompt": "A cat", name: value})
        assert answer.status_code == 200, name
        assert "<script" not in answer.text
        found = facts(answer)
        assert found["params"] or found["problems"] or "notice bad" in answer.text, name


def test_a_refused_clip_says_why_in_the_words_of_the_form(client: httpx.Client) -> None:
    answer = client.post("/studio/generate", data={"prompt": "A cat", "true_cfg_scale": "2"})
    assert "“Weight against it” above 1 needs a “What it should not show”" in answer.text
    assert "jobs-changed" not in answer.headers.get("HX-Trigger", "")


def test_a_model_that_is_not_installed_comes_with_its_command(client: httpx.Client) -> None:
    answer = client.post("/studio/quote", data={"prompt": "A cat", "model": "fasthunyuan"})
    assert "hunyuan models download fasthunyuan" in facts(answer)["problems"]["model"]


def test_too_large_a_form_is_refused(client: httpx.Client) -> None:
    answer = client.post("/studio/quote", data={"prompt": "x" * 300_000})
    assert answer.status_code == 413
    many = "&".join(f"a{number}=1" for number in range(1000))
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert client.post("/studio/quote", content=many, headers=form).status_code == 422
