"""Both Python clients against the running service."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from hunyuan_runner.client import (
    ApiError,
    AsyncHunyuanClient,
    FinalEvent,
    Job,
    JobFailed,
    PreviewEvent,
    ProgressEvent,
    StateEvent,
    WaitTimeout,
    calls,
)
from tests.conftest import LONG, SHORT, Service


def test_a_clip_is_generated_waited_for_and_downloaded(
    hunyuan: Any, client: httpx.Client, tmp_path: Path
) -> None:
    handle = hunyuan.generate(**SHORT)
    assert handle.job.params.seed == SHORT["seed"]
    seen: list[Job] = []
    done = handle.wait(on_progress=seen.append)
    assert (done.status, done.progress, done.ended) == ("completed", 1, True)
    assert done == handle.job == seen[-1]
    assert {job.job_id for job in seen} == {handle.id}
    steps = [job.step for job in seen]
    assert steps == sorted(steps)
    assert handle.manifest().params.model_dump() == done.params.model_dump()
    path = handle.download(tmp_path / "clip.mp4")
    assert path.read_bytes() == client.get(done.video_url).content
    assert list(tmp_path.iterdir()) == [path]


def test_the_events_of_a_job_lead_to_its_end(
    hunyuan: Any, client: httpx.Client, running_job: dict[str, Any]
) -> None:
    handle = hunyuan.generate(**SHORT | {"prompt": "A red circle\u2028a \u0085 blue square"})
    events = handle.events()
    first = next(events)  # the job is queued
    client.post(f"/api/jobs/{running_job['job_id']}/cancel")
    *between, last = events
    assert isinstance(first, StateEvent)
    assert isinstance(last, FinalEvent)
    assert last.job == handle.job == hunyuan.job(handle.id).job
    assert last.job.params.prompt == "A red circle\u2028a \u0085 blue square"
    assert {type(event) for event in between} <= {StateEvent, ProgressEvent, PreviewEvent}
    assert {type(event) for event in between} >= {ProgressEvent, PreviewEvent}
    assert {event.job_id for event in (first, *between, last)} == {handle.id}
    ids = [int(event.id) for event in (first, *between, last)]
    assert ids == sorted(set(ids))
    (again,) = handle.events()
    assert again.job == last.job


def test_the_events_of_all_jobs_include_new_jobs(hunyuan: Any) -> None:
    def first_to_end() -> str:
        return str(next(e.job_id for e in hunyuan.events() if isinstance(e, FinalEvent)))

    submitted = []
    with ThreadPoolExecutor(1) as reader:
        reading = reader.submit(first_to_end)
        while not reading.done():
            handle = hunyuan.generate(**SHORT)
            submitted.append(handle.id)
            handle.wait()
    assert reading.result() in submitted


def test_parameters_that_are_none_are_left_to_the_service(hunyuan: Any) -> None:
    handle = hunyuan.generate(**LONG | {"width": None, "negative_prompt": None})
    handle.cancel()
    assert handle.job.params.width == hunyuan.info().models[0].presets["standard"].width
    assert handle.job.params.negative_prompt is None


def test_the_info_names_the_default_model(hunyuan: Any) -> None:
    info = hunyuan.info()
    assert [model.id for model in info.models if model.default] == ["demo"]
    assert info.host.cores > 0


def test_jobs_are_listed_page_by_page(hunyuan: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "PAGE_SIZE", 2)
    handles = [hunyuan.generate(**LONG) for _ in range(3)]
    first = hunyuan.list(limit=2)
    second = hunyuan.list(limit=2, after=first.next)
    for handle in handles:
        handle.cancel()
    listed = [job.job_id for page in (first, second) for job in page.jobs]
    submitted = [handle.id for handle in reversed(handles)]
    assert listed[:3] == submitted
    assert first.has_more
    every = [handle.id for handle in hunyuan.iterate()]
    assert every[:3] == submitted
    assert every == sorted(set(every), reverse=True)
    canceled = [handle.id for handle in hunyuan.iterate(status="canceled")]
    assert canceled[:3] == submitted
    assert canceled[:2] == [job.job_id for job in hunyuan.list(status="canceled", limit=2).jobs]


def test_finished_clips_are_found_and_downloaded(
    hunyuan: Any, clip: dict[str, Any], client: httpx.Client, tmp_path: Path
) -> None:
    found = next(h for h in hunyuan.iterate(status="completed") if h.id == clip["job_id"])
    path = found.download(tmp_path / "clip.mp4")
    assert path.read_bytes() == client.get(clip["video_url"]).content


def test_a_job_is_canceled_retried_and_deleted(
    hunyuan: Any, client: httpx.Client, running_job: dict[str, Any]
) -> None:
    handle = hunyuan.generate(**SHORT)  # it is queued
    assert handle.cancel().status == "canceled"
    assert handle.job.status == "canceled"
    with pytest.raises(JobFailed, match="was canceled") as failed:
        handle.wait()
    assert (failed.value.code, failed.value.job.job_id) == ("canceled", handle.id)
    assert handle.retry().status == "pending"
    client.post(f"/api/jobs/{running_job['job_id']}/cancel")
    assert handle.wait().status == "completed"
    assert handle.refresh() == handle.job
    handle.delete()
    with pytest.raises(ApiError) as refusal:
        hunyuan.job(handle.id)
    assert refusal.value.status == 404
    with pytest.raises(ApiError):
        list(handle.events())


def test_a_job_waits_for_its_draft_to_be_approved(hunyuan: Any) -> None:
    handle = hunyuan.generate(**SHORT, draft_steps=1)
    for event in handle.events():
        if isinstance(event, StateEvent) and event.job.stage == "paused":
            assert (event.job.status, event.job.step) == ("paused", 1)
            assert event.job.draft_url
            assert handle.resume().status == "pending"
    assert handle.job.status == "completed"
    assert handle.job.resumed_from_step == 1
    with pytest.raises(ApiError, match="no draft"):
        handle.download_draft("draft.mp4")
    waiting = hunyuan.generate(**LONG)
    assert waiting.pause().pausing or waiting.job.stage == "paused"
    waiting.cancel()


def test_a_wait_may_end_at_a_pause(hunyuan: Any, client: httpx.Client, tmp_path: Path) -> None:
    handle = hunyuan.generate(**SHORT, draft_steps=1)
    paused = handle.wait(until_paused=True)
    assert paused.paused
    assert not paused.ended
    path = handle.download_draft(tmp_path / "draft.mp4")
    assert path.read_bytes() == client.get(str(paused.draft_url)).content
    handle.resume()
    assert handle.wait(until_paused=True).status == "completed"


def test_a_refusal_names_the_field_and_valid_values(hunyuan: Any) -> None:
    with pytest.raises(ApiError, match="49 or 53") as refusal:
        hunyuan.generate("A cat", num_frames=50)
    assert (refusal.value.status, refusal.value.param) == (422, "num_frames")


def test_a_wait_times_out_and_an_unfinished_clip_cannot_be_downloaded(
    hunyuan: Any, tmp_path: Path
) -> None:
    handle = hunyuan.generate(**LONG)
    with pytest.raises(WaitTimeout, match=handle.id) as timeout:
        handle.wait(timeout=0.5)
    assert isinstance(timeout.value, TimeoutError)
    with pytest.raises(ApiError) as refusal:
        handle.download(tmp_path / "clip.mp4")
    handle.cancel()
    assert refusal.value.status == 409
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("job_id", ["nope", "../info", "a b", "ü?x=1#y"])
def test_a_strange_id_is_not_found(hunyuan: Any, job_id: str) -> None:
    with pytest.raises(ApiError) as refusal:
        hunyuan.job(job_id)
    assert refusal.value.status == 404


def test_async_waits_run_at_once_and_can_be_canceled(
    service: Service,
) -> None:
    short: dict[str, Any] = SHORT
    long: dict[str, Any] = LONG

    async def generate() -> list[Job]:
        async with AsyncHunyuanClient(service.url) as client:
            handles = await asyncio.gather(*(client.generate(**short) for _ in range(2)))
            shown: list[Job] = []

            async def show(job: Job) -> None:
                await asyncio.sleep(0)
                shown.append(job)

            done = await asyncio.gather(*(handle.wait(on_progress=show) for handle in handles))
            assert {job.job_id for job in shown} == {handle.id for handle in handles}
            endless = await client.generate(**long)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(endless.wait(), 0.5)
            await endless.cancel()
            return done

    assert [job.status for job in asyncio.run(generate())] == ["completed", "completed"]


def test_client_and_command_line_import_neither_models_nor_server() -> None:
    program = (
        "import sys, hunyuan_runner.cli\n"
        "heavy = {'torch', 'numpy', 'diffusers', 'bentoml', 'fastapi', 'sqlalchemy'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_clip_is_estimated_without_queueing_it(hunyuan: Any) -> None:
    before = hunyuan.list(limit=1)
    estimate = hunyuan.estimate(**SHORT)
    assert estimate.fits
    assert estimate.in_time is None
    assert estimate.alternatives == ()
    assert 0 < estimate.seconds.low <= estimate.seconds.expected <= estimate.seconds.high
    assert estimate.params.num_inference_steps == SHORT["num_inference_steps"]
    assert hunyuan.list(limit=1) == before


def test_an_alternative_for_a_deadline_can_be_requested_as_it_is(hunyuan: Any) -> None:
    asked = {"width": 512, "height": 512, "num_frames": 129}
    whole = hunyuan.estimate(**asked)
    deadline = whole.queue_seconds * 2 + whole.seconds.high / 3
    late = hunyuan.estimate(deadline_seconds=deadline, **asked)
    assert late.in_time is False
    for alternative in late.alternatives:
        better = hunyuan.estimate(deadline_seconds=deadline, **asked | alternative.changes)
        assert better.in_time
        assert better.alternatives == ()
    assert late.alternatives


def test_all_queued_jobs_are_canceled_in_one_call(
    hunyuan: Any, running_job: dict[str, Any]
) -> None:
    waiting = [hunyuan.generate(**SHORT) for _ in range(3)]
    assert hunyuan.cancel_all() == 3
    assert {handle.refresh().status for handle in waiting} == {"canceled"}
    assert hunyuan.cancel_all() == 0
    assert hunyuan.job(running_job["job_id"]).job.status == "in_progress"
