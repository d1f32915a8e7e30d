"""What the `hunyuan` command prints where it is narrow, where letters lack, and where it may write.

Answers come from a stub, so that every job looks as a test wants it to.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from hunyuan_runner import __version__
from hunyuan_runner.cli.display import estimate_facts, nothing_instead
from hunyuan_runner.client import Estimate
from tests.stub_server import reply, serving
from tests.test_cli import HUNYUAN, Terminal

PROMPTS = ("A cat 😀 walks on grass – slowly," * 9, "red", "猫が草の上を歩く" * 12)
STATES = ("in_progress", "completed", "canceled")
PARAMS = {"model": "demo", "width": 1280, "height": 720, "num_frames": 129, "fps": 15} | {
    "num_inference_steps": 30,
    "seed": 7,
    "guidance_scale": 6.0,
    "true_cfg_scale": 1.0,
    "flow_shift": 5.0,
}
UNKNOWN = (
    *("stage", "queue_position", "eta_seconds", "resumed_from_step", "started_at"),
    *("completed_at", "expires_at", "draft_steps", "remixed_from", "webhook_url"),
    *("thumbnail_url", "preview_url", "draft_url", "error"),
)


def job(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A job as the service answers it."""
    job_id = f"18ec5fcc77fc6830ae6858b984{number:02}"
    shown: dict[str, Any] = {
        "job_id": job_id,
        "status": STATES[number % 3],
        "progress": 0.45,
        "step": 3,
        "num_inference_steps": 30,
        "pausing": False,
        "attempts": 1,
        "created_at": "2026-11-29T01:00:00Z",
        "params": PARAMS | {"prompt": PROMPTS[number % 3]},
        "model": "demo",
        "priority": 0,
        "metadata": {},
        "video_url": f"/api/videos/{job_id}.mp4",
    }
    return dict.fromkeys(UNKNOWN) | shown | fields


