"""Measures the front: time of its answers, its start, and its memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from bench.service import running_service

REQUESTS = 300
IMPORTS = 7
IMPORT_TIMER = (
    "import time; start = time.perf_counter(); import service; "
    "print(time.perf_counter() - start); import sys; assert 'torch' not in sys.modules"
)
CLIP = {"prompt": "A cat walks on grass"}

TEMPLATE = """\
## The front

`python -m bench front`: medians (and 95th percentiles) of {requests} requests on one connection
from the same machine, while nothing is rendered.

| | measured | bound |
|---|---|---|
| `POST /api/generate` | {submit} | 10 ms |
| `GET /api/status/{{job_id}}` | {status} | 5 ms |
| `import service`, without torch | {imported:.2f} s (median of {imports} processes) | 1.5 s |
| from the command to the front's first answer | {started:.1f} s | |
| resident memory of the front after these requests | {memory:.0f} MB | 150 MB |
"""


def run() -> str:
    imported = statistics.median(_import_seconds() for _ in range(IMPORTS))
    command_given = time.perf_counter()
    with running_service(HUNYUAN_LOCAL_RUNNER="false") as service:
        started = time.perf_counter() - command_given
        client = service.client
        job = client.post("/api/generate", json=CLIP).json()
        submit = _times(lambda: client.post("/api/generate", json=CLIP).raise_for_status())
        path = f"/api/status/{job['job_id']}"
        status = _times(lambda: client.get(path).raise_for_status())
        memory = service.front_process().memory_info().rss / 1e6
    return TEMPLATE.format(
        requests=REQUESTS,
        submit=_summary(submit),
        status=_summary(status),
        imported=imported,
        imports=IMPORTS,
        started=started,
        memory=memory,
    )


def _import_seconds() -> float:
    command = [sys.executable, "-c", IMPORT_TIMER]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _times(request: Callable[[], object]) -> list[float]:
    """Median and 95th percentile of REQUESTS calls, in milliseconds."""
    times = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        request()
        times.append((time.perf_counter() - start) * 1000)
    return times


def _summary(times: list[float]) -> str:
    return f"{statistics.median(times):.1f} ms ({statistics.quantiles(times, n=20)[-1]:.1f})"
