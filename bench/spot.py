"""What it costs that a machine is taken away in the middle of a render, as spot machines are.

The whole runner is killed (SIGKILL) several times while it renders one clip, and started again. The
cost of a kill is the CPU time from the start of the new runner until its first step is done, less
the time of that step: Python, the service, the engine, the model and the checkpoint. It is the same
for every clip of a model. What the killed runner had done of its step is lost as well.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.manifest import PublishedManifest
from hunyuan_runner.params import GenerationRequest
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.keys import manifest_key
from hunyuan_runner.storage.opening import open_storage
from hunyuan_runner.wire import JobState

ROOT = Path(__file__).parent.parent
KILLS = 3
PERIOD_SECONDS = 300  # between two kills of a spot machine
STEPS_BETWEEN = 4
CLIP = {"prompt": "A red circle", "width": 256, "height": 192, "num_frames": 33, "seed": 7} | {
    "num_inference_steps": 24,
    "step_cache": "off",
}

TEMPLATE = """\
## Spot machines

`python -m bench spot`: the runner of a clip of {steps} steps was killed {kills} times, the engine
with it. All on one thread, in CPU seconds, so that other load of the machine counts less.

| | |
|---|---|
| a step | {step:.2f} s |
| a kill, without the step under way | {kill:.1f} s ({low:.1f} to {high:.1f}) |
| of five minutes between two kills | {share:.1f} % |
| the clip, compared with one that was never interrupted | {same} |
"""


def run() -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), threads=1, calibrate=False, lease_seconds=2)
        jobs = Jobs(settings)
        params = GenerationRequest(**CLIP).resolve("demo", MODELS["demo"].presets)
        interrupted = jobs.submit(params).id
        runner = _Runner(settings)
        costs, steps = [], []
        for kill in range(KILLS + 1):
            before = jobs.get(interrupted).step
            runner.start()
            first = runner.cpu_at(jobs, interrupted, before + 1)
            later = runner.cpu_at(jobs, interrupted, before + 1 + STEPS_BETWEEN)
            steps.append((later - first) / STEPS_BETWEEN)
            if kill > 0:  # every render has a first start
                costs.append(first - steps[-1])
            if kill < KILLS:
                runner.kill()
        _wait_for(jobs, interrupted)
        # Only now, or a new runner would begin it while the lease of the killed one lasts.
        undisturbed = jobs.submit(params).id
        _wait_for(jobs, undisturbed)
        runner.kill()
        same = _digest(settings, interrupted) == _digest(settings, undisturbed)
        jobs.close()
    kill_seconds = statistics.mean(costs)
    return TEMPLATE.format(
        steps=CLIP["num_inference_steps"],
        kills=KILLS,
        step=statistics.median(steps),
        kill=kill_seconds,
        low=min(costs),
        high=max(costs),
        share=100 * kill_seconds / PERIOD_SECONDS,
        same="bit for bit the same" if same else "DIFFERENT",
    )


class _Runner:
    """A runner, as a machine of its own starts it."""

    def __init__(self, settings: Settings) -> None:
        self._environment = os.environ | {
            "HUNYUAN_DATA_DIR": str(settings.data_dir),
            "HUNYUAN_THREADS": "1",
            "HUNYUAN_CALIBRATE": "false",
            "HUNYUAN_LEASE_SECONDS": str(settings.lease_seconds),
            "HUNYUAN_LOG_LEVEL": "WARNING",
            "OMP_NUM_THREADS": "1",
            "BENTOML_HOME": str(settings.data_dir / "bentoml"),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        self._process: Any = None

    def start(self) -> None:
        command = [sys.executable, "-m", "bentoml", "serve", "service:HunyuanRunner"]
        self._process = psutil.Popen(
            [*command, "--host", "127.0.0.1", "--port", "0"],
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def cpu_at(self, jobs: Jobs, job_id: str, step: int) -> float:
        """CPU seconds of all its processes when the job has reached this step."""
        while jobs.get(job_id).step < step:
            time.sleep(0.02)
        seconds = 0.0
        for process in (self._process, *self._process.children(recursive=True)):
            times = process.cpu_times()
            seconds += times.user + times.system
        return seconds

    def kill(self) -> None:
        family = (self._process, *self._process.children(recursive=True))
        for process in family:
            process.send_signal(signal.SIGKILL)
        self._process.wait()


def _wait_for(jobs: Jobs, job_id: str) -> None:
    while jobs.get(job_id).state is not JobState.COMPLETED:
        time.sleep(0.1)


def _digest(settings: Settings, job_id: str) -> str:
    text = open_storage(settings).get(manifest_key(job_id))
    return PublishedManifest.model_validate_json(text).video_sha256
