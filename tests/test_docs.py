"""The README says what is: its commands run, its tables are complete."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from docs.tables import SETTINGS
from hunyuan_runner.catalogue import MODELS, download_command
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import Settings
from tests.conftest import ROOT, Service, finish

README = (ROOT / "README.md").read_text()
LOCAL = "http://127.0.0.1:3000"


def blocks(language: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def table_rows(first_cell: str) -> dict[str, list[str]]:
    """The rows whose first cell begins so, by that cell."""
    rows = [line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row] for row in rows]
    return {row[0]: row[1:] for row in cells if row[0].startswith(f"`{first_cell}")}


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = SETTINGS.read_text()
    for name, field in Settings.model_fields.items():
        assert field.description
        assert re.search(
            rf"^\| `HUNYUAN_{name.upper()}` \| .*{re.escape(field.description)}",
            listed,
            re.MULTILINE,
        )


def test_every_model_is_listed() -> None:
    assert {row.split("`")[1] for row in table_rows("")} >= set(MODELS)


def test_every_field_of_a_request_is_named() -> None:
    for name in GenerationRequest.model_fields:
        assert f"`{name}`" in README


def test_every_route_it_names_is_there(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    named = set(re.findall(r"(?<=[ `])/(?:api|v1|health|livez|readyz|metrics)[^`? ,]*", README))
    assert len(named) > 10
    assert {path.replace("JOB_ID", "{job_id}") for path in named} <= set(paths)


def test_the_curl_line_queues_a_clip_and_answers_as_printed(
    client: httpx.Client, service: Service
) -> None:
    command = next(block for block in blocks("sh") if block.startswith("curl"))
    printed = next(block for block in blocks("json") if "queue_position" in block)
    done = subprocess.run(
        ["sh", "-c", command.replace(LOCAL, service.url)], capture_output=True, check=True
    )
    job: dict[str, Any] = json.loads(done.stdout)
    assert set(json.loads(printed)) - {"…"} <= set(job)
    assert job["params"]["prompt"] == "A cat walks on grass"
    assert finish(client, job)["status"] == "completed"


def test_the_command_that_fetches_a_model_is_the_one_errors_name(client: httpx.Client) -> None:
    (command,) = [line for block in blocks("sh") for line in block.splitlines() if "--acc" in line]
    command = command.removeprefix(".venv/bin/")
    assert command == download_command("fasthunyuan")
    asked = {"prompt": "a cat", "model": "fasthunyuan"}
    answer = client.post("/api/generate", json=asked)
    assert command in answer.json()["error"]["message"]


@pytest.mark.parametrize("file", ["README.md", "docs/api.md", "hunyuan_runner/studio/index.html"])
def test_no_curl_line_that_is_run_too_early_saves_an_error_as_a_clip(
    service: Service, tmp_path: Path, file: str
) -> None:
    lines = re.findall(
        r"curl [^`\n]*(?:\.mp4|/draft|/content)\b[^`\n<]*", (ROOT / file).read_text()
    )
    assert lines
    for line in lines:
        local = re.sub(r"<[^>]+>", "", line).replace("{{base_url}}", LOCAL)
        early = subprocess.run(
            ["bash", "-c", local.replace(LOCAL, service.url)], cwd=tmp_path, capture_output=True
        )
        assert early.returncode == 22, line
    assert list(tmp_path.iterdir()) == []


def test_the_refusal_is_as_printed(client: httpx.Client) -> None:
    printed = next(block for block in blocks("json") if "error" in block and "num_frames" in block)
    answer = client.post("/api/generate", json={"prompt": "a cat", "num_frames": 50})
    assert answer.json() == json.loads(printed)


@pytest.mark.parametrize(("library", "file"), [("hunyuan", "circle.mp4"), ("openai", "night.mp4")])
def test_the_python_examples_run(service: Service, tmp_path: Path, library: str, file: str) -> None:
    (example,) = [block for block in blocks("python") if f"from {library}" in block]
    subprocess.run(
        [sys.executable, "-c", example.replace(LOCAL, service.url)], cwd=tmp_path, check=True
    )
    assert (tmp_path / file).stat().st_size > 1000


@pytest.mark.parametrize(
    "target",
    ["run", "test", "quick", "coverage", "check", "bench", "docs", "bento", "demo-model", "lock"],
)
def test_make_knows_every_target_it_names(target: str) -> None:
    assert f"make {target}" in README
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(rf"^{target} ", done.stdout, re.MULTILINE)


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_every_file_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


def test_the_file_tree_is_the_one_there_is() -> None:
    (tree,) = [block for block in blocks("") if "service.py " in block]
    named = re.findall(r"^ *((?:[\w./-]+(?:, )?)+)", tree, re.MULTILINE)
    names = [name for line in named for name in line.split(", ")]
    for name in names:
        assert (ROOT / name).exists() or (ROOT / "hunyuan_runner" / name).exists(), name
