"""The service sets every field of what it answers; a reader takes what other versions answer."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from hunyuan_runner import wire
from hunyuan_runner.api.views import (
    estimate_view,
    job_list,
    job_view,
    model_view,
    preview_view,
    progress_view,
    runner_view,
)
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.client.views import Job
from hunyuan_runner.jobs.job import Webhook
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.params import GenerationRequest, Stage
from hunyuan_runner.quoting.estimate import Range
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.quoting.quotes import Alternative, Estimate, Quote
from hunyuan_runner.settings import Settings
from hunyuan_runner.wire import ClipWarning, EstimateView, Info, JobState, JobView, Wire

WARNING = ClipWarning(code="no_worker", message="No worker is running.")
PARAMS = GenerationRequest(prompt="A cat", seed=7).resolve("demo", MODELS["demo"].presets)
QUOTE = Quote(PARAMS, Range(1.04, 2.0, 3.0), peak_memory_bytes=1000, fits=True, cost=0.123456)
JOB_IS = {"job_id", "status", "created_at", "params"}  # without which it is no job


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    store = Jobs(Settings(data_dir=tmp_path, calibrate=False))
    yield store
    store.close()


@pytest.fixture
def job(jobs: Jobs) -> dict[str, Any]:
    """A job as the service writes it."""
    webhook = Webhook("https://example.com/hook?token=1", ("completed",))
    queued = jobs.submit(PARAMS, metadata={"order": "17"}, warnings=[WARNING], webhook=webhook)
    answer: dict[str, Any] = json.loads(job_view(queued, "").model_dump_json())
    return answer


def test_the_service_sets_every_field(jobs: Jobs, tmp_path: Path) -> None:
    job = jobs.submit(PARAMS)
    machine = Profile.of_this_machine(Settings(data_dir=tmp_path, calibrate=False))
    estimate = Estimate(QUOTE, 1.0, [Alternative({"width": 64}, QUOTE)], [WARNING])
    written: list[Wire] = [
        job_list(jobs.list(), ""),
        progress_view(job),
        preview_view(job, ""),
        estimate_view(estimate, 10),
        model_view(MODELS["demo"], installed=True, has_fast_decoder=True, default=True),
        runner_view(machine),
    ]
    for view in written:
        require_whole(view)


def require_whole(value: object) -> None:
    """Fails if a field of this view, or of one inside it, was left at what a reader assumes."""
    if isinstance(value, Wire):
        assert value.model_fields_set == set(type(value).model_fields), type(value)
        for _, field in value:
            require_whole(field)
    elif isinstance(value, dict | tuple | list):
        for each in value.values() if isinstance(value, dict) else value:
            require_whole(each)


def test_a_job_is_written_with_its_path_and_without_secrets(job: dict[str, Any]) -> None:
    assert (job["status"], job["stage"], job["metadata"]) == ("pending", "queued", {"order": "17"})
    assert job["webhook_url"] == "https://example.com/hook"
    assert job["params"] == PARAMS.model_dump(mode="json")
    assert [warning["code"] for warning in job["warnings"]] == ["no_worker", "no_worker"]
    assert list(job)[:3] == ["job_id", "status", "progress"]


def test_numbers_are_written_rounded_and_kept_as_they_are() -> None:
    written = estimate_view(Estimate(QUOTE, 0.26, []), None)
    assert written.seconds.low == 1.04
    answer = json.loads(written.model_dump_json())
    assert (answer["seconds"]["low"], answer["queue_seconds"], answer["cost"]) == (1.0, 0.3, 0.1235)


def test_what_is_written_is_read_as_it_was(job: dict[str, Any]) -> None:
    read = Job.model_validate(job)
    assert json.loads(read.model_dump_json()) == job
    assert (read.status, read.stage) == (JobState.PENDING, Stage.QUEUED)
    assert read.params == PARAMS


@pytest.mark.parametrize("name", sorted(set(JobView.model_fields) - JOB_IS))
@pytest.mark.parametrize("absent", ["missing", "null", "of an unknown form"])
def test_a_job_is_read_without(job: dict[str, Any], name: str, absent: str) -> None:
    """As an older service, or a newer one, may write it."""
    del job[name]
    if absent != "missing":
        job[name] = None if absent == "null" else [{"unknown": [1]}]
    read = Job.model_validate_json(json.dumps(job))
    assert getattr(read, name) in (None, 0, False, "", (), {})
    assert isinstance(read.model_dump_json(), str)


def newer(job: dict[str, Any]) -> dict[str, Any]:
    """This job of a service that makes larger clips in more steps, with more words."""
    params = job["params"] | {"width": 1920, "height": 1088, "num_frames": 301, "fps": 120}
    params |= {"step_cache": "turbo", "guidance_scale": None, "sampler": "unipc"}
    return job | {
        "status": "archived",
        "stage": "upscaling",
        "params": params,
        "eta_seconds": {"low": 1, "expected": 2, "high": 3, "guess": True, "percentile": 90},
        "error": {"code": "melted", "message": "Too hot.", "hint": {"see": "docs"}},
        "warnings": [{"code": "too_hot", "message": "It is hot.", "since": 5}],
        "tenant": {"name": "ana"},
    }


def test_a_job_of_a_newer_service_is_read_and_written_as_it_is(job: dict[str, Any]) -> None:
    read = Job.model_validate_json(json.dumps(newer(job)))
    assert json.loads(read.model_dump_json()) == newer(job)
    assert (read.status, read.stage) == ("archived", "upscaling")
    assert (read.params.width, read.params.num_frames) == (1920, 301)
    assert str(read.params.step_cache) == "turbo"
    assert read.error is not None
    assert (read.error.code, read.warnings[0].code) == ("melted", "too_hot")
    assert not read.ended
    assert not read.paused


def test_a_clip_without_the_parameters_we_know_is_read(job: dict[str, Any]) -> None:
    params = {"prompt": "A cat", "model": "next", "duration": 5}
    read = Job.model_validate_json(json.dumps(job | {"params": params}))
    assert (read.params.prompt, read.params.step_cache) == ("A cat", "off")
    assert {name for name, value in read.params if value is None} >= {"width", "flow_shift"}
    assert read.params.model_dump()["duration"] == 5


def test_an_estimate_of_another_version_is_read(job: dict[str, Any]) -> None:
    older = json.loads(estimate_view(Estimate(QUOTE, 1.0, []), None).model_dump_json())
    for name in ("warnings", "alternatives", "in_time", "cost", "fits", "queue_seconds"):
        del older[name]
    read = EstimateView.model_validate_json(json.dumps(older))
    assert (read.fits, read.queue_seconds, read.warnings, read.alternatives) == (True, 0, (), ())
    changes = {"width": 64, "tiles": [1, 2], "seconds": None}
    alternative = older | {"changes": changes, "summary": "smaller", "carbon": 3}
    answer = older | {"params": newer(job)["params"], "alternatives": [alternative]}
    read = EstimateView.model_validate_json(json.dumps(answer))
    assert read.params.width == 1920
    assert read.alternatives[0].changes == changes


def test_a_service_that_says_little_about_itself_is_read() -> None:
    info = Info.model_validate({"name": "hunyuan-runner"})
    assert (info.models, info.runners, info.host.cores) == ((), (), 0)
    preset = {"width": 1920, "height": 1088, "step_cache": "turbo", "sampler": "unipc"}
    model = {"id": "next", "installed": True, "presets": {"ultra": preset}}
    info = Info.model_validate({"name": "hunyuan-runner", "models": [model], "host": None})
    (preset_read,) = info.models[0].presets.values()
    assert str(preset_read.step_cache) == "turbo"


@pytest.mark.parametrize("name", sorted(JOB_IS))
def test_what_is_no_job_is_refused(job: dict[str, Any], name: str) -> None:
    del job[name]
    with pytest.raises(ValueError, match=name):
        Job.model_validate(job)


def test_the_document_names_our_own_words_alone() -> None:
    schema = JobView.model_json_schema(mode="serialization")
    assert schema["required"] == list(JobView.model_fields)
    assert "additionalProperties" not in schema
    codes = schema["$defs"]["ClipWarning"]["properties"]["code"]["enum"]
    assert codes == list(get_args(wire.WarningCode))
    assert schema["properties"]["step"] == {
        "title": "Step",
        "type": "integer",
        "description": "Denoising steps done.",
    }


def test_a_light_client_brings_no_server_along() -> None:
    code = "import sys, hunyuan_runner.wire; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert not {"fastapi", "starlette", "sqlalchemy", "httpx"} & set(loaded)
