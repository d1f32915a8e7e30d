"""What goes over the pipe between the engine and its child process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hunyuan_runner.engine.events import Event
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import GenerationParams


@dataclass(frozen=True)
class Generate:
    """Parent to child: render a clip into `frames`, going on from `checkpoint` if there is one.

    With `draft_after`, stop behind that step, and render what the clip is then expected to become.
    `decode_attempt` counts the children that died decoding this checkpoint, but for the first: each
    one more asks for smaller tiles.
    """

    number: int
    params: GenerationParams
    model_dir: Path
    precision: Precision
    checkpoint: bytes | None
    draft_after: int | None
    decode_attempt: int
    frames: Path


@dataclass(frozen=True)
class Stop:
    """Parent to child: leave generation `number` at the end of its current step."""

    number: int


@dataclass(frozen=True)
class Halted:
    """The generation was left because of a `Stop`; the child is ready for another."""


@dataclass(frozen=True)
class Report:
    """Child to parent: `event` happened in generation `number`."""

    number: int
    event: Event | Halted
