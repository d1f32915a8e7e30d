"""Which operating systems the server runs on."""

from __future__ import annotations

import platform
import sys


def unsupported_system() -> str | None:
    """Why the server cannot run here, and what to do; None on Linux.

    Its processes share sockets and locked files, and the kernel ends them with their parent.
    """
    if sys.platform == "linux":
        return None
    return (
        f"the server runs on Linux (x86-64 or Arm), and this is {platform.system()}. Run it in a "
        "Linux container; the client and the other commands work here."
    )
