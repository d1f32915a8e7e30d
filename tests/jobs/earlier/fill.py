"""Fills the job databases of an earlier version with jobs in every state, and dumps them as SQL.

In a checkout of that version, with its own code:

    PYTHONPATH=. python .../tests/jobs/earlier/fill.py sqlite > VERSION.sqlite.sql
    PYTHONPATH=. python .../tests/jobs/earlier/fill.py postgres > VERSION.postgres.sql

Each job's prompt says what has become of it.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

from pydantic import SecretStr

from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.jobs import deliveries, lease, store
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.job import Caller, JobError, Webhook  # type: ignore[attr-defined]
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.settings import Settings
from tests.jobs.databases import postgres_binaries, running_postgres

FOR_EVER_HOURS = 1e6  # nothing in the dump expires
EXPIRY = 4_000_000_000_000  # in milliseconds since the epoch


class Filling:
    """A job store of the version whose code this is."""

    def __init__(self, settings: Settings) -> None:
        self.jobs = cast(Any, store.Jobs(settings))
        self.database = getattr(self.jobs, "database", None) or self.jobs.engine
        self.lease: Any = lease.Lease(self.database, settings.lease_seconds)

    def submit(self, prompt: str, owner: str = "ana", **values: Any) -> str:
        request = GenerationRequest(
            prompt=prompt, width=64, height=64, num_frames=1, num_inference_steps=5, seed=1
        )
        params = request.resolve("demo", MODELS["demo"].presets)
        webhook = Webhook(
            "http://127.0.0.1:9/hook?token=1", ("started", "completed", "failed", "canceled")
        )
        jobs = self.jobs.seen_by(Caller(owner))
        return str(jobs.submit(params, webhook=webhook, **values).id)

    def claim(self, steps: int) -> Any:
        claim: Any = Claim.next(self.database, self.lease.executor_id)
        claim.enter(Stage.ENCODING)
        claim.enter(Stage.DENOISING)
        for step in range(1, steps + 1):
            claim.finish_step(step)
        return claim

    def fill(self) -> None:
        jobs, submit = self.jobs, self.submit
        submit("completed", priority=10)
        claim = self.claim(5)
        claim.enter(Stage.DECODING)
        claim.enter(Stage.PUBLISHING)
        claim.complete(EXPIRY)
        failed = submit("failed", priority=10)
        self.claim(2).fail(JobError(code="broken", message="it broke"), EXPIRY)
        retried = submit("queued again by a retry", priority=10)
        self.claim(1).fail(JobError(code="broken", message="it broke"), EXPIRY)
        jobs.retry(retried)
        jobs.pause(retried)
        submit("paused with its draft", priority=10, draft_steps=2)
        claim = self.claim(2)
        # As versions up to 2026-11 call it, and later ones.
        (getattr(claim, "pause_with_draft", None) or claim.show_draft)()
        rendered = submit("canceled while it was rendered", priority=10)
        claim = self.claim(3)
        jobs.cancel(rendered)
        self._send_webhooks()
        submit("pausing at step 1", priority=10)
        jobs.pause(self.claim(1).job_id)
        submit("running at step 3", owner="", priority=10)
        other = lease.Lease(self.database, 10)
        claim = Claim.next(self.database, other.executor_id)
        assert claim is not None
        claim.enter(Stage.DENOISING)
        for step in (1, 2, 3):
            claim.finish_step(step)
        jobs.resume(retried)
        jobs.pause(submit("paused in the queue"))
        jobs.cancel(submit("canceled in the queue"))
        canceled = submit("canceled while it was paused")
        jobs.pause(canceled)
        jobs.cancel(canceled)
        submission = store.Submission("key", "fingerprint")
        submit("queued", submission=submission, metadata={"scene": "7"})
        submit("queued", owner="bo")
        submit("queued before the others", priority=5)
        submit("queued after the others", owner="bo", priority=-5)
        assert jobs.get(failed).state == "failed"
        jobs.close()

    def _send_webhooks(self) -> None:
        """Three of them: one is delivered, one fails, and one is given up."""
        outbox = deliveries.Outbox(self.database)
        attempts: list[Any] = outbox.claim(3)
        outcomes = (
            deliveries.Outcome(status=204),
            deliveries.Outcome(error="no answer in time"),
            deliveries.Outcome(status=410),
        )
        for attempt, outcome in zip(attempts, outcomes, strict=True):
            outbox.settle(attempt, outcome, 5000)


def dump_sqlite(folder: Path) -> str:
    Filling(Settings(data_dir=folder, retention_hours=FOR_EVER_HOURS)).fill()
    with sqlite3.connect(folder / "jobs.sqlite") as connection:
        return "\n".join(connection.iterdump()) + "\n"


def dump_postgres(folder: Path) -> str:
    binaries = postgres_binaries()
    assert binaries is not None
    with running_postgres(binaries) as url:
        text = url.render_as_string(hide_password=False)
        settings = Settings(
            data_dir=folder, database_url=SecretStr(text), retention_hours=FOR_EVER_HOURS
        )
        Filling(settings).fill()
        found = subprocess.run(
            [*dump_command(binaries), text], check=True, capture_output=True, text=True
        )
    # Without comments, the session's settings and what only psql understands.
    noise = re.compile(r"--|\\|SET |SELECT pg_catalog.set_config")
    lines = [line for line in found.stdout.splitlines() if not noise.match(line)]
    return re.sub(r"\n{2,}", "\n", "\n".join(lines)).lstrip() + "\n"


def dump_command(binaries: Path) -> list[str]:
    program = next(
        path
        for path in (binaries / "pg_dump", *Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
        if path.exists()
    )
    return [str(program), "--inserts", "--no-owner", "--no-privileges"]


def main() -> None:
    dump = {"sqlite": dump_sqlite, "postgres": dump_postgres}[sys.argv[1]]
    with tempfile.TemporaryDirectory() as folder:
        print(dump(Path(folder)), end="")


if __name__ == "__main__":
    main()
