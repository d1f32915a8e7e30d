"""docs/api.md says what is: its examples run as they stand, its tables are those of the code."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from docs.tables import API, PAGES, TABLES, openapi, with_tables
from hunyuan_runner.api.errors import CODES
from hunyuan_runner.wire import JobState
from tests.conftest import ROOT, Service, StartService, find_program, free_port, submit

TEXT = API.read_text()
LOCAL = "http://127.0.0.1:3000"
EVENT_SOURCE = "--experimental-eventsource"  # of Node, which has none without it
IN_PYTHON_ALONE = {"BentoML's client"}
HOOK, HOOK_PORT = "https://example.com/hook", "8000"
ENVIRONMENT = os.environ | {"HUNYUAN_API_KEY": "hy_of-no-one", "PYTHONPATH": str(ROOT)}


@dataclass(frozen=True)
class Example:
    section: str
    language: str
    code: str

    @property
    def tools(self) -> list[str]:
        return {"sh": ["curl", "jq"], "js": ["node"]}.get(self.language, [])

    def command(self, folder: Path, replaced: Mapping[str, str]) -> list[str]:
        """What runs it, from a file in this folder, with some of its words replaced."""
        words = "|".join(map(re.escape, replaced))
        code = re.sub(words, lambda word: replaced[word[0]], self.code)
        suffix = {"sh": ".sh", "js": ".mjs", "python": ".py"}[self.language]
        file = folder / f"example{suffix}"
        file.write_text(code)
        return [*self._interpreter(), str(file)]

    def _interpreter(self) -> list[str]:
        if self.language == "js":
            return ["node", *([EVENT_SOURCE] if "EventSource(" in self.code else [])]
        return {"sh": ["sh", "-eu"], "python": [sys.executable]}[self.language]


def sections() -> Iterator[tuple[str, str]]:
    """By heading, the text below it."""
    _, *parts = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    yield from zip(parts[::2], parts[1::2], strict=True)


EXAMPLES = [
    Example(section, language, code)
    for section, text in sections()
    for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if language != "json"
]
# What an example of a section leaves, and what it prints.
FILES = {
    "Submit and poll": ["cat.mp4"],
    "Drafts": ["draft.mp4", "clip.mp4"],
    "Download": ["clip.mp4"],
    "OpenAI's SDK": ["night.mp4"],
    "BentoML's client": ["night.mp4"],
}
PRINTED = {
    "Keys": r"[Tt]rue|[Ff]alse",
    "Estimate": r"in.time.*[Tt]rue|in.time.*[Ff]alse",
    "Warnings": r"unknown_words: .*dog",
    "Events": r"it is completed|event: final",
    "List": r"{job_id}",
}


def examples(*sections: str) -> list[Example]:
    return [example for example in EXAMPLES if example.section in sections]


def skip_without_tools(example: Example) -> None:
    for tool in example.tools:
        find_program(tool, "nodejs" if tool == "node" else None)
    if "EventSource(" in example.code and not knows_event_source():
        pytest.skip("this node knows no EventSource")


def knows_event_source() -> bool:
    return subprocess.run(["node", EVENT_SOURCE, "-e", "EventSource"]).returncode == 0


def shown(example: Example) -> str:
    return f"{example.section}-{example.language}"


@pytest.mark.parametrize("example", examples(*FILES, *PRINTED), ids=shown)
def test_the_example_runs(
    example: Example,
    service: Service,
    client: httpx.Client,
    clip: dict[str, Any],
    tmp_path: Path,
) -> None:
    skip_without_tools(example)
    job = submit(client) if example.section == "Events" else clip  # one with events to come
    command = example.command(tmp_path, {LOCAL: service.url, "JOB_ID": job["job_id"]})
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for file in FILES.get(example.section, []):
        assert (tmp_path / file).read_bytes()[4:8] == b"ftyp"
    assert re.search(PRINTED.get(example.section, "").format(job_id=job["job_id"]), done.stdout)
    if example.section == "Download" and example.language != "js":
        assert (tmp_path / "clip.mp4").read_bytes() == client.get(clip["video_url"]).content


@pytest.fixture(scope="module")
def notifying(start_service: StartService) -> Service:
    """A service that may send webhooks to loopback."""
    return start_service(HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true")


@pytest.mark.parametrize("receiver", examples("Webhooks")[1:], ids=shown)
def test_the_receivers_of_webhooks_take_what_is_signed_and_nothing_else(
    notifying: Service, tmp_path: Path, receiver: Example
) -> None:
    sender = examples("Webhooks")[0]
    skip_without_tools(receiver)
    skip_without_tools(sender)
    port = str(free_port())
    hook = f"http://127.0.0.1:{port}/hook"
    replaced = {LOCAL: notifying.url, HOOK: hook, HOOK_PORT: port}
    with subprocess.Popen(
        receiver.command(tmp_path, replaced), env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            answer = forged(hook)
            command = sender.command(tmp_path, replaced)
            sent = subprocess.run(
                command, env=ENVIRONMENT, capture_output=True, text=True, check=True
            )
            assert process.stdout
            received = process.stdout.readline().split()
        finally:
            process.kill()
    job_id = sent.stdout.strip()
    assert received == ["job.completed", job_id, f"{notifying.url}/api/videos/{job_id}.mp4"]
    assert answer.status_code == 401


def forged(hook: str) -> httpx.Response:
    """What a receiver answers to a message that is not signed as it should be, once it is up."""
    now = str(int(time.time()))
    headers = {"webhook-id": "x", "webhook-timestamp": now, "webhook-signature": "v1,AAAA"}
    while True:
        with contextlib.suppress(httpx.ConnectError):
            return httpx.post(hook, json={"type": "job.completed"}, headers=headers, timeout=30)
        time.sleep(0.1)


def test_what_is_shown_is_shown_in_every_language() -> None:
    languages: dict[str, set[str]] = {}
    for example in EXAMPLES:
        languages.setdefault(example.section, set()).add(example.language)
    assert set(languages) == {*FILES, *PRINTED, "Webhooks"}
    for section, used in languages.items():
        assert used == ({"python"} if section in IN_PYTHON_ALONE else {"sh", "python", "js"})


def test_the_tables_are_those_of_the_running_service(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for page in PAGES:
        assert with_tables(page.read_text(), document) == page.read_text(), "run make docs"
    text = "".join(page.read_text() for page in PAGES)
    assert sorted(re.findall("<!-- begin (.+) -->", text)) == sorted(TABLES)
    assert json.loads(json.dumps(openapi())) == document  # which make docs goes by


def test_a_stale_table_is_written_anew() -> None:
    stale = TEXT.replace("| `seed` |", "| `sead` |")
    assert stale != TEXT
    assert with_tables(stale, openapi()) == TEXT


def test_every_code_that_is_answered_is_listed_with_its_status() -> None:
    found = [*literals("ApiError"), *([429, *given] for given in literals("too_many"))]
    answered = set()
    for given in found:
        match given:
            case [int(status), str(code), *_]:
                assert status in CODES[code][0], code
                answered.add(code)
            case [str(code), *_]:  # with the status of what it stands for
                answered.add(code)
    assert set(CODES) == answered | {"missing", "unknown_field"}  # which pydantic finds


def test_every_reason_why_a_job_fails_is_listed() -> None:
    makers = ("GenerationFailed", "Failed", "JobError", "_Trouble")
    codes = {given[0] for maker in makers for given in literals(maker)} | {*codes_of_errors()}
    codes.remove("canceled")  # a canceled job has no error, except as OpenAI's video
    assert len(codes) > 4
    (listed,) = [text for section, text in sections() if section == "Jobs"]
    assert codes == set(
        re.findall(r"^\| `(\w+)` \|", listed.rpartition("| code |")[2], re.MULTILINE)
    )


def literals(function: str) -> Iterator[Sequence[object]]:
    """The literal arguments of each call of it by the service."""
    for file in (ROOT / "hunyuan_runner").rglob("*.py"):
        if {"cli", "client"} & {*file.relative_to(ROOT).parts}:
            continue
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and getattr(call.func, "id", None) == function:
                values = (*call.args, *(keyword.value for keyword in call.keywords))
                given = [value.value for value in values if isinstance(value, ast.Constant)]
                if given:
                    yield given


def codes_of_errors() -> Iterator[str]:
    """What an error of the engine has as its `code`, as a class or once it is made."""
    for file in (ROOT / "hunyuan_runner" / "engine").rglob("*.py"):
        for assigned in ast.walk(ast.parse(file.read_text())):
            match assigned:
                case ast.Assign(
                    targets=[ast.Name(id="code") | ast.Attribute(attr="code")],
                    value=ast.Constant(value=str(code)),
                ):
                    yield code


def test_every_state_is_explained() -> None:
    (listed,) = [text for section, text in sections() if section == "Jobs"]
    states, _ = listed.split("<!-- begin job -->")
    assert re.findall(r"^\| `(\w+)` \|", states, re.MULTILINE) == list(JobState)


def test_the_refusal_is_as_printed(client: httpx.Client) -> None:
    (printed,) = re.findall(r"^```json\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    answer = client.post("/api/generate", json={"prompt": "a cat", "num_frames": 50})
    assert answer.json() == json.loads(printed)


def test_the_contents_lead_to_every_section() -> None:
    slugs = [re.sub(r"[^\w -]", "", section.lower()).replace(" ", "-") for section, _ in sections()]
    assert re.findall(r"^- \[.+\]\(#(.+)\)$", TEXT, re.MULTILINE) == slugs
