"""The metrics: what Prometheus says of them, and that they are right with several fronts."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.exposition import FromDatabase
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from tests.conftest import ROOT, Service, find_program
from tests.jobs.conftest import clip as smallest_clip

DOCUMENTED = (ROOT / "docs" / "watching.md").read_text()


def samples(text: str) -> list[Sample]:
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def exposed(settings: Settings) -> str:
    backend = Backend.open(settings)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FromDatabase(backend))
    text = generate_latest(registry).decode()
    backend.jobs.close()
    backend.prompts.close()
    return text


def test_promtool_finds_no_fault_in_the_metrics(client: httpx.Client, clip: dict[str, Any]) -> None:
    command = [find_program("promtool", "prometheus"), "check", "metrics"]
    text = client.get("/metrics").text
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
    assert clip["job_id"] not in text


def test_the_metrics_describe_the_service_its_runner_and_its_disk(
    client: httpx.Client, clip: dict[str, Any], service: Service
) -> None:
    found = {sample.name: sample for sample in samples(client.get("/metrics").text)}
    assert found["hunyuan_database_up"].value == 1
    assert found["hunyuan_build_info"].labels["version"]
    assert found["process_resident_memory_bytes"].value > 1e6
    size, free = found["hunyuan_disk_size_bytes"].value, found["hunyuan_disk_free_bytes"].value
    assert size > free > 0
    assert found["hunyuan_runner_disk_size_bytes"].value == size
    seen = found["hunyuan_runner_last_seen_timestamp_seconds"]
    assert seen.value > found["process_start_time_seconds"].value
    assert found["hunyuan_runner_info"].labels["runner"] == seen.labels["runner"]
    assert found["hunyuan_render_seconds_count"].value >= 1


def test_every_front_reports_the_same_from_the_database(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, calibrate=False)
    jobs = Jobs(settings)
    jobs.submit(smallest_clip())
    jobs.submit(smallest_clip())
    claim = Claim.next(jobs.database, "worker")
    assert claim is not None
    claim.finish_step(1, seconds=0.4, expected_seconds=0.5)
    claim.complete(expires_at=2**40)
    Lease(jobs.database, settings.lease_seconds).renew(Profile.of_this_machine(settings))
    jobs.close()
    first, second = exposed(settings), exposed(settings)
    assert first == second
    found = {(s.name, s.labels.get("model", "")): s.value for s in samples(first)}
    assert found["hunyuan_attempts_total", "demo"] == 1
    assert found["hunyuan_step_seconds_count", "demo"] == 1
    assert found["hunyuan_queue_length", ""] == 1


def test_counters_are_there_from_zero_for_every_installed_model(tmp_path: Path) -> None:
    found = samples(exposed(Settings(data_dir=tmp_path)))
    zero = {(s.name, *s.labels.values()) for s in found if s.value == 0}
    assert ("hunyuan_attempts_total", "demo") in zero
    assert ("hunyuan_jobs_ended_total", "demo", "failed") in zero
    assert ("hunyuan_webhook_attempts_total", "given_up") in zero
    assert ("hunyuan_render_seconds_count", "demo") in zero


def test_histograms_are_cumulative(client: httpx.Client, clip: dict[str, Any]) -> None:
    buckets = [
        s.value
        for s in samples(client.get("/metrics").text)
        if s.name == "hunyuan_step_seconds_bucket"
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] > 0


def test_every_metric_is_documented_with_its_type_and_labels_and_no_other(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    families = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        if family.name.startswith("hunyuan_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = {label for sample in family.samples for label in sample.labels}
            families[name] = family.type, labels - {"le"}
    rows = re.findall(r"^\| (`hunyuan.*?) \| (\w+) \| (.*?) ?\|", DOCUMENTED, re.MULTILINE)
    described = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for names, kind, labels in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert described == families
