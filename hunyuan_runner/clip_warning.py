"""What people should know of a clip that is taken all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WarningCode = Literal["prompt_cut", "unknown_words", "no_worker", "queue_too_long"]


@dataclass(frozen=True)
class ClipWarning:
    """Why a clip, or its time, may not be what was asked: a stable code, a sentence for people."""

    code: WarningCode
    message: str
