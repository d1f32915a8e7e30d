"""A worker process with a renderer that counts instead of denoising.

Run it as `python -m tests.jobs.worker_process`, with settings from the environment; SIGTERM stops
it. The prompt can cause trouble: at step 2 `poison` is killed, `hungry` gets no memory and `stuck`
hangs; `broken` fails, and `slow` takes 0.2 seconds for each step.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from hunyuan_runner.engine import exhaustion
from hunyuan_runner.engine.messages import Event, Finished, Resumed, StageStarted, StepFinished
from hunyuan_runner.engine.process import (
    EngineDied,
    EngineStalled,
    GenerationFailed,
)
from hunyuan_runner.engine.stop import Stop, Stopped
from hunyuan_runner.jobs.worker import Worker
from hunyuan_runner.params import GenerationParams, Stage
from hunyuan_runner.settings import Settings


class CountingRenderer:
    """Its checkpoint is the number of finished steps, and so is every value of its frames."""

    model: str | None = "demo"  # it loads none

    def generate(
        self,
        params: GenerationParams,
        checkpoint: bytes | None,
        on_event: Callable[[Event], None],
        stop_requested: Callable[[], Stop | None],
        draft_after: int | None = None,
        patience: Callable[[], float] = lambda: math.inf,
    ) -> Finished:
        on_event(StageStarted(Stage.ENCODING))
        first = int(checkpoint or 0)
        if checkpoint:
            on_event(Resumed(first))
        on_event(StageStarted(Stage.DENOISING))
        last = draft_after or params.num_inference_steps
        for step in range(first + 1, last + 1):
            time.sleep(0.2 if "slow" in params.prompt else 0.005)
            if (stop := stop_requested()) is not None:
                raise Stopped(stop)
            if "poison" in params.prompt and step == 2:
                raise EngineDied(-signal.SIGKILL, Stage.DENOISING)
            if "hungry" in params.prompt and step == 2:
                raise EngineDied(exhaustion.EXIT_CODE, Stage.DENOISING)
            if "stuck" in params.prompt and step == 2:
                raise EngineStalled(patience(), Stage.DENOISING)
            if "broken" in params.prompt:
                raise GenerationFailed("generation_failed", "it was asked to fail")
            on_event(StepFinished(step, str(step).encode()))
        on_event(StageStarted(Stage.DECODING))
        frames = Path(mkdtemp(dir=Settings().data_dir)) / "frames.npy"
        shape = (params.num_frames, params.height, params.width, 3)
        np.save(frames, np.full(shape, last, np.uint8))
        return Finished(frames, "none", 1)

    def unload(self) -> None:
        pass

    def close(self) -> None:
        pass


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    worker = Worker(Settings(), CountingRenderer())
    worker.start()
    print("ready", os.getpid(), flush=True)
    stop.wait()
    worker.stop()


if __name__ == "__main__":
    main()
