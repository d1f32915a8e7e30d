"""The legs of a clip: the stretches of its steps that were each computed on one path.

Most clips have one. One that a runner of another path continued has more, and differs in its last
bits from a clip that ran through. Its job has a warning that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from hunyuan_runner.wire import ClipWarning


class Leg(NamedTuple):
    """`path` (see skills.path_of) computed the steps from `first` on; the first of all is 1.

    Decoding counts as the step after the last.
    """

    first: int
    path: str


Legs = Sequence[Leg]


def legs_of(row: sa.Row[Any]) -> Legs:
    """The legs of the job of this row."""
    if row.legs is None and row.path is not None:  # an earlier version began it
        return [Leg(1, row.path)]
    return [Leg(*leg) for leg in row.legs or ()]


def extended(legs: Legs, step: int, path: str) -> Legs:
    """The legs after `path` has computed `step`, and perhaps steps before it.

    Steps from there on no longer count: they were lost with the checkpoints after them.
    """
    kept = [leg for leg in legs if leg.first < step]
    return kept if kept and kept[-1].path == path else [*kept, Leg(step, path)]


def in_words(legs: Legs, model_id: str, steps: int) -> str:
    """Which of the `steps` were computed how, as text for people."""
    ends = [*(leg.first - 1 for leg in legs[1:]), steps]
    return "; ".join(
        f"{_steps(leg.first, min(end, steps), steps)} {leg.path.removeprefix(f'{model_id} ')}"
        for leg, end in zip(legs, ends, strict=True)
    )


def _steps(first: int, last: int, steps: int) -> str:
    if first > steps:
        return "decoding"
    return f"step {first}" if first == last else f"steps {first}-{last}"


def continued_elsewhere(legs: Legs, model_id: str, steps: int) -> tuple[ClipWarning, ...]:
    """The warning for a clip that was not computed on one path alone."""
    if len(legs) < 2:
        return ()
    return (
        ClipWarning(
            code="continued_elsewhere",
            message="Runners that do not compute the same bits worked on this clip, so it differs "
            f"slightly from one that a single runner computes: {in_words(legs, model_id, steps)}.",
        ),
    )
