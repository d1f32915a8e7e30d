"""The `hunyuan` command as a user runs it, against the running service."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from hunyuan_runner.media import probe
from hunyuan_runner.params import GenerationRequest
from tests.conftest import LONG, Service, finish, submit
from tests.stub_server import reply, serving

HUNYUAN = Path(sys.executable).with_name("hunyuan")
QUICK = ["--width", "64", "--height", "64", "--num-frames", "5", "--steps", "2", "--seed", "7"]
ENDLESS = ["--width", "320", "--height", "240", "--num-frames", "65", "--steps", "100"]


@pytest.fixture(autouse=True)
def _environment(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNYUAN_URL", service.url)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def waiting_job(client: httpx.Client) -> Iterator[str]:
    """A job that will not be done before the test is."""
    job_id = submit(client, **LONG)["job_id"]
    yield job_id
    client.post(f"/api/jobs/{job_id}/cancel")


def hunyuan(*arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([HUNYUAN, *arguments], input=input, capture_output=True, text=True)


def done(*arguments: str, input: str = "") -> str:
    """What a command that succeeds prints."""
    result = hunyuan(*arguments, input=input)
    assert result.returncode == 0, result.stderr
    return result.stdout


def status_of(client: httpx.Client, job_id: str) -> str:
    return str(client.get(f"/api/status/{job_id}").json()["status"])


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self._keyboard, tty = pty.openpty()
        self.process = subprocess.Popen([HUNYUAN, *arguments], stdin=tty, stdout=tty, stderr=tty)
        os.close(tty)
        self.shown = ""

    def wait_for(self, text: str) -> None:
        while text not in self.shown:
            self.shown += os.read(self._keyboard, 4096).decode(errors="replace")

    def interrupt(self) -> None:
        """Once it waits: between a prompt and the reading of its answer, Python hears no signal."""
        while psutil.Process(self.process.pid).status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        self.process.send_signal(signal.SIGINT)

    def type(self, line: str) -> None:
        os.write(self._keyboard, f"{line}\n".encode())

    def end(self) -> int:
        """Read on until the command ended; returns its exit code."""
        try:
            while chunk := os.read(self._keyboard, 4096):
                self.shown += chunk.decode(errors="replace")
        except OSError:  # how Linux tells that nobody holds the terminal any more
            pass
        os.close(self._keyboard)
        return self.process.wait()


def test_generate_writes_the_clip_and_says_where_it_is(
    client: httpx.Client, tmp_path: Path
) -> None:
    result = hunyuan("generate", "A red circle", "-o", "circle.mp4", *QUICK)
    assert result.returncode == 0, result.stderr
    assert "circle.mp4" in result.stdout
    assert "64x64 · 5 frames" in result.stdout
    assert "seed 7" in result.stdout
    job = client.get("/api/jobs?limit=1").json()["jobs"][0]
    assert (tmp_path / "circle.mp4").read_bytes() == client.get(job["video_url"]).content


def test_a_webhook_is_passed_on() -> None:
    result = hunyuan("generate", "A red circle", "--webhook-url", "http://127.0.0.1/", *QUICK)
    assert result.returncode == 1
    assert "webhook_url must be on a public address" in result.stderr


def test_without_a_terminal_progress_is_plain_lines() -> None:
    result = hunyuan("generate", "A red circle", "-o", "circle.mp4", *QUICK)
    lines = result.stderr.splitlines()
    assert lines[-1] == "completed · 100%"
    assert "\x1b" not in result.stderr + result.stdout


def test_on_a_terminal_progress_is_a_bar_that_makes_room_for_the_result() -> None:
    terminal = Terminal("generate", "A red circle", "-o", "circle.mp4", *QUICK)
    assert terminal.end() == 0
    assert "━" in terminal.shown
    assert "completed" in terminal.shown
    assert terminal.shown.rstrip().splitlines()[-1].count("circle.mp4") == 1


def test_the_file_is_named_after_the_prompt_and_the_job(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    job = json.loads(done("generate", "A Red / Circle!", "-o", "clips", "--json", *QUICK))
    assert job["file"] == f"clips/a-red-circle-{job['job_id'][-8:]}.mp4"
    assert (tmp_path / job["file"]).stat().st_size


@pytest.mark.parametrize("output", ["missing/clip.mp4", "/proc/clip.mp4", "/proc"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_submitted(
    client: httpx.Client, output: str
) -> None:
    before = client.get("/api/jobs").json()
    result = hunyuan("generate", "A red circle", "-o", output)
    assert result.returncode == 2
    assert "folder" in result.stderr
    assert client.get("/api/jobs").json() == before


def test_a_refused_request_says_what_would_be_right() -> None:
    result = hunyuan("generate", "A red circle", "--num-frames", "50")
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert "num_frames" in result.stderr
    assert "49 or 53" in result.stderr


def test_a_job_that_was_left_alone_is_waited_for_and_downloaded(tmp_path: Path) -> None:
    job_id = done("generate", "A red circle", "--no-wait", *QUICK).strip()
    assert "clip.mp4" in done("download", job_id, "-o", "clip.mp4")
    assert (tmp_path / "clip.mp4").stat().st_size


def test_a_job_that_somebody_cancels_ends_the_wait(client: httpx.Client) -> None:
    terminal = Terminal("generate", "A red circle", *ENDLESS)
    terminal.wait_for("denoising")
    job = client.get("/api/jobs?limit=1").json()["jobs"][0]
    client.post(f"/api/jobs/{job['job_id']}/cancel")
    assert terminal.end() == 1
    assert "was canceled" in terminal.shown


def test_a_failed_job_tells_its_error(client: httpx.Client, clip: dict[str, Any]) -> None:
    error = {"code": "out_of_memory", "message": "the clip does not fit"}
    failed = json.dumps(clip | {"status": "failed", "error": error}).encode()
    with serving(lambda request: reply(request, failed)) as url:
        result = hunyuan("download", clip["job_id"], "--url", url)
    assert result.returncode == 1
    assert "the clip does not fit" in result.stderr


def test_a_service_that_is_gone_for_a_while_is_waited_for(
    clip: dict[str, Any], tmp_path: Path
) -> None:
    pending = json.dumps(clip | {"status": "in_progress", "stage": "decoding"}).encode()
    answers = [(200, pending), (503, b""), (503, b""), (200, json.dumps(clip).encode())]

    def answer(request: BaseHTTPRequestHandler) -> None:
        status, body = answers.pop(0) if answers else (200, b"the video")
        reply(request, body, status)

    with serving(answer) as url:
        result = hunyuan("download", clip["job_id"], "--url", url, "-o", "clip.mp4")
    assert result.returncode == 0
    assert result.stderr.count("still trying") == 1
    assert (tmp_path / "clip.mp4").read_bytes() == b"the video"


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_key_is_sent_and_a_missing_one_asked_for(
    clip: dict[str, Any], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.headers["Authorization"] == "Bearer secret":
            reply(request, json.dumps(clip).encode())
        else:
            error = {"code": "unauthorized", "message": "Send an API key."}
            reply(request, json.dumps({"error": error}).encode(), 401)

    with serving(answer) as url:
        for command in (["status"], ["cancel"], ["download"]):
            refused = hunyuan(*command, "x", "--url", url)
            assert refused.returncode == 1
            assert refused.stderr.count("\n") == 1
            assert "HUNYUAN_API_KEY" in refused.stderr
        if way == "environment":
            monkeypatch.setenv("HUNYUAN_API_KEY", "secret")
            printed = done("status", "x", "--url", url)
        else:
            printed = done("status", "x", "--url", url, "--api-key", "secret")
    assert clip["job_id"] in printed
    assert "secret" not in printed


@pytest.mark.parametrize(
    "command",
    [
        "generate",
        "jobs",
        "status",
        "cancel",
        "retry",
        "pause",
        "resume",
        "delete",
        "download",
        "info",
    ],
)
def test_every_command_that_asks_a_service_takes_a_key(command: str) -> None:
    assert "--api-key" in done(command, "--help")


@pytest.mark.parametrize(
    ("answer", "status", "advice"),
    [("y", "canceled", "hunyuan retry"), ("n", "in_progress", "hunyuan download")],
)
def test_ctrl_c_asks_whether_to_cancel_the_job(
    client: httpx.Client, answer: str, status: str, advice: str
) -> None:
    terminal = Terminal("generate", "A red circle", *ENDLESS)
    terminal.wait_for("denoising")
    terminal.interrupt()
    terminal.wait_for("Cancel job")
    terminal.type(answer)
    assert terminal.end() == 130
    job_id = client.get("/api/jobs?limit=1").json()["jobs"][0]["job_id"]
    assert status_of(client, job_id) == status
    assert f"{advice} {job_id}" in terminal.shown
    client.post(f"/api/jobs/{job_id}/cancel")


def test_a_second_ctrl_c_leaves_the_job_running(client: httpx.Client) -> None:
    terminal = Terminal("generate", "A red circle", *ENDLESS)
    terminal.wait_for("denoising")
    terminal.interrupt()
    terminal.wait_for("Cancel job")
    terminal.interrupt()
    assert terminal.end() == 130
    job_id = client.get("/api/jobs?limit=1").json()["jobs"][0]["job_id"]
    assert status_of(client, job_id) == "in_progress"
    client.post(f"/api/jobs/{job_id}/cancel")


def test_an_interrupt_with_nobody_to_ask_leaves_the_job_running(
    client: httpx.Client, waiting_job: str
) -> None:
    with subprocess.Popen(
        [HUNYUAN, "download", waiting_job],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert "hunyuan download" in process.stderr.read()
    assert process.returncode == 130
    assert status_of(client, waiting_job) in ("pending", "in_progress")


def test_a_clip_is_reproduced_from_its_file(
    client: httpx.Client, clip: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes(client.get(clip["video_url"]).content)
    shown = done("reproduce", "clip.mp4", "-o", "again.mp4")
    assert "All frames are identical to those of clip.mp4." in shown
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "clip.mp4").read_bytes()


def test_a_clip_that_comes_out_different_is_said_to(
    client: httpx.Client, clip: dict[str, Any], tmp_path: Path
) -> None:
    original, altered = tmp_path / "clip.mp4", tmp_path / "altered.mp4"
    original.write_bytes(client.get(clip["video_url"]).content)
    kept = ["-map_metadata", "0", "-movflags", "use_metadata_tags"]
    encode = ["-i", f"{original}", "-vf", "negate", *kept, f"{altered}"]
    subprocess.run([get_ffmpeg_exe(), "-loglevel", "error", *encode], check=True)
    result = hunyuan("reproduce", "altered.mp4", "-o", "again.mp4")
    assert result.returncode == 1
    assert (
        "0 of 5 frames are identical to those of altered.mp4. Was the file changed?"
        in result.stderr
    )


def test_a_clip_of_another_size_than_is_made_now_is_said_to_be(
    client: httpx.Client, clip: dict[str, Any], tmp_path: Path
) -> None:
    original, odd = tmp_path / "clip.mp4", tmp_path / "odd.mp4"
    original.write_bytes(client.get(clip["video_url"]).content)
    kept = ["-map_metadata", "0", "-movflags", "use_metadata_tags"]
    encode = ["-i", f"{original}", "-vf", "crop=63:63:0:0:exact=1,format=yuv444p", *kept, f"{odd}"]
    subprocess.run([get_ffmpeg_exe(), "-loglevel", "error", *encode], check=True)
    result = hunyuan("reproduce", "odd.mp4", "-o", "again.mp4")
    assert result.returncode == 1
    assert "This render used 64x64, not 63x63." in result.stderr


def test_a_file_that_tells_nothing_cannot_be_reproduced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no video")
    result = hunyuan("reproduce", "notes.txt")
    assert result.returncode == 2
    assert "contains no recipe" in " ".join(result.stderr.replace("│", "").split())


def test_jobs_are_listed_with_what_matters(clip: dict[str, Any], waiting_job: str) -> None:
    rows = [line.split() for line in done("jobs", "--limit", "100").splitlines()]
    listed = {row[0]: row for row in rows}
    assert listed[clip["job_id"]][1:3] == ["completed", "64x64"]
    assert listed[waiting_job][1] in ("pending", "in_progress")
    assert all(waiting_job not in row for row in done("jobs", "--status", "completed").splitlines())
    assert waiting_job in done("jobs", "--search", "RED circle")
    assert "No jobs" in hunyuan("jobs", "--search", "red giraffe").stderr


def test_a_prompt_cannot_command_the_terminal(client: httpx.Client) -> None:
    job = submit(client, prompt="A \x1b[31mred\x07\ncircle [bold]")
    finish(client, job)
    for command in (["jobs"], ["status", job["job_id"]]):
        printed = done(*command)
        assert "A [31mred circle [bold]" in printed
        assert "\x1b" not in printed


def test_what_a_job_was_warned_of_is_shown(clip: dict[str, Any]) -> None:
    warnings = [{"code": "of_a_newer_service", "message": "half of it was\n\x1b[31mcut"}]
    warned = json.dumps(clip | {"warnings": warnings}).encode()
    with serving(lambda request: reply(request, warned)) as url:
        told = done("status", clip["job_id"], "--url", url)
        result = hunyuan("generate", "--no-wait", "A red circle", "--url", url)
    assert "half of it was [31mcut" in told
    assert "warning: half of it was [31mcut" in result.stderr
    assert "\x1b" not in told + result.stderr


def test_status_shows_one_job(clip: dict[str, Any]) -> None:
    printed = done("status", clip["job_id"])
    for fact in (clip["job_id"], "completed", clip["params"]["prompt"], "seed 7", "64x64"):
        assert fact in printed


def test_status_follows_a_job_to_its_end(client: httpx.Client) -> None:
    job = submit(client)
    assert "completed" in done("status", job["job_id"], "--watch")


def test_json_is_what_the_service_answered(client: httpx.Client, clip: dict[str, Any]) -> None:
    assert json.loads(done("status", clip["job_id"], "--json")) == clip
    assert json.loads(done("info", "--json"))["host"] == client.get("/api/info").json()["host"]
    listed = json.loads(done("jobs", "--json", "--status", "completed", "--limit", "100"))
    assert clip in listed["jobs"]


def test_jobs_are_canceled_and_taken_up_again(client: httpx.Client) -> None:
    first, second = (submit(client, **LONG)["job_id"] for _ in range(2))
    result = hunyuan("cancel", first, "nope", second)
    assert result.returncode == 1
    assert "nope" in result.stderr
    assert {status_of(client, job_id) for job_id in (first, second)} == {"canceled"}
    done("retry", first)
    assert status_of(client, first) in ("pending", "in_progress")
    done("cancel", first)


def test_generating_ends_at_the_draft_which_is_fetched_and_then_finished(tmp_path: Path) -> None:
    result = hunyuan("generate", "A red circle", "--draft-steps", "1", *QUICK)
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []
    job_id = result.stderr.split()[1]
    url = os.environ["HUNYUAN_URL"]
    assert "Paused after step 1 of 2" in result.stderr
    assert f"{url}/api/jobs/{job_id}/draft" in result.stderr
    for command in ("download --draft", "resume --follow", "cancel"):
        assert f"hunyuan {command} {job_id} --url {url}" in result.stderr
    assert "draft.mp4" in done("download", job_id, "--draft", "-o", "draft.mp4")
    draft = tmp_path / "draft.mp4"
    assert probe(draft).tags["draft"] == "after 1 of 2 steps"
    assert f"/api/jobs/{job_id}/draft" in done("status", job_id, "--watch")

    assert "circle.mp4" in done("resume", job_id, "--follow", "-o", "circle.mp4")
    assert "draft" not in probe(tmp_path / "circle.mp4").tags
    gone = hunyuan("download", job_id, "--draft")
    assert gone.returncode == 1
    assert "has no draft" in gone.stderr


def test_jobs_are_paused_and_resumed(client: httpx.Client, running_job: dict[str, Any]) -> None:
    running, queued = running_job["job_id"], submit(client)["job_id"]
    assert done("pause", running, queued) == f"pausing {running}\npausing {queued}\n"
    assert "Paused" in hunyuan("download", queued).stderr
    assert hunyuan("download", queued).returncode == 1
    again = hunyuan("pause", queued)
    assert again.returncode == 1
    assert "only a queued or denoising job" in again.stderr
    assert done("resume", queued) == f"queued {queued}\n"
    assert hunyuan("resume", queued).returncode == 1
    assert finish(client, client.get(f"/api/status/{queued}").json())["status"] == "completed"
    assert "paused" in done("status", running, "--watch")


def test_deleting_asks_first(client: httpx.Client) -> None:
    job = finish(client, submit(client))
    assert hunyuan("delete", job["job_id"], input="n\n").returncode == 1
    assert status_of(client, job["job_id"]) == "completed"
    done("delete", job["job_id"], input="y\n")
    assert client.get(f"/api/status/{job['job_id']}").status_code == 404


def test_deleting_need_not_ask(client: httpx.Client) -> None:
    jobs = [finish(client, submit(client))["job_id"] for _ in range(2)]
    done("delete", "--yes", *jobs)
    assert {client.get(f"/api/status/{job}").status_code for job in jobs} == {404}


def test_a_clip_is_estimated_before_it_is_asked_for() -> None:
    printed = done("estimate", "A red circle", *QUICK[:-2])
    assert "64x64, 5 frames" in printed
    assert "GB" in printed
    assert "instead" not in printed
    estimate = json.loads(done("estimate", "--json", *QUICK[:-2]))
    assert estimate["fits"]


def test_what_would_be_there_in_time_is_proposed() -> None:
    size = ["--width", "512", "--height", "512", "--num-frames", "129"]
    whole = json.loads(done("estimate", *size, "--json"))
    deadline = whole["queue_seconds"] * 2 + whole["seconds"]["low"] / 2  # however wide the range
    printed = done("estimate", *size, "--deadline", str(deadline))
    assert "no: takes about " in printed
    assert "instead" in printed
    assert " frames" in printed.partition("instead")[2]


def test_generate_tells_what_it_takes_before_it_waits() -> None:
    result = hunyuan("generate", "A red circle", "-o", "circle.mp4", *QUICK)
    assert " takes " in result.stderr.splitlines()[0]


def test_info_shows_the_models_and_their_presets() -> None:
    printed = done("info")
    assert "demo" in printed
    assert "192x128" in printed
    assert "not installed" in printed
    assert "demo in fp32: the model is small" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "A cat"],
        ["estimate", "A cat"],
        ["jobs"],
        ["status", "x"],
        ["cancel", "x"],
        ["retry", "x"],
        ["pause", "x"],
        ["resume", "x"],
        ["delete", "x", "--yes"],
        ["download", "x"],
        ["info"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_where_no_service_answers_one_line_says_what_to_do(arguments: list[str]) -> None:
    result = hunyuan(*arguments, "--url", "http://127.0.0.1:1")
    assert result.returncode == 69
    assert result.stderr.count("\n") == 1
    for hint in ("http://127.0.0.1:1", "hunyuan serve", "--url", "HUNYUAN_URL"):
        assert hint in result.stderr


def test_the_help_tells_the_exit_codes() -> None:
    help_text = " ".join(done("--help").split())
    for code in ("0 success", "1 request", "2 wrong usage", "69 service", "130 interrupted"):
        assert code in help_text


def test_every_parameter_of_a_clip_has_its_option() -> None:
    help_text = done("generate", "--help").replace("--steps", "--num-inference-steps")
    fields = GenerationRequest.model_fields.keys() - {"prompt", "metadata"}
    assert [name for name in fields if f"--{name.replace('_', '-')}" not in help_text] == []


def test_a_key_is_made_for_its_user_and_its_hash_for_the_service() -> None:
    key, line = done("keys", "new", "ana", "--admin").splitlines()
    name, digest, scope = line.removeprefix("HUNYUAN_API_KEYS=").split(":")
    assert (name, scope) == ("ana", "admin")
    assert digest == hashlib.sha256(key.encode()).hexdigest()
    assert hunyuan("keys", "new", "a na").returncode == 2


def test_a_service_open_to_the_network_needs_keys(tmp_path: Path) -> None:
    result = subprocess.run(
        [HUNYUAN, "serve", "--host", "0.0.0.0"],
        env=os.environ | {"HUNYUAN_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "hunyuan keys new" in result.stderr


def test_all_that_waits_is_canceled_when_that_is_agreed_to(
    client: httpx.Client, running_job: dict[str, Any]
) -> None:
    waiting = [submit(client, **LONG)["job_id"] for _ in range(2)]
    assert hunyuan("cancel", "--all", input="n\n").returncode == 1
    assert done("cancel", "--all", input="y\n").strip() == "canceled 2 jobs"
    assert {status_of(client, job_id) for job_id in waiting} == {"canceled"}
    assert done("cancel", "--all", "--yes") == "canceled 0 jobs\n"
    assert status_of(client, running_job["job_id"]) == "in_progress"
    for wrong in ((), ("--all", waiting[0])):
        refused = hunyuan("cancel", *wrong)
        assert refused.returncode == 2
        assert "--all" in refused.stderr
