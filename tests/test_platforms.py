"""The client and the command need nothing that only POSIX has; the server says that it does."""

from __future__ import annotations

import subprocess
import sys

# Libraries use what the system has, so they are imported before it is taken away.
ELSEWHERE = """
import os, signal, sys
import asyncio, httpx, pydantic, rich.progress, shutil, subprocess, tempfile, typer, socket
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "posix"):
    sys.modules[name] = None
for name in ("nice", "sysconf", "sched_getaffinity", "posix_fallocate", "fork", "killpg", "getuid"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1"):
    delattr(signal, name)
"""


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_client_and_the_command_import_nothing_that_only_posix_has() -> None:
    code = ELSEWHERE + "import hunyuan_runner.client\nfrom hunyuan_runner.cli import app\napp()"
    for arguments in (["--version"], ["generate", "--help"], ["keys", "new", "ana"]):
        done = run(code, *arguments)
        assert done.returncode == 0, done.stderr


def test_the_modules_taken_away_are_missed_by_the_server() -> None:
    done = run(ELSEWHERE + "import hunyuan_runner.storage.folder")
    assert "fcntl" in done.stderr


def test_the_server_refuses_another_system_in_a_line() -> None:
    command = "from hunyuan_runner.cli import commands\nimport sys\nsys.platform = 'darwin'\n"
    for code in (command + "commands(['serve'])", command + "import hunyuan_runner.service"):
        done = run(code)
        assert done.returncode == 1
        assert "the server runs on Linux" in done.stderr
        assert "Traceback" not in done.stderr
