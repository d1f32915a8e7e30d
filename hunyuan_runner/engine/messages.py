"""What goes over the pipe between the engine and its child process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import Decoder, GenerationParams, Stage


@dataclass(frozen=True)
class Generate:
    """Parent to child: render a clip into the file `frames`, from `checkpoint` if there is one.

    With `draft_after`, stop after that step and render what the clip is expected to become.
    `decode_attempt` is how many times smaller tiles are needed than the first try would use.
    `fast_decoder` is the file with the weights of the model's fast decoder, if it is installed.
    """

    number: int
    params: GenerationParams
    model_dir: Path
    precision: Precision
    checkpoint: bytes | None
    draft_after: int | None
    decode_attempt: int
    frames: Path
    fast_decoder: Path | None = None
    job_id: str | None = None  # for the log, as is the next one
    request_id: str | None = None


@dataclass(frozen=True)
class Halt:
    """Parent to child: leave generation `number` at the end of its current step."""

    number: int


@dataclass(frozen=True)
class Report:
    """Child to parent: `event` happened in generation `number`."""

    number: int
    event: Event | Halted


@dataclass(frozen=True)
class Halted:
    """The child obeyed a `Halt` and is ready for another generation."""


@dataclass(frozen=True)
class StageStarted:
    """The job entered `stage`."""

    stage: Stage


@dataclass(frozen=True)
class Resumed:
    """The checkpoint is usable: generation continues after `step`."""

    step: int


@dataclass(frozen=True)
class StepFinished:
    """`step` of num_inference_steps is done; generation can continue from `checkpoint`."""

    step: int
    checkpoint: bytes


@dataclass(frozen=True)
class TileFinished:
    """While decoding, `tile` of `tiles` equal ones is done; of latent frames with the fast
    decoder."""

    tile: int
    tiles: int


@dataclass(frozen=True)
class Preview:
    """A JPEG of what the clip is becoming."""

    image: bytes


@dataclass(frozen=True)
class Finished:
    """The frames are in the .npy file `frames` (THWC, uint8).

    Their last bits depend on what they were computed with: the `precision`, the number of
    `threads`, and the form of `attention` of the kernels, whose instruction set is `instructions`.
    Both are None if torch computed the transformer.
    A draft may be of another decoder than the clip will be.
    """

    frames: Path
    precision: str
    threads: int
    instructions: str | None = None
    attention: str | None = None
    decoder: Decoder = "full"


@dataclass(frozen=True)
class Failed:
    """The job failed, and would fail again."""

    code: str
    message: str


Event = StageStarted | Resumed | StepFinished | TileFinished | Preview | Finished | Failed
OnEvent = Callable[[Event], None]
