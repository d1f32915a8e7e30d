"""How long a client keeps trying, and how long it pauses in between."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from hunyuan_runner.client.errors import HunyuanError
from hunyuan_runner.client.views import Job

DEFAULT_TIMEOUT = 10.0  # seconds, of one answer
DEFAULT_RETRIES = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0  # seconds between two tries; each pause doubles the last
LONGEST_RETRY_AFTER = 60.0  # seconds; a service that asks for more is not waited for
SILENCE_SECONDS = 300.0  # a service that is followed may be gone this long, to restart or move
FIRST_LOOK, LONGEST_LOOK = 0.2, 5.0  # seconds between two looks at a job
LOOKS = 20  # at a job, in the time it still needs
DOWNLOAD_TRIES = 5  # in a row that bring no byte


@dataclass(frozen=True)
class Retry:
    """A request failed and will be sent again."""

    error: HunyuanError
    pause: float  # seconds until then
    failures: int  # in a row


class Patience:
    """Decides whether something that failed is tried again, and when.

    It ends after `tries` failures in a row, `seconds` after the first of them, or at `deadline`
    (of `time.monotonic`), whichever comes first.
    """

    def __init__(
        self,
        on_retry: Callable[[Retry], None],
        *,
        tries: float = math.inf,
        seconds: float = math.inf,
        deadline: float = math.inf,
    ) -> None:
        self._on_retry = on_retry
        self._tries = tries
        self._seconds = seconds
        self._deadline = deadline
        self._failures = 0
        self._until = deadline

    def succeed(self) -> None:
        self._failures = 0

    def pause_after(self, error: HunyuanError) -> float:
        """Seconds until the next try. Raises `error` if there is none."""
        if not error.temporary:
            raise error
        if self._failures == 0:
            self._until = min(self._deadline, time.monotonic() + self._seconds)
        self._failures += 1
        pause = error.retry_after
        if pause is None:
            doubled = FIRST_PAUSE * 2 ** min(self._failures - 1, 10)
            pause = min(doubled, LONGEST_PAUSE) * random.uniform(0.75, 1)
        over = self._failures > self._tries or time.monotonic() + pause > self._until
        if over or pause > LONGEST_RETRY_AFTER:
            raise error
        self._on_retry(Retry(error, pause, self._failures))
        return pause


class Looks:
    """When to look at a job again: often at first, then as its ETA suggests."""

    def __init__(self) -> None:
        self._longest = FIRST_LOOK

    def pause_after(self, job: Job) -> float:
        """Seconds until the next look at a job that has not ended."""
        self._longest = min(self._longest * 1.5, LONGEST_LOOK)
        expected = job.eta_seconds.expected if job.eta_seconds else math.inf
        return min(self._longest, max(FIRST_LOOK, expected / LOOKS))
