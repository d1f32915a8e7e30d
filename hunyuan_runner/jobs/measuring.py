"""Measures how fast this machine is, once, in a child process, for the installed models.

It is done part by part, while no job waits: a job interrupts the part that is being measured, and
the parts that are finished are kept.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from pydantic import TypeAdapter

from hunyuan_runner.machine.host import engine_threads, environment_of_child
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.machine.precision import Precision
from hunyuan_runner.quoting.profile import (
    Measured,
    Profile,
    keep_measured,
    load_measured,
    missing_parts,
)
from hunyuan_runner.settings import Settings

TIMEOUT_SECONDS = 180  # it takes up to 30 on an idle machine
TICK_SECONDS = 0.1

_RATES = TypeAdapter(dict[str, float])

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """Measuring was interrupted, because a job came or the worker stops."""


def measure_machine(settings: Settings, is_wanted: Callable[[], bool]) -> None:
    """Measure what is not known yet about this machine, and keep it in the data folder.

    If that fails, the reason is logged and estimates stay guesses. `is_wanted` is polled ten times
    a second. If it returns True, raises Interrupted; finished parts are kept.
    """
    known, profile = load_measured(settings), Profile.of_this_machine(settings)
    wanted = {
        profile.measured_key(model_id): (model_id, ability.precision)
        for model_id, ability in profile.models.items()
        if ability.installed
    }
    for key, (model_id, precision) in wanted.items():
        if not (parts := missing_parts(known.get(key, {}))):
            continue
        started = time.monotonic()
        try:
            for rates in _measure(settings, model_id, precision, parts, is_wanted):
                keep_measured(settings, key, rates)
        except (OSError, RuntimeError, ValueError):  # clips can be rendered without
            logger.warning(
                "%s could not be measured; estimates are guesses", model_id, exc_info=True
            )
        else:
            logger.info("measured %s in %.1f s", model_id, time.monotonic() - started)


def _measure(
    settings: Settings,
    model_id: str,
    precision: Precision,
    parts: Sequence[str],
    is_wanted: Callable[[], bool],
) -> Iterator[Measured]:
    """The rates of each part, as soon as they are known."""
    arguments = (
        engine_threads(settings),
        *WantedKernels.of(settings).as_arguments(),
        model_id,
        precision,
        settings.model_dir(model_id),
        *parts,
    )
    with subprocess.Popen(
        [sys.executable, "-m", "hunyuan_runner.engine.measure", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        bufsize=0,
        env=environment_of_child(),
        start_new_session=True,  # a terminal's Ctrl-C is for the parent
    ) as process:
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        try:
            is_running = True
            while is_running:
                is_running = process.poll() is None
                # A pipe passes on a short line as a whole.
                for line in (process.stdout.read() or b"").splitlines():
                    yield _RATES.validate_json(line)
                if is_wanted():
                    raise Interrupted
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {TIMEOUT_SECONDS} s")
                time.sleep(TICK_SECONDS)
        finally:
            with suppress(ProcessLookupError):  # it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)  # with a compiler that it runs
    if process.returncode != 0:
        raise RuntimeError(f"the benchmark ended with exit code {process.returncode}")
