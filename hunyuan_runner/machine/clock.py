"""Whether the kernel's clock follows a time server."""

from __future__ import annotations

import ctypes

TIMEX_BYTES = 208  # of `struct timex` in <sys/timex.h>; all zero, it asks and changes nothing
TIME_ERROR = 5


def is_synchronised() -> bool | None:
    """None if the kernel does not say."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(2 * TIMEX_BYTES))
    return None if state < 0 else bool(state != TIME_ERROR)
