"""The README and the docs say what is: their commands run, their tables are complete."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from docs.tables import SETTINGS
from hunyuan_runner import __version__
from hunyuan_runner.catalogue import MODELS, download_command
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import Settings
from tests.conftest import MUST_RUN, ROOT, Service, finish

README = (ROOT / "README.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LOCAL = "http://127.0.0.1:3000"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str, text: str = README) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in fenced if name == language]


def test_every_setting_is_listed_with_its_meaning() -> None:
    listed = SETTINGS.read_text()
    for name, field in Settings.model_fields.items():
        assert field.description
        assert re.search(
            rf"^\| `HUNYUAN_{name.upper()}` \| .*{re.escape(field.description)}",
            listed,
            re.MULTILINE,
        )


def test_every_setting_that_a_page_names_exists() -> None:
    known = {f"HUNYUAN_{name.upper()}" for name in Settings.model_fields}
    known |= {"HUNYUAN_URL", "HUNYUAN_API_KEY", "HUNYUAN_MAX_ATTEMPTS", MUST_RUN}
    for page in PAGES:
        assert set(re.findall(r"\bHUNYUAN_[A-Z_]*[A-Z]\b", page.read_text())) <= known, page


@pytest.mark.parametrize("page", ["README.md", "docs/models.md"])
def test_every_model_is_listed(page: str) -> None:
    listed = re.findall(r"^\| `([\w-]+)`", (ROOT / page).read_text(), re.MULTILINE)
    assert set(listed) == set(MODELS)


def test_every_field_of_a_request_is_in_the_api_page() -> None:
    text = (ROOT / "docs" / "api.md").read_text()
    for name in GenerationRequest.model_fields:
        assert f"| `{name}` |" in text


def test_every_route_that_a_page_names_is_there(client: httpx.Client) -> None:
    paths = {*client.get("/openapi.json").json()["paths"]}
    methods = "(?:(?:GET|POST|PUT|DELETE) )?"
    named = {
        route
        for page in PAGES
        for route in re.findall(rf"`{methods}(/(?:api|v1)/[^`?$ …]+)[`?]", page.read_text())
    }
    assert len(named) > 20
    assert {route.replace("JOB_ID", "{job_id}") for route in named} <= paths


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
    text = (ROOT / "docs" / "models.md").read_text()
    lines = [line for block in blocks("sh", text) for line in block.splitlines()]
    (command,) = [line for line in lines if "--acc" in line]
    assert command == download_command("fasthunyuan")
    asked = {"prompt": "a cat", "model": "fasthunyuan"}
    answer = client.post("/api/generate", json=asked)
    assert command in answer.json()["error"]["message"]


@pytest.mark.parametrize("file", ["README.md", "docs/api.md"])
def test_no_curl_line_that_is_run_too_early_saves_an_error_as_a_clip(
    service: Service, tmp_path: Path, file: str
) -> None:
    lines = re.findall(
        r"curl [^`\n]*(?:\.mp4|/draft|/content)\b[^`\n<]*", (ROOT / file).read_text()
    )
    assert lines
    for line in lines:
        local = re.sub(r"<[^>]+>", "", line)
        early = subprocess.run(
            ["bash", "-c", local.replace(LOCAL, service.url)], cwd=tmp_path, capture_output=True
        )
        assert early.returncode == 22, line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("page", ["README.md", "docs/client.md"])
def test_the_python_example_runs(service: Service, tmp_path: Path, page: str) -> None:
    example = blocks("python", (ROOT / page).read_text())[0]
    subprocess.run(
        [sys.executable, "-c", example.replace(LOCAL, service.url)], cwd=tmp_path, check=True
    )
    assert (tmp_path / "circle.mp4").stat().st_size > 1000


def test_every_make_target_is_documented_and_no_other() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = set(re.findall(r"^([a-z-]+) ", done.stdout, re.MULTILINE))
    text = "".join(page.read_text() for page in PAGES)
    documented = set(re.findall(r"(?<=[`\n])make ([a-z][a-z-]*)", text))
    assert documented == targets - {"clean"}


def test_the_wheel_that_the_readme_installs_has_this_version() -> None:
    versions = set(re.findall(r"hunyuan_runner-([\d.]+)-py3", README))
    assert versions == {__version__}
    assert f"\n## {__version__} " in (ROOT / "CHANGELOG.md").read_text()


def test_ci_runs_the_test_command_of_the_readme() -> None:
    assert "\nmake test " in README
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-2:] == ["make test", "make image-test"]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in link:
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        if heading:
            assert heading in headings(target), link


def headings(page: Path) -> list[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines]


def test_the_architecture_names_functions_and_files_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for file in re.findall(r"`([\w/]+\.py)`", text):
        assert source(file).exists(), file
    places = re.findall(r"(`[\w.]+(?:\(\))?`(?: and `[\w.]+(?:\(\))?`)*) in `([\w/]+\.py)`", text)
    assert len(places) > 30
    for words, file in places:
        for name in re.findall(r"`([\w.]+?)(?:\(\))?`", words):
            assert name in definitions(source(file)), f"{name} in {file}"


def source(file: str) -> Path:
    return ROOT / file if (ROOT / file).exists() else ROOT / "hunyuan_runner" / file


def definitions(file: Path) -> set[str]:
    """The names that a module defines, those of its classes with the class before them."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.ClassDef(name=name):
                methods = (each for each in node.body if isinstance(each, ast.FunctionDef))
                names |= {name, *(f"{name}.{method.name}" for method in methods)}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return names


def test_the_file_tree_is_the_one_there_is() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    (tree,) = [block for block in blocks("", text) if "service.py " in block]
    listed = re.findall(r"^ *((?:[\w./-]+(?:, )?)+)", tree, re.MULTILINE)
    names = {name.rstrip("/") for line in listed for name in line.split(", ")}
    package = ROOT / "hunyuan_runner"
    for name in names:
        assert (ROOT / name).exists() or (package / name).exists(), name
    rooms = {file.name for file in package.iterdir() if not file.name.startswith(("_", "py"))}
    assert rooms <= names


def test_the_operations_page_says_what_to_do_at_each_alert() -> None:
    rules = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    page = (ROOT / "docs/operations.md").read_text().partition("## Alerts")[2]
    listed = re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", page, re.MULTILINE)
    assert alerts == listed
