"""What is answered about a clip before it is queued, and what is refused because of that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from tests.conftest import LONG, SHORT, StartService, submit

COST_PER_HOUR = 0.45
SMALL_MEMORY = 18 * 10**9  # the 13B model in bf16 takes more
LARGE = {"prompt": "A cat walks on grass", "model": "hunyuanvideo"}


@pytest.fixture(scope="module")
def front(start_service: StartService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A front with a large model, whose one worker has a small machine that renders in bf16."""
    models = tmp_path_factory.mktemp("models")
    (models / "hunyuanvideo").mkdir()
    (models / "hunyuanvideo" / "model_index.json").write_text("{}")
    service = start_service(
        HUNYUAN_LOCAL_RUNNER="false",
        HUNYUAN_MODELS_DIR=str(models),
        HUNYUAN_COST_PER_HOUR=str(COST_PER_HOUR),
        HUNYUAN_LEASE_SECONDS="3600",
    )
    settings = Settings(data_dir=service.data_dir, models_dir=models, threads=2)
    jobs = Jobs(settings)
    lease = Lease(jobs.database, 3600)
    with httpx.Client(base_url=service.url, timeout=30) as client:
        assert "no_worker" in warned_of(client)
        lease.renew(in_bf16(Profile.of_this_machine(settings)))
        assert "no_worker" not in warned_of(client)
        yield client
    jobs.close()


def warned_of(client: httpx.Client) -> str:
    """What the estimate warns of, and the job as well."""
    estimated, job = estimate(client, **SHORT), submit(client)
    client.delete(f"/api/jobs/{job['job_id']}")
    assert job["warnings"] == estimated["warnings"]
    return str(estimated["warnings"])


def in_bf16(profile: Profile) -> Profile:
    from hunyuan_runner.machine.precision import Precision

    models = {
        name: replace(ability, precision=Precision.BF16, reason="for a test")
        for name, ability in profile.models.items()
    }
    return replace(profile, memory_bytes=SMALL_MEMORY, models=models)


