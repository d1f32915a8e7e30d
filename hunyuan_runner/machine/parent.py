"""A process that ends when its parent does, however that ended."""

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
    """End this process by SIGKILL as soon as `parent`, the process that started it, has ended.

    On Linux the kernel sends the signal, also while something holds the interpreter. It does so
    when the *thread* of the parent ends that started this process.
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
