"""The metrics that come from the job database. Every front reports the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from hunyuan_runner.api.backend import Backend
from hunyuan_runner.api.views import capacity_view
from hunyuan_runner.jobs.tallies import COUNTERS, HISTOGRAMS, Counter, Histogram, Tally
from hunyuan_runner.wire import JobState


class FromDatabase(Collector):
    """Reads the job database at each scrape."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._jobs = backend.jobs

    def collect(self) -> Iterator[Metric]:
        """Raises JobsUnavailable."""
        yield from self._queue()
        yield from self._runners()
        yield from self._counted()

    def _queue(self) -> Iterator[Metric]:
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
            "hunyuan_webhooks_pending",
            "Webhooks to be sent, or to be sent again.",
            self._jobs.outbox.pending(),
        )

    def _capacity(self) -> Iterator[Metric]:
        target = self._backend.settings.target_wait_seconds
        view = capacity_view(self._jobs.capacity(), self._backend.installed_models(), target)
        queued = GaugeMetricFamily("hunyuan_queued_jobs", "Jobs in the queue.", labels=["model"])
        seconds = GaugeMetricFamily(
            "hunyuan_queued_seconds",
            "Expected time to render the queued jobs one after another, by model.",
            labels=["model"],
        )
        for model in view.models:
            queued.add_metric([model.model], model.queued_jobs)
            seconds.add_metric([model.model], model.queued_seconds)
        yield from (queued, seconds)
        yield GaugeMetricFamily(
            "hunyuan_runners_wanted",
            "Runners with which every queued job would begin within HUNYUAN_TARGET_WAIT_SECONDS.",
            view.runners_wanted,
        )

    def _runners(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "hunyuan_workers", "Workers whose lease is fresh.", self._jobs.live_workers()
        )
        info = GaugeMetricFamily(
            "hunyuan_runner_info", "Versions of the runners.", labels=["runner", "version"]
        )
        seen = GaugeMetricFamily(
            "hunyuan_runner_last_seen_timestamp_seconds",
            "When a runner last renewed its lease. A runner that is gone is listed until another "
            "has taken over from it.",
            labels=["runner"],
        )
        size = GaugeMetricFamily(
            "hunyuan_runner_disk_size_bytes",
            "Size of the disk of a runner's data folder.",
            labels=["runner"],
        )
        free = GaugeMetricFamily(
            "hunyuan_runner_disk_free_bytes",
            "Free space on the disk of a runner's data folder, at most some minutes ago.",
            labels=["runner"],
        )
        for runner in self._jobs.runners():
            info.add_metric([runner.executor_id, runner.version or ""], 1)
            seen.add_metric([runner.executor_id], runner.seen_at)
            if runner.disk_size_bytes is not None and runner.disk_free_bytes is not None:
                size.add_metric([runner.executor_id], runner.disk_size_bytes)
                free.add_metric([runner.executor_id], runner.disk_free_bytes)
        yield from (info, seen, size, free)

    def _counted(self) -> Iterator[Metric]:
        counted = self._jobs.tallies()
        models = {tally.model for tallies in counted.values() for tally in tallies}
        models |= {*self._backend.installed_models()}
        shown = sorted(models - {""})
        for counter in COUNTERS:
            yield _counter(counter, counted.get(counter.name, []), shown)
        for histogram in HISTOGRAMS:
            yield _histogram(histogram, counted.get(histogram.name, []), shown)


def _counter(counter: Counter, counted: Sequence[Tally], models: Sequence[str]) -> Metric:
    labels = ["model"] if counter.by_model else []
    labels += [counter.label] if counter.label else []
    family = CounterMetricFamily(counter.name, counter.help, labels=labels)
    known = ("",) if counter.label is None else counter.known
    # From zero, or Prometheus would not see the first one as a rise.
    totals = {
        (model, value): 0.0 for model in (models if counter.by_model else ("",)) for value in known
    } | {(tally.model, tally.value): tally.total for tally in counted}
    for (model, value), total in totals.items():
        values = [model] if counter.by_model else []
        family.add_metric([*values, value] if counter.label else values, total)
    return family


def _histogram(histogram: Histogram, counted: Sequence[Tally], models: Sequence[str]) -> Metric:
    family = HistogramMetricFamily(histogram.name, histogram.help, labels=["model"])
    bounds = [*map(floatToGoString, histogram.bounds), "+Inf"]
    nothing = (0,) * len(bounds)
    by_model = dict.fromkeys(models, (nothing, 0.0))
    by_model |= {tally.model: (tally.buckets, tally.total) for tally in counted}
    for model, (buckets, total) in by_model.items():
        family.add_metric([model], list(zip(bounds, accumulate(buckets), strict=True)), total)
    return family
