"""`make bench`: run every benchmark, print the results and write them to build/performance.md.

`python -m bench NAME …` runs some of them and only prints.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context

from bench import (
    DOCUMENT,
    RESULTS,
    blocks,
    clips,
    encoding,
    fast_decoder,
    front,
    load,
    peers,
    quality,
    queue,
    quotes,
    simulation,
    spot,
    vae,
)
from hunyuan_runner.machine.host import cpu_name

BENCHMARKS: dict[str, Callable[[], str]] = {
    "front": front.run,
    "clips": clips.run,
    "load": load.run,
    "queue": queue.run,
    "simulation": simulation.run,
    "spot": spot.run,
    "machines": peers.section,  # what was measured there and here; see its module
    "blocks": blocks.run,
    "encoding": encoding.run,
    "vae": vae.run,
    "fast_decoder": fast_decoder.run,
    "quality": quality.run,
    "quotes": quotes.run,
}

HEADER = """\
# What `make bench` measured

{date}, {cpu}, {cores} cores, {system}, Python {python}.
"""


def header() -> str:
    return HEADER.format(
        date=datetime.now(UTC).date(),
        cpu=cpu_name(),
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def main(names: list[str]) -> None:
    parts = [header()]
    # Each benchmark has a process of its own, so that none is affected by the memory of another.
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for name in names or BENCHMARKS:
            parts.append(processes.submit(BENCHMARKS[name]).result())
            print(parts[-1], flush=True)
    if not names:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text("\n".join(parts))
        print(f"written to {RESULTS}: what is new goes into {DOCUMENT}, with its machine and date")


if __name__ == "__main__":
    main(sys.argv[1:])
