"""Whole clips through the running service: from submit until the file can be fetched."""

from __future__ import annotations

import statistics
import time
from datetime import datetime
from typing import Any

from bench.service import Service, running_service

CLIPS = 5
CLIP = {"prompt": "A cat walks on grass", "width": 192, "height": 128, "num_frames": 33}

TEMPLATE = """\
## Clips of the demo model

`python -m bench clips`: {clips} clips one after the other, 192x128, 33 frames, default steps, model
loaded by one clip before; medians.

| | seconds |
|---|---|
| from submit to the finished file | {total:.2f} |
| of it from the worker's start to its end | {rendered:.2f} |
| the first clip, with loading the model | {first:.2f} |
"""


def run() -> str:
    with running_service() as service:
        first, _ = _render(service)
        times = [_render(service) for _ in range(CLIPS)]
    return TEMPLATE.format(
        clips=CLIPS,
        total=statistics.median(total for total, _ in times),
        rendered=statistics.median(rendered for _, rendered in times),
        first=first,
    )


def _render(service: Service) -> tuple[float, float]:
    """Seconds as the client sees them, and as the job tells."""
    start = time.perf_counter()
    job: dict[str, Any] = service.client.post("/api/generate", json=CLIP).json()
    while job["status"] in ("pending", "in_progress"):
        time.sleep(0.02)
        job = service.client.get(f"/api/status/{job['job_id']}").json()
    if job["status"] != "completed":
        raise RuntimeError(f"the clip {job['status']}: {job['error']}")
    service.client.get(job["video_url"]).raise_for_status()
    total = time.perf_counter() - start
    rendered = datetime.fromisoformat(job["completed_at"]) - datetime.fromisoformat(
        job["started_at"]
    )
    return total, rendered.total_seconds()
