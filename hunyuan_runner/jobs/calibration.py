"""Measures this machine once, in a child process, for the models that are installed."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time

from pydantic import TypeAdapter

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.estimate import Rates
from hunyuan_runner.host import usable_cores
from hunyuan_runner.profile import Profile, keep_measured, load_measured, measured_key
from hunyuan_runner.settings import Settings

TIMEOUT_SECONDS = 180  # it takes up to 30, where nothing else wants the cores
TICK_SECONDS = 0.1

logger = logging.getLogger(__name__)


def calibrate(settings: Settings, stopping: threading.Event) -> None:
    """Measure what is not known yet of this machine, and keep it in the data folder.

    Where that fails the log has why, and times stay guesses.
    """
    known = load_measured(settings)
    wanted = {
        measured_key(MODELS[model_id], ability.precision): f"{model_id}:{ability.precision}"
        for model_id, ability in Profile.of_this_machine(settings).models.items()
        if ability.installed
    }
    missing = {key: subject for key, subject in wanted.items() if key not in known}
    if not missing:
        return
    started = time.monotonic()
    try:
        measured = _measure(settings, list(missing.values()), stopping)
        fresh = {key: measured[subject] for key, subject in missing.items() if subject in measured}
        keep_measured(settings, known | fresh)
    except Exception:  # whatever it is, clips can be rendered without
        logger.warning("this machine could not be measured; times are guesses", exc_info=True)
    else:
        seconds = time.monotonic() - started
        logger.info("measured %s in %.1f s", ", ".join(missing.values()), seconds)


def _measure(
    settings: Settings, subjects: list[str], stopping: threading.Event
) -> dict[str, Rates]:
    """By subject; nothing if it was stopped half-way."""
    arguments = [
        str(settings.threads or usable_cores()),
        str(settings.kernels_dir),
        *(f"{subject}:{settings.model_dir(subject.partition(':')[0])}" for subject in subjects),
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "hunyuan_runner.engine.calibrate", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,  # a terminal's Ctrl-C is for the parent to act on
    ) as process:
        try:
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while process.poll() is None and not stopping.wait(TICK_SECONDS):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not done after {TIMEOUT_SECONDS} s")
        finally:
            process.kill()
        if stopping.is_set():
            return {}
        assert process.stdout is not None
        told = process.stdout.read()  # a line, less than a pipe holds
    if process.returncode != 0:
        raise RuntimeError(f"the benchmark ended with exit code {process.returncode}")
    return TypeAdapter(dict[str, Rates]).validate_python(json.loads(told))
