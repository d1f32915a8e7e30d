"""An engine whose child waits after each event until the test has acted on it.

The child of a real engine goes on while its parent reads an event. A test that kills it there, on a
busy machine, can be too late: a tiny clip is done within milliseconds. Nothing of the engine is
replaced: `child/sitecustomize.py`, which Python imports at its start, puts the wait between an
event and the next piece of work.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hunyuan_runner.engine.messages import Event, Finished, OnEvent
from hunyuan_runner.engine.process import EngineProcess
from hunyuan_runner.params import GenerationParams
from hunyuan_runner.settings import Settings

PATH_OF_CHILD = Path(__file__).with_name("child")


class LockstepEngine(EngineProcess):
    """Renders as EngineProcess does. Its child waits while `on_event` is called."""

    def __init__(self, settings: Settings, scratch: Path) -> None:
        super().__init__(settings, scratch)
        self._gate = settings.data_dir / "lockstep-gate"
        os.mkfifo(self._gate)

    def generate(
        self,
        params: GenerationParams,
        checkpoint: bytes | None,
        on_event: OnEvent,
        *rest: Any,
        **options: Any,
    ) -> Finished:
        def while_the_child_waits(event: Event) -> None:
            with self._waiting_child():
                on_event(event)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "path", [str(PATH_OF_CHILD), *sys.path])
            patch.setenv("LOCKSTEP_GATE", str(self._gate))
            return super().generate(params, checkpoint, while_the_child_waits, *rest, **options)

    @contextlib.contextmanager
    def _waiting_child(self) -> Iterator[None]:
        """Hold the gate's end for writing: the child, which reads from it, waits for its end."""
        gate = None
        while gate is None and self.pid is not None:
            try:
                gate = os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # the child is not there yet
                time.sleep(0.001)
        try:
            yield
        finally:
            if gate is not None:
                os.close(gate)
