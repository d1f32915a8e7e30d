"""Prometheus metrics: requests by route template, and the state of the queue."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from hunyuan_runner.api.backend import Backend, FromBackend
from hunyuan_runner.api.document import refusals
from hunyuan_runner.api.views import capacity_view
from hunyuan_runner.wire import JobState

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

router = APIRouter()

_requests_registry = CollectorRegistry()
REQUESTS = Counter(
    "hunyuan_http_requests",
    "Requests answered.",
    ("method", "route", "status"),
    registry=_requests_registry,
)
LATENCY = Histogram(
    "hunyuan_http_request_seconds",
    "Time from the request's headers to the answer's.",
    ("method", "route"),
    buckets=LATENCY_BUCKETS,
    registry=_requests_registry,
)


class _QueueCollector(Collector):
    """Reads the job store for each scrape, so that every front reports the same."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = backend.jobs

    def collect(self) -> Iterator[GaugeMetricFamily]:
        counts = self._jobs.counts()
        by_state = GaugeMetricFamily("hunyuan_jobs", "Jobs by state.", labels=["state"])
        for state, number in counts.items():
            by_state.add_metric([state], number)
        yield by_state
        yield GaugeMetricFamily(
            "hunyuan_queue_length", "Jobs waiting for a worker.", counts[JobState.PENDING]
        )
        yield from self._capacity()
        yield GaugeMetricFamily(
            "hunyuan_workers", "Workers whose lease is fresh.", self._jobs.live_workers()
        )

    def _capacity(self) -> Iterator[GaugeMetricFamily]:
        target = self._backend.settings.target_wait_seconds
        view = capacity_view(self._jobs.capacity(), self._backend.installed_models(), target)
        queued = GaugeMetricFamily(
            "hunyuan_queued_seconds",
            "Expected time to render the queued jobs one after another, by model.",
            labels=["model"],
        )
        for model in view.models:
            queued.add_metric([model.model], model.queued_seconds)
        yield queued
        yield GaugeMetricFamily(
            "hunyuan_runners_wanted",
            "Runners with which every queued job would begin within HUNYUAN_TARGET_WAIT_SECONDS.",
            view.runners_wanted,
        )


@router.get(
    "/metrics",
    tags=["operations"],
    operation_id="metrics",
    response_class=Response,
    responses=refusals(503),
)
def metrics(backend: FromBackend) -> Response:
    """Requests, jobs and workers, for Prometheus."""
    queue = CollectorRegistry()
    queue.register(_QueueCollector(backend))
    content = generate_latest(_requests_registry) + generate_latest(queue)
    return Response(content, media_type=CONTENT_TYPE_LATEST)
