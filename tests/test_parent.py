"""Processes that end when their parents do: real processes and real kills."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import psutil

# What the child of a process does about its parent.
IN_TIME = "parent.die_with(os.getppid())"
TOO_LATE = "parent.die_with(os.getppid() + 1)"

CHILD = """
import os, time
from hunyuan_runner.machine import parent
print(os.getpid(), flush=True)
{}
print("goes on", flush=True)
time.sleep(600)
"""
PARENT = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1]])
time.sleep(600)
"""


def test_a_process_ends_when_its_parent_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, CHILD.format(IN_TIME)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert parent.stdout.readline() == "goes on\n"
        parent.kill()
    with suppress(psutil.NoSuchProcess):
        child.wait(60)


def test_a_process_ends_whose_parent_was_gone_before_it_asked() -> None:
    child = subprocess.run(
        [sys.executable, "-c", CHILD.format(TOO_LATE)], capture_output=True, text=True, check=False
    )
    assert child.returncode == -9
    assert "goes on" not in child.stdout
