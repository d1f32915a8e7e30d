"""Measures how fast this machine is, once, in a child process, for the installed models."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable

from pydantic import TypeAdapter

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.machine.host import engine_threads
from hunyuan_runner.machine.instructions import WantedKernels
from hunyuan_runner.quoting.estimate import Rates
from hunyuan_runner.quoting.profile import Profile, keep_measured, load_measured, measured_key
from hunyuan_runner.settings import Settings

TIMEOUT_SECONDS = 180  # it takes up to 30 on an idle machine
TICK_SECONDS = 0.1

logger = logging.getLogger(__name__)


class Interrupted(Exception):
    """Measuring was interrupted, because a job came or the worker stops."""


def measure_machine(settings: Settings, is_wanted: Callable[[], bool]) -> None:
    """Measure what is not known yet about this machine, and keep it in the data folder.

    If that fails, the reason is logged and estimates stay guesses. `is_wanted` is polled ten times
    a second. If it returns True, raises Interrupted; finished measurements are kept.
    """
    known = load_measured(settings)
    wanted = {
        measured_key(MODELS[model_id], ability.precision): f"{model_id}:{ability.precision}"
        for model_id, ability in Profile.of_this_machine(settings).models.items()
        if ability.installed
    }
    for key, subject in wanted.items():
        if key in known:
            continue
        started = time.monotonic()
        try:
            known[key] = _measure(settings, subject, is_wanted)
            keep_measured(settings, known)
        except (OSError, RuntimeError, ValueError, KeyError):  # clips can be rendered without
            logger.warning(
                "%s could not be measured; estimates are guesses", subject, exc_info=True
            )
        else:
            logger.info("measured %s in %.1f s", subject, time.monotonic() - started)


def _measure(settings: Settings, subject: str, is_wanted: Callable[[], bool]) -> Rates:
    arguments = [
        str(engine_threads(settings)),
        *WantedKernels(settings.kernels_dir).as_arguments(),
        f"{subject}:{settings.model_dir(subject.partition(':')[0])}",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "hunyuan_runner.engine.measure", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # a terminal's Ctrl-C is for the parent
    ) as process:
        try:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while process.poll() is None:
                if is_wanted():
                    raise Interrupted
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {TIMEOUT_SECONDS} s")
                time.sleep(TICK_SECONDS)
        finally:
            process.kill()
        assert process.stdout is not None
        rates = process.stdout.read()  # one line, which fits in a pipe
    if process.returncode != 0:
        raise RuntimeError(f"the benchmark ended with exit code {process.returncode}")
    return TypeAdapter(dict[str, Rates]).validate_python(json.loads(rates))[subject]
