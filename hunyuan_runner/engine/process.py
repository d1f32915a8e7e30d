"""The parent's side of the engine: a child process that renders clips and may be killed."""

from __future__ import annotations

import logging
import math
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine import exhaustion
from hunyuan_runner.engine.channel import Channel, Closed
from hunyuan_runner.engine.messages import (
    Event,
    Failed,
    Finished,
    Generate,
    Halt,
    Halted,
    OnEvent,
    StageStarted,
    StepFinished,
)
from hunyuan_runner.engine.stop import Deadline, Stop, Stopped
from hunyuan_runner.logs import JOB_ID, REQUEST_ID
from hunyuan_runner.machine.host import engine_threads, environment_of_child
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Cpu, Precision, choose
from hunyuan_runner.machine.scratch import Scratch
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.settings import Settings

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.1
LONGEST_TICK_SECONDS = 1.0  # a tick counts as no more silence than this
KILL_SECONDS = 10  # a killed child ends within this, unless it waits for a dead disk


class EngineDied(Exception):
    """The child process ended during a job. A retry from the checkpoint may succeed.

    As in subprocess, a negative `exit_code` is the signal that ended it.
    """

    code = "engine_died"

    def __init__(self, exit_code: int, stage: Stage | None) -> None:
        self.exit_code = exit_code
        self.stage = stage
        message = f"The engine {_describe_exit(exit_code)}, {_describe_stage(stage)}."
        if exit_code == exhaustion.EXIT_CODE:
            self.code = "out_of_memory"
            message += " Ask for a smaller or shorter clip, or give the worker more memory."
        super().__init__(message)


class EngineStalled(EngineDied):
    """The child process reported nothing for too long, and was killed."""

    code = "engine_stalled"

    def __init__(self, seconds: float, stage: Stage | None) -> None:
        super().__init__(-signal.SIGKILL, stage)
        self.seconds = seconds

    def __str__(self) -> str:
        return (
            f"The engine reported nothing for {self.seconds:.0f} seconds, "
            f"{_describe_stage(self.stage)}, and was killed. On the worker's machine, look for a "
            "stopped process or a disk that does not answer. HUNYUAN_STALL_SECONDS allows longer."
        )


class GenerationFailed(Exception):
    """The job failed, and a retry would fail again."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class _Child:
    process: subprocess.Popen[bytes]
    channel: Channel

    def end(self) -> None:
        self.process.kill()
        try:
            self.process.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            logger.warning(
                "the engine %d cannot be killed; continuing without it", self.process.pid
            )
        self.channel.close()


class _Silence:
    """How long the child has been silent, in seconds in which this process listened.

    If the machine sleeps, or all its processes are frozen, that is not the child's fault.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ticked_at = time.monotonic()

    def tick(self) -> None:
        now = time.monotonic()
        self.seconds += min(now - self._ticked_at, LONGEST_TICK_SECONDS)
        self._ticked_at = now

    def reset(self) -> None:
        self.seconds = 0.0


def _endless() -> float:
    return math.inf


