"""`hunyuan doctor` on this machine, and with each thing wrong that can be made wrong here."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from hunyuan_runner.cli import diagnosis
from hunyuan_runner.cli.diagnosis import CHECKS, diagnose
from hunyuan_runner.cli.display import finding_table
from hunyuan_runner.cli.outcomes import Outcome
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.machine import clock, precision
from hunyuan_runner.settings import Settings, get_settings
from tests.conftest import Service, free_port

HOST = "127.0.0.1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A data folder that does not exist, and settings that are read anew."""
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("HUNYUAN_TESTS_MUST_RUN", raising=False)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def found(port: int | None = None) -> Mapping[str, Outcome]:
    outcomes = {outcome.name: outcome for outcome in diagnose(HOST, port or free_port())}
    assert list(outcomes) == [check.name for check in CHECKS]
    return outcomes


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hunyuan_runner", "doctor", "--port", str(free_port())]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=120)


def test_on_a_machine_in_order_nothing_fails_and_nothing_is_changed(tmp_path: Path) -> None:
    result = run("--json")
    assert result.returncode == 0, result.stdout + result.stderr
    report = json.loads(result.stdout)
    assert report["ok"]
    statuses = {check["name"]: check["status"] for check in report["checks"]}
    assert list(statuses) == [check.name for check in CHECKS]
    # A machine may follow no time server; the small disk of one that runs tests may fill up.
    assert {s for name, s in statuses.items() if name not in ("clock", "disk", "cpu")} == {"ok"}
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_is_named_with_what_to_do_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUNYUAN_MODEL", "hunyuanvideo")
    result = run()
    assert result.returncode == 1
    said = " ".join(result.stdout.split())
    assert "models failed the default model hunyuanvideo is not installed" in said
    assert "to do: run hunyuan models download hunyuanvideo" in said


WRONG: dict[str, tuple[str, str, str, str]] = {
    "a value": ("HUNYUAN_THREADS", "0", "settings", "HUNYUAN_THREADS: "),
    "a model": ("HUNYUAN_MODEL", "other", "models", "choose from demo"),
    "a full disk": ("HUNYUAN_DISK_RESERVE_BYTES", f"{10**18}", "disk", "Delete jobs that have"),
    "a folder": ("HUNYUAN_DATA_DIR", "/dev/null/data", "data folder", "create it"),
    "a bucket": ("HUNYUAN_STORAGE_URL", "nonsense://b", "storage", "check HUNYUAN_STORAGE_URL"),
    "ffmpeg": ("IMAGEIO_FFMPEG_EXE", "/bin/false", "ffmpeg", "IMAGEIO_FFMPEG_EXE"),
    "a database": (
        "HUNYUAN_DATABASE_URL",
        "postgresql://ana:secret@127.0.0.1:1/name",
        "database",
        "correct HUNYUAN_DATABASE_URL",
    ),
}


@pytest.mark.parametrize(("name", "value", "check", "words"), WRONG.values(), ids=WRONG)
def test_each_thing_that_is_wrong_fails_its_check(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, check: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    outcome = found()[check]
    assert outcome.status == "failed"
    assert words in f"{outcome.got}\n{outcome.advice}"
    assert outcome.advice
    assert "secret" not in outcome.got + outcome.advice


def test_with_wrong_settings_the_rest_is_skipped_but_the_machine_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUNYUAN_LEASE_SECONDS", "soon")
    outcomes = found()
    assert outcomes["database"].got == "needs valid settings"
    assert {outcomes[name].status for name in ("system", "memory", "port")} == {"ok"}


def test_a_misspelt_setting_is_a_warning_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUNYUAN_MAX_ATTEMPTS", "3")  # a former name
    assert found()["settings"].status == "ok"
    get_settings.cache_clear()
    monkeypatch.setenv("HUNYUAN_RETENTION_HOUR", "5")
    outcome = found()["settings"]
    assert (outcome.status, outcome.advice) == ("warning", "did you mean HUNYUAN_RETENTION_HOURS?")


def test_a_database_is_named_with_its_version_and_a_newer_one_fails(tmp_path: Path) -> None:
    Jobs(Settings(data_dir=tmp_path / "data")).close()
    assert "schema version" in found()["database"].got
    jobs = Jobs(Settings(data_dir=tmp_path / "data"))
    with jobs.database.begin() as connection:
        connection.execute(sa.text("UPDATE hunyuan_schema SET version = 900, release = '9.7.5'"))
    jobs.close()
    outcome = found()["database"]
    assert outcome.status == "failed"
    assert "Install hunyuan-runner 9.7.5" in outcome.advice


def test_a_port_in_use_fails_unless_a_service_of_ours_answers_there(service: Service) -> None:
    ours = int(service.url.rpartition(":")[2])
    assert "a service of ours answers" in found(ours)["port"].got
    with socket.create_server((HOST, free_port())) as other:
        other.listen()
        outcome = found(other.getsockname()[1])["port"]
    assert outcome.status == "failed"
    assert "in use" in outcome.got


def test_the_key_of_an_admin_is_one_of_those_that_are_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HUNYUAN_ADMIN_KEY", "k" * 40)
    assert found()["access"].got == "API keys of 1 user"


def test_open_access_and_a_slow_cpu_are_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNYUAN_ALLOW_ANONYMOUS", "true")
    for module in (diagnosis, precision):
        monkeypatch.setattr(module, "cpu_flags", lambda: frozenset({"sse2"}))
    outcomes = found()
    assert {outcomes[name].status for name in ("access", "cpu")} == {"warning"}
    assert "no AVX2" in outcomes["cpu"].got
    assert "several times as long" in outcomes["cpu"].advice


@pytest.mark.parametrize("says", [True, False, None])
def test_the_clock_is_as_the_kernel_says(
    monkeypatch: pytest.MonkeyPatch, says: bool | None
) -> None:
    monkeypatch.setattr(clock, "is_synchronised", lambda: says)
    expected = {True: "ok", False: "warning", None: "skipped"}
    assert found()["clock"].status == expected[says]


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_fits_a_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNYUAN_MODEL", "hunyuanvideo")
    lines = [line.plain for line in finding_table([*found().values()]).lines(width)]
    for line in lines:
        # Only what cannot be broken, such as a path to copy, may be longer.
        assert len(line) <= width or len(line.split()[-1]) > width // 3, line
    shown = " ".join(" ".join(lines).split())
    assert "to do: run hunyuan models download hunyuanvideo" in shown


def test_an_address_that_does_not_exist_is_refused() -> None:
    result = run("--host", "no.such.host.invalid")
    assert result.returncode == 1
    assert "no host is named" in result.stderr
