"""Compares the estimated and the real seconds of clips of many sizes in a running service."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from bench.service import Service, running_service

TOLERANCE = 0.2
CALIBRATION_SECONDS = 60
PROMPT = "A cat walks on grass"
# width, height, num_frames, num_inference_steps
WARM_UP = (128, 96, 17, 8)  # loads the model
CLIPS = (
    (192, 128, 33, 12),
    (128, 96, 17, 8),
    (192, 128, 33, 24),
    (256, 192, 33, 12),
    (96, 96, 49, 16),
    (320, 192, 17, 10),
    (192, 128, 65, 12),
    (160, 160, 25, 20),
    (256, 144, 49, 8),
    (208, 112, 33, 30),
)

TEMPLATE = """\
## Quotes

`python -m bench quotes`: the estimates of `POST /api/estimate` for {total} clips of the demo model,
and the time that the worker then needed. Before, the machine was measured in {calibration:.1f} s,
and rendered one small clip, which loaded the model.

| clip | expected | needed | difference |
|---|---|---|---|
{rows}

Within {percent:.0f} %: {within} of {total}.
"""


def run() -> str:
    with running_service(HUNYUAN_CALIBRATE="true") as service:
        started = time.monotonic()
        _wait_until_measured(service)
        calibration = time.monotonic() - started
        _render(service, _fields(*WARM_UP))
        rows, within = [], 0
        for clip in CLIPS:
            fields = _fields(*clip)
            quote = service.client.post("/api/estimate", json=fields).json()
            expected, took = quote["seconds"]["expected"], _render(service, fields)
            off = took / expected - 1
            within += abs(off) <= TOLERANCE
            width, height, num_frames, steps = clip
            name = f"{width}x{height}, {num_frames} frames, {steps} steps"
            rows.append(f"| {name} | {expected:.1f} s | {took:.1f} s | {off:+.0%} |")
            print(rows[-1], flush=True)
    return TEMPLATE.format(
        total=len(CLIPS),
        calibration=calibration,
        rows="\n".join(rows),
        percent=TOLERANCE * 100,
        within=within,
    )


def _fields(width: int, height: int, num_frames: int, num_inference_steps: int) -> dict[str, Any]:
    return {
        "prompt": PROMPT,
        "width": width,
        "height": height,
        "num_frames": num_frames,
        "num_inference_steps": num_inference_steps,
    }


def _wait_until_measured(service: Service) -> None:
    """Wait until the machine is measured: the range of its estimates is narrower then."""
    deadline = time.monotonic() + CALIBRATION_SECONDS
    while time.monotonic() < deadline:
        seconds = service.client.post("/api/estimate", json={}).json()["seconds"]
        if seconds["high"] < 2 * seconds["expected"]:
            return
        time.sleep(0.1)
    raise RuntimeError("the machine was not measured")


def _render(service: Service, fields: dict[str, Any]) -> float:
    """Seconds that the worker needed."""
    job: dict[str, Any] = service.client.post("/api/generate", json=fields).json()
    while job["status"] in ("pending", "in_progress"):
        time.sleep(0.1)
        job = service.client.get(f"/api/status/{job['job_id']}").json()
    if job["status"] != "completed":
        raise RuntimeError(f"the clip {job['status']}: {job['error']}")
    ended, began = (datetime.fromisoformat(job[key]) for key in ("completed_at", "started_at"))
    return (ended - began).total_seconds()