class EngineProcess:
    """Renders one clip at a time in a child process, which starts when needed and keeps its model.

    Frames are written to a folder in `scratch`, which other engines may share. The caller deletes
    the files it receives.
    """

    def __init__(self, settings: Settings, scratch: Path) -> None:
        self._settings = settings
        self._scratch = Scratch(scratch)
        self._child: _Child | None = None
        # A child ends when the *thread* that started it ends, see die_with(). This thread lives
        # until close(), whichever thread calls generate().
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine-starter")
        self._number = 0
        self._stage: Stage | None = None
        self._model: str | None = None  # that the child holds, or held
        self._checkpoint: bytes | None = None
        self._decode_deaths = 0  # children that died decoding self._checkpoint

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if there is no child."""
        child = self._child  # once, because another thread may ask for the model
        return child.process.pid if child and child.process.poll() is None else None

    @property
    def model(self) -> str | None:
        """The id of the model that the child holds; None while it loads one, or without a child.

        Any thread may ask.
        """
        return self._model if self.pid is not None else None

    def generate(
        self,
        params: GenerationParams,
        checkpoint: bytes | None,
        on_event: OnEvent,
        stop_requested: Callable[[], Stop | None],
        draft_after: int | None = None,
        patience: Callable[[], float] = _endless,
    ) -> Finished:
        """Render one clip, from `checkpoint` if given, or its draft after step `draft_after`.

        `stop_requested` is polled. None: continue. A Stop: stop after the current step, and kill
        the child if that takes longer than the grace of that reason. `patience` is polled too: a
        child that reports nothing for so many seconds hangs, and is killed.

        Raises EngineDied, GenerationFailed or Stopped. What `on_event` raises ends the child and is
        raised again.
        """
        request = self._request(params, checkpoint, draft_after)
        try:
            return self._render(request, on_event, stop_requested, patience)
        except (GenerationFailed, Stopped):
            request.frames.unlink(missing_ok=True)
            raise
        except BaseException:
            self._end_child()
            request.frames.unlink(missing_ok=True)
            raise

    def unload(self) -> None:
        """End the child, which gives back the memory of its model. generate() starts another."""
        if self._child is not None:
            self._end_child()
            logger.info("the engine ended: there is no job, and its model's memory is free")

    def close(self) -> None:
        """End the child. Its work up to the last report is kept."""
        self._end_child()
        self._starter.shutdown()
        self._scratch.close()

    def _request(
        self, params: GenerationParams, checkpoint: bytes | None, draft_after: int | None
    ) -> Generate:
        self._number += 1
        self._stage = None
        self._remember(checkpoint)
        return Generate(
            number=self._number,
            params=params,
            model_dir=self._settings.model_dir(params.model),
            precision=self._precision(params.model),
            checkpoint=checkpoint,
            draft_after=draft_after,
            # Smaller tiles change the clip's last bits, and the first death may have had another
            # cause than a lack of memory.
            decode_attempt=max(0, self._decode_deaths - 1),
            frames=self._scratch.folder / f"frames-{self._number}.npy",
            fast_decoder=self._fast_decoder(params.model),
            job_id=JOB_ID.get(),
            request_id=REQUEST_ID.get(),
        )

    def _precision(self, model: str) -> Precision:
        parameters = MODELS[model].parameters if model in MODELS else 0
        choice = choose(self._settings.precision, parameters, Cpu.here())
        logger.info("%s is computed in %s: %s", model, choice.precision, choice.reason)
        return choice.precision

    def _fast_decoder(self, model: str) -> Path | None:
        return MODELS[model].fast_decoder_in(self._settings.models_dir) if model in MODELS else None

    def _remember(self, checkpoint: bytes | None) -> None:
        if checkpoint != self._checkpoint:
            self._checkpoint = checkpoint
            self._decode_deaths = 0

    def _render(
        self,
        request: Generate,
        on_event: OnEvent,
        stop_requested: Callable[[], Stop | None],
        patience: Callable[[], float],
    ) -> Finished:
        child = self._living_child()
        stopping: Stop | None = None
        deadline = Deadline(self._settings.cancel_grace_seconds)
        silence = _Silence()
        try:
            child.channel.send(request)
            while True:
                if (stop := stop_requested()) is not None:
                    if stopping is None:
                        child.channel.send(Halt(request.number))
                    stopping = stop
                    deadline.heed(stop)
                if deadline.overdue_seconds > 0:
                    child.process.kill()
                if deadline.overdue_seconds > KILL_SECONDS or silence.seconds > patience():
                    self._end_child()
                    if stopping is not None:
                        raise Stopped(stopping)
                    raise EngineStalled(silence.seconds, self._stage)
                report = child.channel.receive(TICK_SECONDS)
                if report is None:
                    silence.tick()
                    continue
                silence.reset()
                if report.number != request.number:
                    continue  # a late report of a generation that was stopped
                match report.event:
                    case Finished() as finished if stopping is None:
                        return finished
                    case Finished() | Halted():
                        assert stopping is not None
                        raise Stopped(stopping)
                    case Failed(code, message):
                        raise GenerationFailed(code, message)
                    case event:
                        self._note(event, request.params.model)
                        on_event(event)
        except Closed:
            exit_code = child.process.wait()
            if stopping is not None:
                raise Stopped(stopping) from None
            if self._stage is Stage.DECODING:
                certain = exit_code == exhaustion.EXIT_CODE
                self._decode_deaths = max(self._decode_deaths, int(certain)) + 1
            raise EngineDied(exit_code, self._stage) from None

    def _note(self, event: Event, model: str) -> None:
        match event:
            case StageStarted(stage):
                self._stage = stage
                self._model = None if stage is Stage.LOADING else model
            case StepFinished(checkpoint=checkpoint):
                self._remember(checkpoint)

    def _living_child(self) -> _Child:
        if self._child is None or self.pid is None:
            self._end_child()
            self._child = self._start_child()
        return self._child

    def _start_child(self) -> _Child:
        ours, theirs = multiprocessing.Pipe()
        settings = self._settings
        threads = engine_threads(settings)
        kernels = WantedKernels.of(settings).as_arguments()
        places = (settings.prompts_dir, settings.verified_weights)
        log = (settings.log_level, settings.log_format)
        arguments = [theirs.fileno(), threads, *kernels, *places, *log]
        with theirs:
            process = self._starter.submit(
                subprocess.Popen[bytes],
                [sys.executable, "-m", "hunyuan_runner.engine.child", *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment_of_child(),
                start_new_session=True,  # a terminal's Ctrl-C is for the parent
            ).result()
        return _Child(process, Channel(ours))

    def _end_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


def _describe_stage(stage: Stage | None) -> str:
    return "before it began" if stage is None else f"while {stage}"


def _describe_exit(exit_code: int) -> str:
    if exit_code == exhaustion.EXIT_CODE:
        return "ran out of memory"
    if exit_code == -signal.SIGKILL:
        return "was killed (SIGKILL), most likely out of memory"
    if exit_code < 0:
        return f"was ended by {signal.Signals(-exit_code).name}"
    return f"exited with code {exit_code}"
