"""How to recognise an error that comes from a lack of memory. No torch here."""

from __future__ import annotations

import errno

EXIT_CODE = 77  # of a child that ran out of memory
_WORDS = (
    "can't allocate memory",  # torch
    "cannot allocate memory",  # the C library
    "could not create a primitive",  # oneDNN
    "bad_alloc",
    "out of memory",
    "can't start new thread",
)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether the error, or its cause, is a failed allocation.

    torch raises a plain RuntimeError if an allocation on the CPU fails.
    """
    while error is not None:
        if isinstance(error, MemoryError) or (
            isinstance(error, OSError) and error.errno == errno.ENOMEM
        ):
            return True
        text = str(error).lower()
        if any(word in text for word in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
