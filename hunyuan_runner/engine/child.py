"""The engine's child process: takes requests from the pipe, renders them and reports back.

It reports that loading began before it imports torch, which takes seconds.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import queue
import sys
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from hunyuan_runner.catalogue import MODELS, download_command, verify_command
from hunyuan_runner.engine import exhaustion
from hunyuan_runner.engine.messages import (
    Event,
    Failed,
    Generate,
    Halt,
    Halted,
    OnEvent,
    Report,
    StageStarted,
)
from hunyuan_runner.families.configuration import UnknownModel
from hunyuan_runner.logs import about, configure_logging
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.parent import die_with
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.params import Stage
from hunyuan_runner.settings import LogFormat
from hunyuan_runner.weights import WeightsAltered, verify_weights

if TYPE_CHECKING:
    from hunyuan_runner.engine.pipeline import VideoPipeline

logger = logging.getLogger(__name__)

NICENESS = 10
MAX_MESSAGE_LENGTH = 300


class HaltRequested(Exception):
    """The parent asked to leave the current generation."""


class Child:
    """Holds the pipeline of one model, and renders requests one by one."""

    def __init__(
        self,
        connection: Connection,
        threads: int,
        kernels: WantedKernels,
        prompts: Path,
        verified: Path,
    ) -> None:
        self._connection = connection
        self._threads = threads
        self._kernels = kernels
        self._prompts = prompts
        self._verified = verified
        self._pipeline: VideoPipeline | None = None
        self._requests: queue.SimpleQueue[Generate] = queue.SimpleQueue()
        self._halted_number = 0

    def run(self) -> None:
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            request = self._requests.get()
            with about(request.job_id, request.request_id):
                self._serve(request)

    def _listen(self) -> None:
        """Receive messages, even during a step, and end the process when the parent is gone."""
        while True:
            try:
                message: Generate | Halt = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            except MemoryError:
                os._exit(exhaustion.EXIT_CODE)
            match message:
                case Generate():
                    self._requests.put(message)
                case Halt(number):
                    self._halted_number = number

    def _serve(self, request: Generate) -> None:
        def report(event: Event) -> None:
            self._connection.send(Report(request.number, event))
            if self._halted_number == request.number:
                raise HaltRequested

        try:
            self._load(request, report).generate(request, report)
        except HaltRequested:
            self._connection.send(Report(request.number, Halted()))
        except Exception as error:
            try:
                logger.exception("The generation failed")
            finally:
                # The memory that is left is fragmented: the next request gets a new process.
                if exhaustion.is_out_of_memory(error):
                    os._exit(exhaustion.EXIT_CODE)
            self._connection.send(Report(request.number, describe_failure(error, request)))

    def _load(self, request: Generate, report: OnEvent) -> VideoPipeline:
        """The pipeline of the request's model, loaded in place of another model's if necessary."""
        if self._pipeline is None or self._pipeline.model_dir != request.model_dir:
            self._pipeline = None  # its memory is needed for the next one
            gc.collect()  # diffusers' hooks and its modules refer to each other
            report(StageStarted(Stage.LOADING))
            _import_pipeline()
            from hunyuan_runner.engine.components import Components
            from hunyuan_runner.engine.pipeline import VideoPipeline

            self._verify(request)
            components = Components(
                request.model_dir, request.precision, self._threads, self._kernels
            )
            self._pipeline = VideoPipeline(components, self._prompts)
        return self._pipeline

    def _verify(self, request: Generate) -> None:
        """Raises WeightsAltered, or ModelIncomplete."""
        from hunyuan_runner.engine.components import reading

        quantized = request.precision is Precision.INT8
        with reading():
            verify_weights(request.model_dir, quantized=quantized, note=self._verified)


def describe_failure(error: Exception, request: Generate) -> Failed:
    """The failure as clients see it; the traceback is in the log."""
    from hunyuan_runner.engine.components import FastDecoderUnusable, ModelIncomplete
    from hunyuan_runner.prompts.tokens import TokenizerUnusable

    if isinstance(error, UnknownModel):
        return Failed(
            "model_unavailable",
            f"This version cannot compute the model {request.params.model}: its {error}. "
            "Install a model that hunyuan models list names, or a newer version.",
        )
    if isinstance(error, ModelIncomplete):
        model = request.params.model
        return Failed(
            "model_unavailable",
            f"The model {model} is missing or incomplete. Download it: {download_command(model)}",
        )
    if isinstance(error, FastDecoderUnusable):
        model = request.params.model
        decoder = MODELS[model].fast_decoder if model in MODELS else None
        remedy = f"Fetch it: {download_command(decoder.id)}" if decoder else "Use the full one."
        return Failed(
            "model_unavailable",
            f"The fast decoder for {model} cannot be used: {error}. {remedy}",
        )
    if isinstance(error, TokenizerUnusable):
        return Failed(
            "model_unavailable",
            f"The model {request.params.model} would misread prompts: its {error}. "
            f"Verify its files: {verify_command(request.params.model)}",
        )
    if isinstance(error, WeightsAltered):
        return Failed(
            "model_unavailable",
            f"The weights of {request.params.model} were changed: {error}. "
            f"Find the damaged files: {verify_command(request.params.model)}",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Failed(
            "disk_full", "There is no space left on the disk for the frames. Free some space."
        )
    first_line = str(error).partition("\n")[0]
    return Failed("generation_failed", f"{type(error).__name__}: {first_line}"[:MAX_MESSAGE_LENGTH])


def _import_pipeline() -> None:
    """Import torch, diffusers and what uses them, with the garbage collector off.

    They create many objects and drop none. The collector would scan them again and again, which
    takes a fifth of the time.
    """
    if "torch" in sys.modules:  # what an earlier model left must not be kept for ever
        return
    gc.disable()
    try:
        import hunyuan_runner.engine.pipeline  # noqa: F401
    finally:
        gc.enable()
    gc.freeze()


def _go_first_when_memory_runs_out() -> None:
    """Let the kernel kill this process, whose clip can resume, and not the server."""
    with contextlib.suppress(OSError):  # some containers do not allow it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _let_others_go_first() -> None:
    """Requests to the server must not wait for a render."""
    os.nice(NICENESS)


def main(
    fd: str,
    threads: str,
    kernels_folder: str,
    instructions: str,
    attention: str,
    prompts: str,
    verified: str,
    log_level: str,
    log_format: LogFormat,
) -> None:
    configure_logging(log_level, log_format)
    _let_others_go_first()
    # _listen() ends the process as well, but not while something holds the interpreter.
    die_with(os.getppid())
    _go_first_when_memory_runs_out()
    kernels = WantedKernels.of_arguments(kernels_folder, instructions, attention)
    Child(Connection(int(fd)), int(threads), kernels, Path(prompts), Path(verified)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]