class Stub:
    """A service with three jobs; notes what it is asked."""

    def __init__(self) -> None:
        self.jobs = [job(number) for number in range(3)]
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.before_video: Callable[[], object] = lambda: None

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(f"{request.command} {request.path}")
        if length := int(request.headers.get("Content-Length", 0)):
            self.bodies.append(json.loads(request.rfile.read(length)))
        if request.path.startswith("/api/jobs?") or request.path == "/api/jobs":
            page = {"jobs": self.jobs, "has_more": False, "next": None}
            reply(request, json.dumps(page).encode())
        elif request.path.endswith("/draft"):
            reply(request, b"the draft")
        elif request.path.startswith("/api/videos/"):
            self.before_video()
            reply(request, b"the video")
        elif request.path == "/api/estimate":
            reply(request, json.dumps(estimate()).encode())
        else:
            reply(request, json.dumps(self.jobs[1]).encode())


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture(autouse=True)
def url(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    with serving(stub) as url:
        monkeypatch.setenv("HUNYUAN_URL", url)
        yield url


def hunyuan(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command: list[str | bytes] = [str(HUNYUAN), *arguments]
    return subprocess.run(command, env=os.environ | environment, capture_output=True)


def estimate(
    wait: float = 0.0, seconds: float = 40.0, in_time: bool | None = None, fits: bool = True
) -> dict[str, Any]:
    return {
        "seconds": {"low": seconds / 1.5, "expected": seconds, "high": seconds * 1.5},
        "peak_memory_bytes": 10**9,
        "cost": None,
        "fits": fits,
        "queue_seconds": wait,
        "in_time": in_time,
        "params": PARAMS | {"prompt": "A cat"},
        "alternatives": [],
    }


@pytest.mark.parametrize("columns", [30, 40, 80, 120, 200])
def test_ids_and_states_are_whole_at_any_width(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal("jobs")
    assert terminal.end() == 0
    plain = terminal.shown.replace("\r", "")
    for escape in ("\x1b[1m", "\x1b[0m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[36m"):
        plain = plain.replace(escape, "")
    words = plain.split()
    for shown in stub.jobs:
        assert shown["job_id"] in words
        assert shown["status"] in words
    assert "A cat 😀" in plain
    assert max(map(cell_len, plain.splitlines())) <= columns


def test_a_program_reads_every_row_whole_on_a_line_of_its_own(stub: Stub) -> None:
    lines = hunyuan("jobs", COLUMNS="40").stdout.decode().splitlines()
    assert len(lines) == 1 + len(stub.jobs)
    for line, shown in zip(lines[1:], stub.jobs, strict=True):
        prompt = " ".join(shown["params"]["prompt"].split())
        assert line.split()[:2] == [shown["job_id"], shown["status"]]
        assert line.endswith(prompt)
    status = hunyuan("status", "x", COLUMNS="40").stdout.decode()
    assert [line for line in status.splitlines() if line.startswith("prompt")] == ["prompt   red"]


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_letters_that_the_terminal_lacks_are_replaced(encoding: str) -> None:
    for command in (["jobs"], ["status", "x"], ["generate", "--help"], ["--help"]):
        result = hunyuan(*command, PYTHONIOENCODING=encoding)
        assert result.returncode == 0, result.stderr
        result.stdout.decode(encoding)
    answer = json.loads(hunyuan("jobs", "--json", PYTHONIOENCODING=encoding).stdout)
    assert answer["jobs"][0]["params"]["prompt"] == PROMPTS[0]
    refused = hunyuan("generate", "A 😀", "-o", "😀/x.mp4", PYTHONIOENCODING=encoding)
    assert refused.returncode == 2
    assert b"Traceback" not in refused.stderr


def test_a_prompt_that_is_not_utf8_arrives_with_replacements(stub: Stub) -> None:
    cat = b"A cat \xff\xe9 walks"
    result = hunyuan("generate", cat, "--negative-prompt", b"\xe9", "--no-wait")
    assert result.returncode == 0, result.stderr
    assert stub.bodies[0]["prompt"] == "A cat \ufffd\ufffd walks"
    assert hunyuan("status", b"\xff").returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "A cat", "-o", "clip.mp4"],
        ["generate", "A cat", "-o", "clip.mp4", "--no-wait"],
        ["download", "x", "-o", "clip.mp4"],
        ["download", "x", "--draft", "-o", "clip.mp4"],
        ["resume", "x", "-o", "clip.mp4"],
        ["generate", "A cat", "--draft-steps", "3", "-o", "other.mp4"],
    ],
)
def test_a_file_that_exists_is_kept_and_nothing_is_asked_of_the_service(
    stub: Stub, tmp_path: Path, command: list[str]
) -> None:
    for name in ("clip.mp4", "other-draft.mp4"):
        (tmp_path / name).write_bytes(b"mine")
    result = hunyuan(*command)
    assert result.returncode == 2
    assert b"--force" in result.stderr
    assert (tmp_path / "clip.mp4").read_bytes() == b"mine"
    assert stub.asked == []


def test_a_file_is_overwritten_with_force(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"mine")
    assert hunyuan("generate", "A cat", "-o", "clip.mp4", "--force").returncode == 0
    assert clip.read_bytes() == b"the video"
    assert list(tmp_path.iterdir()) == [clip]


def test_a_file_named_after_its_prompt_is_not_overwritten_either(tmp_path: Path) -> None:
    assert hunyuan("download", "x").returncode == 0
    again = hunyuan("download", "x")
    assert again.returncode == 1
    assert b"--force" in again.stderr
    assert hunyuan("download", "x", "--force", "-o", ".").returncode == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_that_appeared_meanwhile_is_kept_and_the_clip_too(
    stub: Stub, tmp_path: Path
) -> None:
    clip = tmp_path / "my clip.mp4"

    stub.before_video = lambda: clip.write_bytes(b"mine")
    result = hunyuan("download", "x", "-o", str(clip))
    assert result.returncode == 1
    assert clip.read_bytes() == b"mine"
    assert f"hunyuan download {stub.jobs[1]['job_id']}".encode() in result.stderr


