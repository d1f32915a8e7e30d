"""Times, sizes and amounts, as the page words them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol


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
    """Such as 8–12 s; one figure if both ends round to the same."""
    low, high = duration(seconds.low), duration(seconds.high)
    if low == high:
        return low
    (number, _, unit), (_, _, high_unit) = low.partition(" "), high.partition(" ")
    return f"{number}–{high}" if unit == high_unit else f"{low} – {high}"


def gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{max(count / 1e6, 1):.0f} MB"


def clip_length(clip: Any) -> str:
    """The seconds that a clip or preset plays."""
    seconds = clip.num_frames / clip.fps
    return f"{seconds:.1f} s"


def timestamp(moment: datetime) -> str:
    """For the `datetime` attribute of <time>."""
    return moment.isoformat(timespec="seconds")


FILTERS: Mapping[str, Callable[..., str]] = {
    "clip_length": clip_length,
    "duration": duration,
    "duration_range": duration_range,
    "gigabytes": gigabytes,
    "timestamp": timestamp,
}
