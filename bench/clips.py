"""Times whole clips in a running service, from the request until the file is downloaded."""

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

`python -m bench clips`: {clips} clips one after the other, 192x128, 33 frames, default steps, after
one clip that loaded the model; medians.

| | seconds |
|---|---|
| from the request to the finished file | {total:.2f} |
| of which the worker needs | {rendered:.2f} |
| the first clip, which loads the model | {first:.2f} |
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
    """Seconds that the client waits, and seconds from the job's start to its end."""
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