@pytest.mark.parametrize(
    "output", ["missing/", "missing/clip.mp4", f"{'x' * 300}.mp4", "/dev/null", "file/clip.mp4"]
)
@pytest.mark.parametrize("force", [[], ["--force"]], ids=["", "force"])
def test_a_place_that_no_file_can_have_is_refused_first(
    stub: Stub, tmp_path: Path, output: str, force: list[str]
) -> None:
    (tmp_path / "file").touch()
    for command in (["generate", "A cat"], ["download", "x"]):
        result = hunyuan(*command, "-o", output, *force)
        assert result.returncode == 2
        assert b"Traceback" not in result.stderr
    assert stub.asked == []


def test_the_way_back_names_the_file(stub: Stub, url: str) -> None:
    result = hunyuan("generate", "A cat", "-o", "my clip.mp4", "--force", "--no-wait")
    line = f"hunyuan download {stub.jobs[1]['job_id']} -o 'my clip.mp4' --force --url {url}"
    assert line in result.stderr.decode()


def test_a_draft_goes_beside_the_file_and_the_way_on_names_it(
    stub: Stub, url: str, tmp_path: Path
) -> None:
    job_id = stub.jobs[1]["job_id"]
    paused = {"status": "pending", "stage": "paused", "draft_url": f"/api/jobs/{job_id}/draft"}
    stub.jobs[1] |= paused
    result = hunyuan("generate", "A cat", "-o", "cat.mp4", "--draft-steps", "3")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(b"cat-draft.mp4")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "cat-draft.mp4": b"the draft"
    }
    assert f"hunyuan resume --follow {job_id} -o cat.mp4 --url {url}" in result.stderr.decode()


def test_the_service_may_be_named_before_the_command_and_without_a_scheme(
    stub: Stub, url: str
) -> None:
    place = url.removeprefix("http://")
    nowhere = "127.0.0.1:1"
    for arguments in (
        ["--url", place, "jobs"],
        ["jobs", "--url", f"{place}/"],
        ["--url", nowhere, "jobs", "--url", place],
    ):
        assert hunyuan(*arguments, HUNYUAN_URL=nowhere).returncode == 0
    assert hunyuan("--url", nowhere, "jobs").returncode == 69
    assert hunyuan("check", "--url", nowhere).returncode == 1
    assert hunyuan("check", nowhere).returncode == 1
    wrong = hunyuan("jobs", "--url", "ftp://x")
    assert wrong.returncode == 2
    assert b"http://" in wrong.stderr


def test_proxies_are_not_asked_for_this_machine() -> None:
    for proxy in ("http://127.0.0.1:1", "socks5://127.0.0.1:1", "::"):
        everywhere = {"HTTP_PROXY": proxy, "ALL_PROXY": proxy, "NO_PROXY": ""}
        assert hunyuan("jobs", **everywhere).returncode == 0
    away = hunyuan("jobs", "--url", "http://video.example.com", ALL_PROXY="socks5://x:1")
    assert away.returncode == 69
    assert away.stderr.count(b"\n") == 1
    assert b"ALL_PROXY" in away.stderr


