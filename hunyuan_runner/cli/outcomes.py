"""What `hunyuan check` and `hunyuan doctor` find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Outcome:
    """The outcome of one check. `got` is what was found; `advice` says what to do about it.

    A warning does not keep a service from working.
    """

    name: str
    status: Literal["ok", "warning", "failed", "skipped"]
    milliseconds: float = 0.0
    expected: str = ""
    got: str = ""
    advice: str = ""


class Failed(Exception):
    """What was found was not as expected."""

    def __init__(self, got: str, advice: str = "") -> None:
        self.got = got
        self.advice = advice


class Doubtful(Exception):
    """What was found works, but not as well as it could."""

    def __init__(self, got: str, advice: str) -> None:
        self.got = got
        self.advice = advice


class Inapplicable(Exception):
    """The check does not apply here; the message says why."""
