"""Ends a process when its parent ends, in whatever way that happens."""

from __future__ import annotations

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>


def die_with(parent: int) -> None:
    """End this process with SIGKILL when `parent`, the process that started it, ends.

    The kernel sends the signal, even while something holds the interpreter. It sends it when the
    *thread* that started this process ends, so that thread has to live on.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)