@pytest.mark.parametrize("arguments", [["jobs"], ["jobs", "--json"], ["status", "x"]])
def test_a_reader_that_leaves_ends_the_command_quietly(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([HUNYUAN, *arguments], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    _, told = process.communicate()
    assert (process.returncode, told) == (141, b"")


def test_an_output_that_cannot_be_written_is_a_line_and_an_exit_code() -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([HUNYUAN, "jobs"], stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr.count(b"\n") == 1


def test_the_version_is_shown() -> None:
    assert hunyuan("--version").stdout.decode() == f"hunyuan-runner {__version__}\n"


def test_the_shell_completes_commands_and_options() -> None:
    for typed, completed in (("hunyuan gen", b"generate"), ("hunyuan jobs --u", b"--url")):
        shown = hunyuan(
            _HUNYUAN_COMPLETE="complete_bash",
            COMP_WORDS=typed,
            COMP_CWORD=str(typed.count(" ")),
        )
        assert completed in shown.stdout.split()


def test_an_estimate_takes_every_option_of_a_clip(stub: Stub) -> None:
    options = ["--step-cache", "fast", "--seed", "-1", "--fps", "23.976", "--draft-steps", "2"]
    for command in (["estimate"], ["generate", "A cat", "--no-wait"]):
        assert hunyuan(*command, *options).returncode == 0
        given = {"step_cache": "fast", "seed": -1, "fps": 23.976, "draft_steps": 2}
        assert given.items() <= stub.bodies[-1].items()


@pytest.mark.parametrize("option", ["--guidance-scale", "--fps", "--seconds", "--deadline"])
def test_a_number_that_is_none_is_refused_by_its_option(stub: Stub, option: str) -> None:
    result = hunyuan("estimate", option, "nan" if option == "--fps" else "inf")
    assert result.returncode == 2
    assert option.encode() in result.stderr
    assert stub.asked == []


@pytest.mark.parametrize(
    ("wait", "seconds", "deadline", "verdict"),
    [
        (0, 2400, 60, "no: takes about 40 min"),
        (0, 40, 61, "yes"),
        (0, 40, 50, "perhaps: finished in 27–60 s"),
        (50, 40, 85, "perhaps: finished in 77–110 s"),
        (50, 40, 60, "no: takes about 90 s"),
        (600, 1, 60, "no: waits about 10 min in the queue"),
    ],
)
def test_whether_a_clip_is_there_in_time_is_yes_perhaps_or_no(
    wait: float, seconds: float, deadline: float, verdict: str
) -> None:
    in_time = wait + seconds * 1.5 <= deadline
    known = Estimate.model_validate(estimate(wait, seconds, in_time))
    lines = [line.plain for line in estimate_facts(known, deadline).lines(None)]
    (answer,) = [line for line in lines if line.startswith("in ")]
    assert answer.endswith(f"  {verdict}")


def test_where_nothing_is_proposed_the_reason_is_given() -> None:
    queue = Estimate.model_validate(estimate(wait=600, in_time=False))
    assert "the wait in the queue alone" in nothing_instead(queue, 60)
    large = Estimate.model_validate(estimate(fits=False))
    assert "No smaller clip" in nothing_instead(large, None)


def test_where_no_worker_runs_no_time_is_promised(stub: Stub) -> None:
    eta = {"low": 3.0, "expected": 4.0, "high": 5.0}
    warnings = [{"code": "no_worker", "message": "No worker is running."}]
    waits = {"status": "pending", "stage": "queued", "queue_position": 1, "eta_seconds": eta}
    stub.jobs = [job(number, **waits, warnings=warnings) for number in range(3)]
    listed = hunyuan("jobs")
    assert listed.stderr.decode() == "warning: No worker is running.\n"
    (doing,) = re.findall(r"doing .*", hunyuan("status", "x").stdout.decode())
    assert doing.endswith("next in the queue · no worker is running")
    known = Estimate.model_validate(estimate(in_time=True) | {"warnings": warnings})
    lines = [line.plain for line in estimate_facts(known, 100).lines(None)]
    assert "in 100 s  only once a worker is running" in lines


def test_no_output_shows_the_password_of_an_address(url: str) -> None:
    secret = url.replace("http://", "http://ana:secret@")
    for command in (["generate", "A cat", "--no-wait"], ["check", "--json"], ["jobs"]):
        result = hunyuan(*command, "--url", secret)
        assert b"secret" not in result.stdout + result.stderr


def test_an_interrupt_ends_any_command_with_130(stub: Stub) -> None:
    terminal = Terminal("delete", "x")
    terminal.wait_for("Delete this job")
    terminal.interrupt()
    assert terminal.end() == 130
    assert "Traceback" not in terminal.shown
    assert stub.asked == []
