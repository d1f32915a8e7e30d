"""Times, sizes and amounts, as the page words them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from hunyuan_runner.wire import JobState

# Each unit in seconds, and below how many seconds a range is written in it.
UNITS = (
    ("s", 1, 100),
    ("min", 60, 100 * 60),
    ("h", 3600, 72 * 3600),
    ("d", 24 * 3600, math.inf),
)

STATES: Mapping[str, str] = {
    JobState.PENDING: "Waiting",
    JobState.PAUSED: "Paused",
    JobState.IN_PROGRESS: "Rendering",
    JobState.COMPLETED: "Finished",
    JobState.FAILED: "Failed",
    JobState.CANCELED: "Canceled",
}


class Range(Protocol):
    """Seconds, with the range they should fall in."""

    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def duration(seconds: float) -> str:
    """In the unit that people would use: 8 s, 3 min, 1 h 20 min, 2 d 3 h."""
    if seconds < 59.5:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def duration_range(seconds: Range) -> str:
    """Such as 36–70 s, 3–22 h or 40 s – 5 min: in one unit if the low end is one of it or more."""
    unit, size = next((unit, size) for unit, size, most in UNITS if seconds.high < most)
    low, high = seconds.low / size, seconds.high / size
    if low < 0.95 and unit != "s":
        return f"{duration(seconds.low)} – {duration(seconds.high)}"
    digits = 1 if low < 3 and unit in ("h", "d") else 0
    ends = [f"{max(number, 1):.{digits}f}".removesuffix(".0") for number in (low, high)]
    return f"{'–'.join(dict.fromkeys(ends))} {unit}"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 1):.0f} MB"


def cost(amount: float) -> str:
    """In the unit of HUNYUAN_COST_PER_HOUR, with two digits that count: 0.0042, 1.50."""
    return f"{amount:.2f}" if amount >= 0.1 else f"{amount:.2g}"


def clip_length(clip: Any) -> str:
    """The seconds that a clip or preset plays."""
    return f"{clip.num_frames / clip.fps:.1f} s"


def timestamp(moment: datetime) -> str:
    """For the `datetime` attribute of <time>."""
    return moment.isoformat(timespec="seconds")


def date(moment: datetime) -> str:
    """Until a script shows it in the reader's time zone."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def state(name: str) -> str:
    """A state of a job, for people."""
    return STATES.get(name, name)


FILTERS: Mapping[str, Callable[..., str]] = {
    "clip_length": clip_length,
    "cost": cost,
    "date": date,
    "duration": duration,
    "duration_range": duration_range,
    "gigabytes": gigabytes,
    "state": state,
    "timestamp": timestamp,
}
