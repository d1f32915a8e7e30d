"""Ends a process when its parent ends, in whatever way that happens."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>
POLL_SECONDS = 1.0


def die_with(parent: int) -> None:
    """End this process with SIGKILL when `parent`, the process that started it, ends.

    On Linux the kernel sends the signal, even while something holds the interpreter. It sends it
    when the *thread* that started this process ends, so that thread has to live on.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        _die_without(parent)  # it may have ended before the kernel was asked
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()


def _watch(parent: int) -> None:
    while True:
        _die_without(parent)
        time.sleep(POLL_SECONDS)


def _die_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
