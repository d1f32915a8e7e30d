"""Runs a real Prometheus that scrapes services under test every second."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.conftest import ROOT, find_program, free_port

DEPLOYED = ROOT / "deploy" / "prometheus"
SHORTER = {"m": "s", "h": "m"}  # a minute of the rules becomes a second, an hour a minute


@dataclass(frozen=True)
class Prometheus:
    url: str
    quiet_at: float = 0.0  # the time at which it scraped everything, and no alert fired

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, now."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=30)
        body = answer.json()
        assert body["status"] == "success", f"{expression}: {body}"
        return list(body["data"]["result"])

    def value(self, expression: str) -> float:
        """The value of the only sample."""
        (sample,) = self.query(expression)
        return float(sample["value"][1])

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        alerts = httpx.get(f"{self.url}/api/v1/alerts", timeout=30).json()["data"]["alerts"]
        return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}

    def has_fired(self) -> set[str]:
        """The names of the alerts that have fired since `quiet_at`."""
        span = int(time.time() - self.quiet_at) + 1
        found = self.query(f'max_over_time(ALERTS{{alertstate="firing"}}[{span}s])')
        return {sample["metric"]["alertname"] for sample in found}


@contextmanager
def running_prometheus(folder: Path, services: Sequence[str]) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes these URLs, with the deployed alerts sixty times as fast."""
    (folder / "alerts.yml").write_text(quickened((DEPLOYED / "alerts.yml").read_text()))
    targets = [urlsplit(url).netloc for url in services]
    config = (DEPLOYED / "prometheus.yml").read_text()
    config = config.replace("15s", "1s").replace('["127.0.0.1:3000"]', json.dumps(targets))
    (folder / "prometheus.yml").write_text(config)
    (folder / "hunyuan.key").write_text("none is needed")
    port = free_port()
    command = [
        find_program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    prometheus = Prometheus(f"http://127.0.0.1:{port}")
    try:
        _wait_until_scraping(prometheus, len(targets))
        yield replace(prometheus, quiet_at=time.time())
    finally:
        process.terminate()
        process.wait()


def _wait_until_scraping(prometheus: Prometheus, targets: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError, json.JSONDecodeError):
            scraped = len(prometheus.query('up{job="hunyuan"} == 1'))
            # Until the first scrape, no front is there.
            if scraped == targets and not prometheus.query("ALERTS"):
                return
        time.sleep(0.2)
    raise AssertionError("Prometheus does not scrape the service")


def quickened(rules: str) -> str:
    """The same rules with every duration divided by sixty."""
    return re.sub(
        r"(?<=\[)(\d+)([mh])(?=\])|(?<=for: )(\d+)([mh])$",
        lambda found: f"{found[1] or found[3]}{SHORTER[found[2] or found[4]]}",
        rules,
        flags=re.MULTILINE,
    )