def estimate(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/estimate", json=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_clip_is_estimated_and_not_queued(client: httpx.Client) -> None:
    newest = client.get("/api/jobs?limit=1").json()
    estimated = estimate(client, **SHORT)
    assert estimated["fits"] is True
    assert estimated["cost"] is None
    assert estimated["in_time"] is None
    assert estimated["alternatives"] == []
    assert estimated["peak_memory_bytes"] > 10**9
    assert {name: estimated["params"][name] for name in SHORT} == SHORT
    assert client.get("/api/jobs?limit=1").json() == newest


def test_an_estimate_needs_no_prompt(client: httpx.Client) -> None:
    assert estimate(client)["params"]["width"] == 192


def test_what_cannot_be_queued_cannot_be_estimated(client: httpx.Client) -> None:
    for wrong in ({"num_frames": 50}, {"model": "sora"}, {"deadline": 5}, {"deadline_seconds": 0}):
        queued = client.post("/api/generate", json=SHORT | wrong)
        estimated = client.post("/api/estimate", json=SHORT | wrong)
        assert (queued.status_code, estimated.status_code) == (422, 422)
    assert "error" in client.post("/api/estimate", content=b"{").json()


def test_a_deadline_is_no_field_of_a_job(client: httpx.Client) -> None:
    answer = client.post("/api/generate", json=SHORT | {"deadline_seconds": 5})
    assert answer.json()["error"]["code"] == "unknown_field"


def test_what_was_estimated_is_what_a_job_says(front: httpx.Client) -> None:
    estimated = estimate(front, **SHORT)
    job = submit(front)
    assert job["eta_seconds"]["expected"] == pytest.approx(
        estimated["seconds"]["expected"] + estimated["queue_seconds"], abs=0.2
    )
    front.delete(f"/api/jobs/{job['job_id']}")


def test_a_queue_is_waited_for(front: httpx.Client) -> None:
    before = estimate(front, **SHORT)
    job = front.post("/api/generate", json=SHORT).json()
    later = estimate(front, **SHORT)
    ahead = estimate(front, **SHORT | {"priority": 5})
    assert later["queue_seconds"] == pytest.approx(
        before["queue_seconds"] + before["seconds"]["expected"], abs=0.2
    )
    assert ahead["queue_seconds"] == before["queue_seconds"]
    front.delete(f"/api/jobs/{job['job_id']}")


def test_if_the_queue_is_too_long_the_estimate_proposes_a_priority_or_warns_of_the_wait(
    front: httpx.Client,
) -> None:
    jobs = [submit(front, **LONG, priority=priority)["job_id"] for priority in (0, 0, 0)]
    queued = estimate(front, **SHORT)
    deadline = queued["queue_seconds"] / 2
    estimated = estimate(front, deadline_seconds=deadline, **SHORT)
    assert estimated["in_time"] is False
    assert [one["changes"] for one in estimated["alternatives"]] == [{"priority": 10}]
    assert estimated["alternatives"][0]["summary"] == "priority 10"
    assert estimate(front, deadline_seconds=deadline, **SHORT | {"priority": 10})["in_time"]

    jobs += [submit(front, **LONG, priority=10)["job_id"] for _ in range(3)]
    estimated = estimate(front, deadline_seconds=deadline, **SHORT)
    assert estimated["alternatives"] == []
    assert "queue_too_long" in [warning["code"] for warning in estimated["warnings"]]
    for job_id in jobs:
        front.delete(f"/api/jobs/{job_id}")


def test_the_cost_is_that_of_the_expected_time(front: httpx.Client) -> None:
    estimated = estimate(front, num_inference_steps=100)
    hours = estimated["seconds"]["expected"] / 3600
    assert estimated["cost"] == pytest.approx(COST_PER_HOUR * hours, abs=1e-4)


@pytest.mark.parametrize(
    "asked",
    [
        {"width": 384, "height": 256, "num_frames": 65},
        {"size": "384x256", "seconds": 2.7, "fps": 24},  # shorthands, which changes take out
    ],
    ids=["fields", "shorthands"],
)
def test_what_is_proposed_is_there_in_time(front: httpx.Client, asked: dict[str, Any]) -> None:
    deadline = estimate(front, **asked)["seconds"]["high"] / 2
    estimated = estimate(front, deadline_seconds=deadline, **asked)
    assert estimated["in_time"] is False
    assert 1 <= len(estimated["alternatives"]) <= 4
    for alternative in estimated["alternatives"]:
        assert alternative["seconds"]["high"] <= deadline
        again = estimate(front, deadline_seconds=deadline, **asked | alternative["changes"])
        assert again["in_time"] is True
        assert again["alternatives"] == []
        assert again["seconds"] == alternative["seconds"]


def test_the_machine_that_will_render_is_gone_by_and_shown(front: httpx.Client) -> None:
    estimated = estimate(front, **LARGE)
    assert estimated["fits"] is False
    (runner,) = front.get("/api/info").json()["runners"]
    assert runner["memory_bytes"] == SMALL_MEMORY
    assert runner["models"]["hunyuanvideo"] == {"precision": "bf16", "reason": "for a test"}
    assert "fasthunyuan" not in runner["models"]


def test_what_does_not_fit_is_refused_with_what_would(front: httpx.Client) -> None:
    answer = front.post("/api/generate", json=LARGE)
    assert answer.status_code == 422
    error, alternatives = answer.json()["error"], answer.json()["alternatives"]
    assert error["code"] == "does_not_fit"
    assert "the largest machine has 17.0 GB for it" in error["message"]
    assert alternatives[0]["summary"] in error["message"]
    assert alternatives[0]["changes"]["model"] == "demo"
    assert estimate(front, **LARGE | alternatives[0]["changes"])["fits"]
    assert front.get("/api/jobs").json()["jobs"] == []


def test_every_surface_refuses_what_does_not_fit(front: httpx.Client) -> None:
    task = front.post("/generate/submit", json=LARGE)
    assert task.status_code == 422
    assert set(task.json()) == {"error"}
    assert "GB of memory" in task.json()["error"]
    video = front.post("/v1/videos", json=LARGE)
    assert (video.status_code, video.json()["error"]["code"]) == (422, "does_not_fit")
    assert front.get("/api/jobs").json()["jobs"] == []


def test_a_cost_has_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        Settings(data_dir=tmp_path, cost_per_hour=0)
