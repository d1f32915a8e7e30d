"""Every query of the dashboard for Grafana, run by a real Prometheus that scrapes a real service.

Grafana itself is not run. Its form was checked once with Grafana's own Foundation SDK.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, StartService, finish, submit
from tests.prometheus import Prometheus, running_prometheus
from tests.receiver import receiving, wait_until

DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
QUERIES = [
    (panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", ())
]
# What Grafana would put in place of variables.
VARIABLES = {"$__rate_interval": "10s", "$window": "2m", "$model": "demo|fasthunyuan"}


@pytest.fixture(scope="module")
def prometheus(
    start_service: StartService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """One that has seen a service render clips and send webhooks."""
    service = start_service(HUNYUAN_WEBHOOK_ALLOW_PRIVATE="true")
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        httpx.Client(base_url=service.url, timeout=30) as client,
        receiving() as receiver,
        running_prometheus(folder, [service.url]) as prometheus,
    ):
        for _ in range(2):
            job = submit(client, webhook_url=receiver.url)
            assert finish(client, job)["status"] == "completed"
        wait_until(lambda: prometheus.query('hunyuan_jobs{state="completed"} == 2'))
        yield prometheus
        assert prometheus.has_fired() <= {"HunyuanRenderSlow"}  # if this machine is busy


@pytest.mark.slow
@pytest.mark.parametrize(("title", "query"), QUERIES, ids=[f"{t}: {q[:40]}" for t, q in QUERIES])
def test_a_query_of_the_dashboard_finds_data(
    prometheus: Prometheus, title: str, query: str
) -> None:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query
    wait_until(lambda: prometheus.query(query))
    values = [float(sample["value"][1]) for sample in prometheus.query(query)]
    assert any(math.isfinite(value) for value in values), values


@pytest.mark.slow
def test_the_panels_show_what_the_service_did(prometheus: Prometheus) -> None:
    assert (
        prometheus.value('sum(max by (model) (hunyuan_jobs_ended_total{state="completed"}))') == 2
    )
    wait_until(lambda: prometheus.query('hunyuan_webhook_attempts_total{outcome="delivered"} == 4'))
    assert prometheus.value('sum(hunyuan_jobs_ended_total{state="completed"})') == 2
    slower = prometheus.value("hunyuan_render_seconds_sum / hunyuan_render_quoted_seconds_total")
    assert slower > 0


def test_every_alert_and_metric_of_the_dashboard_is_documented() -> None:
    page = (ROOT / "docs" / "watching.md").read_text()
    for title, query in QUERIES:
        for metric in re.findall(r"\bhunyuan_\w+", query):
            assert f"`{re.sub('_(sum|count|bucket)$', '', metric)}`" in page, (title, metric)


def test_panels_have_titles_ids_of_their_own_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        assert panel["title"]
        assert panel["type"] == "row" or panel["description"]
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_query_asks_the_chosen_prometheus() -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in PANELS:
        if panel["type"] != "row":
            assert panel["datasource"] == chosen
            assert all(target["datasource"] == chosen for target in panel["targets"])
    names = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert names == ["datasource", "model", "window"]
