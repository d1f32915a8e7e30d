"""What the engine's child process tells its parent, in the order it happens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hunyuan_runner.params import Stage


@dataclass(frozen=True)
class StageStarted:
    """The job entered `stage`."""

    stage: Stage


@dataclass(frozen=True)
class Resumed:
    """The checkpoint was good: generation goes on behind `step`."""

    step: int


@dataclass(frozen=True)
class StepFinished:
    """`step` of num_inference_steps is done; generation can go on from `checkpoint`."""

    step: int
    checkpoint: bytes


@dataclass(frozen=True)
class PartFinished:
    """`part` of the equal `parts` of the stage under way is done: while decoding, a tile."""

    part: int
    parts: int


@dataclass(frozen=True)
class Preview:
    """A JPEG of what the clip is becoming."""

    image: bytes


@dataclass(frozen=True)
class Finished:
    """The frames are in `frames`: an .npy file, uint8, THWC. What they were computed in and with
    how many threads decides their last bits."""

    frames: Path
    precision: str
    threads: int


@dataclass(frozen=True)
class Failed:
    """The job failed in a way that trying again would not mend."""

    code: str
    message: str


Event = StageStarted | Resumed | StepFinished | PartFinished | Preview | Finished | Failed
