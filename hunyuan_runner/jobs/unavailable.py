"""Why the job database cannot serve now, in words for users."""

from __future__ import annotations

LOCKED = "Another program keeps the job database locked. Nothing was changed; try again later."
DISK_FULL = (
    "The disk of the data folder is full. Nothing was changed; free space on it, then try again."
)
TOO_BUSY = "The job database is too busy. Nothing was changed; try again later."
NO_ANSWER = "The job database does not answer. Nothing was changed; try again later."
READ_ONLY = "The disk of the data folder is read-only. Nothing was changed; make it writable."
DATABASE_READ_ONLY = "The job database is read-only. Nothing was changed; make it writable."
DAMAGED = "The job database is damaged; see the service's log."

# By what SQLite or Postgres says in an error.
SIGNS = {
    "disk is full": DISK_FULL,
    "readonly database": READ_ONLY,
    "read-only transaction": DATABASE_READ_ONLY,
    "database is locked": LOCKED,
    "lock timeout": LOCKED,
    "malformed": DAMAGED,
    "not a database": DAMAGED,
}


class JobsUnavailable(Exception):
    """The job database cannot serve now. What was asked of it may be tried again later."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.message = message  # one of those above
        self.reason = reason  # for the log: what the database says, in one line


def known_trouble(words: str) -> str | None:
    """The message for what the database says; None if our statement may be at fault."""
    return next((message for sign, message in SIGNS.items() if sign in words), None)


def reason_of(error: Exception) -> str:
    """What went wrong, in one line: what the database says, without the statement."""
    if isinstance(error, JobsUnavailable):
        return error.reason
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
