"""Times what clients and workers ask of a long queue, on SQLite and on Postgres."""

from __future__ import annotations

import hashlib
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from pydantic import SecretStr

from bench.service import running_service
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.quoting.estimate import Work
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobState
from tests.jobs.databases import postgres_binaries, running_postgres

WAITING = (10_000, 100_000)
OWNERS = 5
PRIORITIES = (0, 0, 0, 5, -5)
TIMES = 50
BATCH = 5_000
EVENTS_PER_PAGE = 500
EXPIRED = 100
CLIP = {"prompt": "A cat walks on grass"}
BOUNDS = {
    "a page of 100 waiting jobs": "50",
    "a page from the middle": "50",
    "submit": "10",
    "submit at the highest priority": "10",
}

TEMPLATE = """\
## A long queue

`python -m bench queue`: medians (and 95th percentiles) of {times} calls each, in ms, while that
many jobs of {owners} users and {priorities} priorities wait. All but the last four rows are HTTP
requests.

| | {columns} | bound |
|---|{rules}---|
{rows}
"""


def run() -> str:
    columns: dict[str, dict[str, str]] = {}
    for waiting in WAITING:
        columns[f"SQLite, {waiting:,}"] = _measure(waiting, None)
        if (binaries := postgres_binaries()) is not None:
            with running_postgres(binaries) as url:
                text = url.render_as_string(hide_password=False)
                columns[f"Postgres, {waiting:,}"] = _measure(waiting, text)
    names = next(iter(columns.values()))
    rows = [
        f"| {name} | {' | '.join(times[name] for times in columns.values())} "
        f"| {BOUNDS.get(name, '')} |"
        for name in names
    ]
    return TEMPLATE.format(
        times=TIMES,
        owners=OWNERS,
        priorities=len(set(PRIORITIES)),
        columns=" | ".join(columns),
        rules="---|" * len(columns),
        rows="\n".join(rows),
    )


def _measure(waiting: int, database_url: str | None) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            data_dir=Path(folder),
            database_url=SecretStr(database_url) if database_url else None,
            max_queued=10**6,
            calibrate=False,
        )
        jobs = Jobs(settings)
        ids = _fill(jobs, waiting)
        key = secrets.token_hex(16)
        times = _over_http(settings, key, ids) | _by_workers(jobs)
        jobs.close()
    return times


def _over_http(settings: Settings, key: str, ids: list[str]) -> dict[str, str]:
    environment = {
        "HUNYUAN_DATA_DIR": str(settings.data_dir),
        "HUNYUAN_LOCAL_RUNNER": "false",
        "HUNYUAN_MAX_QUEUED": str(settings.max_queued),
        "HUNYUAN_API_KEYS": f"user0:{hashlib.sha256(key.encode()).hexdigest()}",
        "HUNYUAN_PUBLIC_METRICS": "true",
    }
    if settings.database_url is not None:
        environment["HUNYUAN_DATABASE_URL"] = settings.database_url.get_secret_value()
    own = ids[::OWNERS]
    middle = iter(own[len(own) // 2 :])
    with running_service(**environment) as service:
        client = service.client
        client.headers["Authorization"] = f"Bearer {key}"

        def get(path: str) -> Callable[[], httpx.Response]:
            return lambda: client.get(path)

        def submit(**fields: Any) -> httpx.Response:
            return client.post("/api/generate", json=CLIP | fields)

        return {
            "a page of 100 waiting jobs": _times(get("/api/jobs?limit=100&status=pending")),
            "a page from the middle": _times(get(f"/api/jobs?limit=100&after={next(middle)}")),
            "submit": _times(submit),
            "submit at the highest priority": _times(lambda: submit(priority=10)),
            "status of the last job": _times(get(f"/api/status/{own[-1]}")),
            "estimate": _times(lambda: client.post("/api/estimate", json=CLIP)),
            "cancel": _times(lambda: client.post(f"/api/jobs/{next(middle)}/cancel")),
            "pause": _times(lambda: client.post(f"/api/jobs/{next(middle)}/pause")),
            "delete": _times(lambda: client.delete(f"/api/jobs/{next(middle)}")),
            "`/health`": _times(get("/health")),
            "`/metrics`": _times(get("/metrics")),
        }


def _by_workers(jobs: Jobs) -> dict[str, str]:
    """What workers ask of the queue."""

    def claim() -> None:
        found = Claim.next(jobs.database, secrets.token_hex(4))
        assert found is not None
        found.hand_back()

    return {
        "claim and hand back": _times(claim),
        f"{EVENTS_PER_PAGE} events of the journal": _times(lambda: jobs.events_after(0)),
        "delete expired jobs": _times(jobs.delete_expired),
        "delete files without a job": _times(jobs.delete_orphaned_files),
    }


def _fill(jobs: Jobs, waiting: int) -> list[str]:
    """Add this many waiting jobs, and a tenth as many ended ones; returns the waiting ids."""
    params = GenerationRequest(**CLIP).resolve("demo", MODELS["demo"].presets)
    now = database.now_ms()
    common = {
        "model": params.model,
        "params": params.model_dump(),
        "metadata": {},
        "created_at": now,
        "run": 1,
        "stage": Stage.QUEUED,
        **asdict(Work.of(params, MODELS[params.model])),
    }
    ids = []
    for start in range(0, waiting + waiting // 10, BATCH):
        rows = []
        for number in range(start, min(start + BATCH, waiting + waiting // 10)):
            ended = number >= waiting
            rows.append(
                common
                | {
                    "id": f"{time.time_ns():016x}{number:012x}",
                    "owner": f"user{number % OWNERS}",
                    "priority": PRIORITIES[number * len(PRIORITIES) // waiting % len(PRIORITIES)],
                    "turn": number // OWNERS + 1,
                    "state": JobState.COMPLETED if ended else JobState.PENDING,
                    "expires_at": now + 10**9 if ended else None,
                }
            )
            if not ended:
                ids.append(rows[-1]["id"])
        notes = [
            {"job_id": row["id"], "run": 1, "change": "state", "step": 0, "at": now}
            | {"state": row["state"], "stage": Stage.QUEUED}
            for row in rows
        ]
        with jobs.database.begin() as connection:
            connection.execute(sa.insert(database.jobs), rows)
            connection.execute(sa.insert(database.events), notes)
    if jobs.database.dialect.name == "postgresql":  # which Postgres does by itself, within a minute
        with jobs.database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM ANALYZE"))
    return ids


def _times(act: Callable[[], object]) -> str:
    milliseconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        answer = act()
        milliseconds.append((time.perf_counter() - start) * 1000)
        if isinstance(answer, httpx.Response):
            answer.raise_for_status()
    p95 = statistics.quantiles(milliseconds, n=20)[-1]
    return f"{statistics.median(milliseconds):.1f} ({p95:.1f})"
