"""Prometheus metrics: those of this front, and those of the job database."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client import generate_latest as exposed
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hunyuan_runner import __version__
from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.document import refusals
from hunyuan_runner.api.exposition import FromDatabase
from hunyuan_runner.jobs.unavailable import JobsUnavailable
from hunyuan_runner.machine.disk import Room
from hunyuan_runner.settings import Settings

LATENCY_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

router = APIRouter()
log = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]  # in this format, gauges of no use
_of_this_front = CollectorRegistry()
ProcessCollector(registry=_of_this_front)
REQUESTS = Counter(
    "hunyuan_http_requests",
    "Requests answered.",
    ("method", "route", "status"),
    registry=_of_this_front,
)
LATENCY = Histogram(
    "hunyuan_http_request_seconds",
    "Time from the request's headers to the answer's.",
    ("method", "route"),
    buckets=LATENCY_BUCKETS,
    registry=_of_this_front,
)


class _Machine(Collector):
    """What this front is, and the disk that it writes to."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily(
            "hunyuan_build_info", "The version of this front.", labels=["version", "python"]
        )
        info.add_metric([__version__, platform.python_version()], 1)
        yield info
        room = Room.of(self._settings)
        yield GaugeMetricFamily(
            "hunyuan_disk_size_bytes", "Size of the disk of this front's data folder.", room.size
        )
        yield GaugeMetricFamily(
            "hunyuan_disk_free_bytes",
            "Free space on the disk of this front's data folder.",
            room.free,
        )
        yield GaugeMetricFamily(
            "hunyuan_disk_reserve_bytes",
            "New jobs are refused while the disk of the data folder has less free space than this.",
            room.needed_to_accept,
        )


class _DatabaseUp(Collector):
    def __init__(self, up: bool) -> None:
        self._up = up

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "hunyuan_database_up", "Whether this front reaches the job database.", self._up
        )


@router.get(
    "/metrics",
    tags=["operations"],
    operation_id="metrics",
    response_class=Response,
    responses=refusals(),
)
def metrics(request: Request) -> Response:
    """Requests, jobs, queue, runners and disks, for Prometheus.

    While the job database does not answer, `hunyuan_database_up` is 0, and what comes from the
    database is missing.
    """
    state = request.app.state
    found = _of_database(state.backend)
    content = exposed(_of_this_front) + _exposed(_Machine(state.settings))
    content += _exposed(_DatabaseUp(found is not None)) + (found or b"")
    return Response(content, media_type=CONTENT_TYPE_LATEST)


def _of_database(backend: Backend | None) -> bytes | None:
    """None if there is no answer from it."""
    if backend is None:
        return None
    try:
        return _exposed(FromDatabase(backend))
    except JobsUnavailable as error:
        log.warning("no metrics of the job database: %s", error.reason)
        return None


def _exposed(collector: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return exposed(registry)
