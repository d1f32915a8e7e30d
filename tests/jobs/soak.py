"""Kills, freezes and stops workers at random, and pauses, cancels and retries jobs at random.

    python -m tests.jobs.soak [--seconds 60] [--seed 1] [--postgres]

Afterwards every job must end, each run of it at most once, and no error may be in the log. The seed
determines what is done, but not how the processes interleave.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path

import sqlalchemy as sa

from hunyuan_runner.jobs import database
from hunyuan_runner.jobs.job import ENDED, Caller
from hunyuan_runner.jobs.store import JobNotFound, Jobs, WrongState
from hunyuan_runner.params import Stage
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import JobState
from tests.jobs.conftest import clip, emptied_database, environment
from tests.jobs.databases import postgres_binaries, running_postgres

WORKERS = 3
MOST_JOBS = 80
PATIENCE_SECONDS = 120
TO_JOBS = ("pause", "resume", "cancel", "retry", "delete")
TO_WORKERS = {"kill": signal.SIGKILL, "stop": signal.SIGTERM, "freeze": signal.SIGSTOP}


class Soak:
    """A store, its workers, and the jobs that must survive."""

    def __init__(self, settings: Settings, seed: int, log: Path) -> None:
        self.jobs = Jobs(settings)
        self.ids: list[str] = []
        self._settings = settings
        self._dice = random.Random(seed)
        self._log = log
        self._workers: list[subprocess.Popen[bytes]] = []

    def disturb(self) -> str:
        """Do one random thing, then start workers if too few are left."""
        deed = self._dice.choice(["submit"] * 4 + [*TO_JOBS, *TO_WORKERS])
        if deed == "submit" and len(self.ids) < MOST_JOBS:
            params = clip(self._dice.choice(["quick", "slow"]), self._dice.choice([3, 10]))
            owner = self.jobs.seen_by(Caller(self._dice.choice("abc")))
            self.ids.append(owner.submit(params, priority=self._dice.choice([0, 0, 5])).id)
        elif deed in TO_WORKERS and self._workers:
            self._signal(self._dice.choice(self._workers), TO_WORKERS[deed])
        elif deed in TO_JOBS and self.ids:
            self._steer(self._dice.choice(self.ids), deed)
        self._workers = [worker for worker in self._workers if worker.poll() is None]
        while len(self._workers) < WORKERS:
            self._workers.append(self._start())
        time.sleep(self._dice.random() * 0.3)
        return deed

    def unfinished(self) -> list[str]:
        """The jobs that have not ended; paused ones are resumed."""
        waiting = []
        for job_id in self.ids:
            job = self.jobs.get(job_id)
            if job.stage is Stage.PAUSED:
                with suppress(WrongState):
                    self.jobs.resume(job_id)
            if job.state not in ENDED:
                waiting.append(job_id)
        return waiting

    def ended_twice(self) -> list[str]:
        events = database.events.c
        ends = (
            sa.select(events.job_id)
            .where(
                events.change == "state", events.state.in_([JobState.COMPLETED, JobState.FAILED])
            )
            .group_by(events.job_id, events.run)
            .having(sa.func.count() > 1)
        )
        with self.jobs.database.connect() as connection:
            return list(connection.execute(ends).scalars())

    def close(self) -> None:
        for worker in self._workers:
            worker.kill()
            worker.wait()
        self.jobs.close()

    def _steer(self, job_id: str, deed: str) -> None:
        with suppress(WrongState, JobNotFound):
            getattr(self.jobs, deed)(job_id)
            if deed == "delete":
                self.ids.remove(job_id)

    def _signal(self, worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
        worker.send_signal(number)
        if number is signal.SIGSTOP:
            time.sleep(self._dice.random() * 2 * self._settings.lease_seconds)
            worker.send_signal(signal.SIGCONT)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._log.open("a") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "tests.jobs.worker_process"],
                env=os.environ | environment(self._settings),
                stdout=subprocess.DEVNULL,
                stderr=log,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description="Disturb workers and jobs at random.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", action="store_true", help="instead of SQLite")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = None
        if options.postgres:
            binaries = postgres_binaries()
            if binaries is None:
                sys.exit("There are no initdb and postgres on this machine.")
            url = emptied_database(stack.enter_context(running_postgres(binaries)))
        settings = Settings(
            data_dir=folder / "data", database_url=url, lease_seconds=1, poll_seconds=0.05
        )
        log = folder / "log"
        soak = Soak(settings, options.seed, log)
        stack.callback(soak.close)
        deeds: Counter[str] = Counter()
        until = time.monotonic() + options.seconds
        while time.monotonic() < until:
            deeds[soak.disturb()] += 1
        until = time.monotonic() + PATIENCE_SECONDS
        while (left := soak.unfinished()) and time.monotonic() < until:
            time.sleep(0.2)
        states = Counter(str(soak.jobs.get(job_id).state) for job_id in soak.ids)
        print(f"did {dict(deeds)}; {len(soak.ids)} jobs became {dict(states)}")
        faults = {
            "never ended": left,
            "ended twice": soak.ended_twice(),
            "errors": [line for line in log.read_text().splitlines() if line.startswith("ERROR")],
        }
        if any(faults.values()):
            sys.exit(f"{faults}\n{log.read_text()[-8000:]}")


if __name__ == "__main__":
    main()
