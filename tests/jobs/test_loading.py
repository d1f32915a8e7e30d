"""Quotes contain the time until an engine has loaded the model, if it does not hold it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.catalogue import MODELS
from hunyuan_runner.engine.messages import Event, Finished, StageStarted
from hunyuan_runner.jobs import database, standing
from hunyuan_runner.jobs.claim import Claim
from hunyuan_runner.jobs.lease import Lease
from hunyuan_runner.jobs.store import Jobs
from hunyuan_runner.jobs.worker import Worker
from hunyuan_runner.params import EstimateRequest, GenerationParams, Stage
from hunyuan_runner.quoting.estimate import Work, guess_loading
from hunyuan_runner.quoting.profile import Profile
from hunyuan_runner.settings import Settings
from hunyuan_runner.storage.opening import open_storage
from tests.jobs.conftest import clip, wait_for_end
from tests.jobs.worker_process import CountingRenderer

WORK = Work.of(clip(), MODELS["demo"])
LOADING = 100.0  # seconds


@pytest.fixture
def lease(jobs: Jobs, settings: Settings) -> Lease:
    """Of a worker whose engine holds no model."""
    lease = Lease(jobs.database, settings.lease_seconds)
    lease.renew(Profile.of_this_machine(settings).holding(None, {"demo": LOADING}))
    return lease


def eta(jobs: Jobs, job_id: str) -> float:
    found = jobs.get(job_id).eta_seconds
    assert found is not None
    return found.expected


def test_only_the_first_of_the_queue_waits_for_the_model(jobs: Jobs, lease: Lease) -> None:
    total = jobs.forecast().expect(WORK, "demo").total
    ids = [jobs.submit(clip()).id for _ in range(3)]
    assert [eta(jobs, job_id) for job_id in ids] == pytest.approx(
        [LOADING + total, LOADING + 2 * total, LOADING + 3 * total]
    )
    assert jobs.queue_seconds(priority=0) == pytest.approx(LOADING + 3 * total)


def test_the_presets_of_the_page_are_quoted_without_loading(
    jobs: Jobs, lease: Lease, settings: Settings
) -> None:
    backend = Backend(settings, jobs, open_storage(settings))
    quote = backend.preset_quotes(MODELS["demo"])["fast"]
    total = jobs.forecast().expect(Work.of(quote.params, MODELS["demo"]), "demo").total
    assert quote.seconds.expected == total


def test_an_estimate_waits_for_the_model_if_no_job_goes_first(
    jobs: Jobs, lease: Lease, settings: Settings
) -> None:
    backend = Backend(settings, jobs, open_storage(settings))
    request = EstimateRequest(width=64, height=64, num_frames=1, num_inference_steps=5)
    first = backend.estimate(request)
    jobs.submit(clip())
    second = backend.estimate(request)
    assert first.quote.seconds.expected == pytest.approx(LOADING + second.quote.seconds.expected)
    assert (first.queue_seconds, second.queue_seconds) == pytest.approx(
        (0, first.quote.seconds.expected)
    )


def test_an_engine_that_holds_the_model_loads_nothing(
    jobs: Jobs, lease: Lease, settings: Settings
) -> None:
    lease.renew(Profile.of_this_machine(settings).holding("demo", {"demo": LOADING}))
    total = jobs.forecast().expect(WORK, "demo").total
    assert eta(jobs, jobs.submit(clip()).id) == pytest.approx(total)


def test_loading_runs_out_while_it_is_under_way_and_is_over_after_it(
    jobs: Jobs, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = jobs.forecast().expect(WORK, "demo").total
    job_id, second = (jobs.submit(clip()).id for _ in range(2))
    claim = Claim.next(jobs.database, lease.executor_id)
    assert claim is not None
    claim.enter(Stage.LOADING)
    with jobs.database.connect() as connection:
        began = connection.execute(
            sa.select(database.jobs.c.progressed_at).where(database.jobs.c.id == job_id)
        ).scalar_one()
    for seconds, left in ((0, LOADING), (30, LOADING - 30), (LOADING + 30, 0)):
        monkeypatch.setattr(standing, "now_ms", lambda s=seconds: began + 1000 * s)
        assert eta(jobs, job_id) == pytest.approx(left + total)
        assert eta(jobs, second) == pytest.approx(left + 2 * total)
    claim.enter(Stage.ENCODING)
    assert eta(jobs, job_id) <= total


def test_a_clock_that_was_set_back_makes_loading_no_longer(
    jobs: Jobs, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = jobs.submit(clip()).id
    claim = Claim.next(jobs.database, lease.executor_id)
    assert claim is not None
    claim.enter(Stage.LOADING)
    monkeypatch.setattr(standing, "now_ms", lambda: 0)
    total = jobs.forecast().expect(WORK, "demo").total
    assert eta(jobs, job_id) == pytest.approx(LOADING + total)


class LoadingRenderer(CountingRenderer):
    """Its model takes a while to load."""

    SECONDS = 0.3
    model = None

    def generate(
        self,
        params: GenerationParams,
        checkpoint: bytes | None,
        on_event: Callable[[Event], None],
        *rest: Any,
        **options: Any,
    ) -> Finished:
        if self.model is None:
            on_event(StageStarted(Stage.LOADING))
            time.sleep(self.SECONDS)
            self.model = params.model
        return super().generate(params, checkpoint, on_event, *rest, **options)

    def unload(self) -> None:
        self.model = None


def test_a_worker_announces_at_once_what_its_engine_holds_and_how_long_loading_took(
    jobs: Jobs, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUNYUAN_DATA_DIR", str(settings.data_dir))  # where the renderer writes
    settings = settings.model_copy(update={"lease_seconds": 3600.0})
    renderer = LoadingRenderer()
    worker = Worker(settings, renderer)
    worker.start()

    def loading() -> float:
        return jobs.forecast().expect(WORK, "demo").loading

    try:
        assert loading() == guess_loading(MODELS["demo"])
        wait_for_end(jobs, jobs.submit(clip()).id)
        while loading() != 0:
            time.sleep(0.02)
        renderer.unload()
        while loading() == 0:
            time.sleep(0.02)
        assert loading() >= LoadingRenderer.SECONDS
        assert loading() != guess_loading(MODELS["demo"])
    finally:
        worker.stop()
