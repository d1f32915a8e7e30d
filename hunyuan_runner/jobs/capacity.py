"""How much work there is, and how many runners it needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Seconds = float


@dataclass(frozen=True)
class Load:
    """The work there is, of one model or of several."""

    queued: int = 0  # jobs
    queued_seconds: Seconds = 0.0  # to render them one after another
    remaining: tuple[Seconds, ...] = ()  # of each job that is rendered now

    def __add__(self, other: Load) -> Load:
        return Load(
            self.queued + other.queued,
            self.queued_seconds + other.queued_seconds,
            self.remaining + other.remaining,
        )

    def runners_wanted(self, target_wait: Seconds) -> int:
        """With how many runners every queued job begins after `target_wait` at most.

        The runners that render now are among them: they keep their jobs, and take queued ones only
        in what is left of the target. A queued job needs one runner, however long it takes.
        """
        spare = sum(max(0.0, target_wait - left) for left in self.remaining)
        more = math.ceil(max(0.0, self.queued_seconds - spare) / target_wait)
        return len(self.remaining) + min(self.queued, more)


@dataclass(frozen=True)
class Capacity:
    """The work there is, and the live runners."""

    loads: Mapping[str, Load]  # by model
    runners: Mapping[str, int]  # that have the model, by model
    live: int

    @property
    def load(self) -> Load:
        """Of all models."""
        return sum(self.loads.values(), Load())
