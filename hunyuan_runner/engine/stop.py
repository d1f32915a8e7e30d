"""Why work on a clip stops before its end, and how long it may take to do so."""

from __future__ import annotations

import math
import time
from enum import Enum


class Stop(Enum):
    """A reason to leave a clip unfinished. It can be resumed from its last checkpoint."""

    PAUSE = "a pause was requested"
    SHUTDOWN = "the worker is shutting down"
    CLAIM_LOST = "the job was canceled, or taken over by another worker"

    def grace_seconds(self, cancel_grace_seconds: float) -> float:
        """How long the step under way may still take. A pause waits for it, to lose no work."""
        return math.inf if self is Stop.PAUSE else cancel_grace_seconds


class Stopped(Exception):
    """The work was left unfinished, for `reason`."""

    def __init__(self, reason: Stop) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Deadline:
    """When work that was asked to stop is ended by force: after the shortest grace so far."""

    def __init__(self, cancel_grace_seconds: float) -> None:
        self._cancel_grace_seconds = cancel_grace_seconds
        self._at = math.inf

    def heed(self, stop: Stop) -> None:
        grace = stop.grace_seconds(self._cancel_grace_seconds)
        self._at = min(self._at, time.monotonic() + grace)

    @property
    def overdue_seconds(self) -> float:
        """How long ago the grace ended; negative until then."""
        return time.monotonic() - self._at
