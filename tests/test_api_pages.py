"""The pages, the documents and what machines ask for."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
LOADED = re.compile(r"""(?:src|href)=["']([^"']+)["']|url\(["']?([^"')]+)""")


def test_the_index_is_a_page_for_browsers(client: httpx.Client) -> None:
    page = client.get("/", headers=BROWSER)
    assert page.headers["Content-Type"].startswith("text/html")
    assert 'id="prompt"' in page.text


@pytest.mark.parametrize("accept", ["application/json", "*/*"], ids=["json", "curl"])
def test_the_index_is_a_list_of_routes_for_programs(client: httpx.Client, accept: str) -> None:
    index = client.get("/", headers={"Accept": accept}).json()
    assert index["name"] == "hunyuan-runner"
    for route in ("POST /api/generate", "GET /api/status/{job_id}", "POST /generate/submit"):
        assert index["routes"][route]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_loads_nothing_from_elsewhere(client: httpx.Client, path: str) -> None:
    page = client.get(path, headers=BROWSER)
    loaded = [a or b for a, b in LOADED.findall(page.text)]
    assets = [name for name in loaded if name.startswith("static/")]
    assert assets
    for name in loaded:
        assert name.startswith("data:") or "//" not in name, name
    for name in assets:
        asset = client.get(f"/{name}")
        assert asset.status_code == 200
        assert not re.search(r"url\(\s*['\"]?https?:", asset.text)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/static/docs/../app.py", "/static/docs/%2e%2e/app.py"])
def test_only_assets_are_served_as_files(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_openapi_document_lists_the_answers_of_every_route(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["description"], path
            assert operation["operationId"], path
    refused = document["paths"]["/api/generate"]["post"]["responses"]
    assert {"202", "400", "413", "415", "422", "503"} <= set(refused)


def test_the_info_has_models_bounds_and_machine(client: httpx.Client) -> None:
    info = client.get("/api/info").json()
    assert {"python", "torch", "diffusers", "bentoml"} <= set(info["versions"])
    assert info["bounds"]["width"] == {"minimum": 64, "maximum": 1280}
    assert info["host"]["cores"] >= info["host"]["threads"] >= 1
    assert info["host"]["memory_bytes"] > 2**30
    demo = next(model for model in info["models"] if model["id"] == "demo")
    assert demo["installed"]
    assert demo["default"]
    assert demo["presets"]["standard"]["width"] == 192


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_the_probes_answer(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == {"status": "ok"}


def test_health_counts_the_worker(client: httpx.Client) -> None:
    health = client.get("/health").json()
    assert (health["status"], health["workers"]) == ("ok", 1)


def test_metrics_count_jobs_and_requests_by_route(
    client: httpx.Client, clip: dict[str, Any]
) -> None:
    client.get(f"/api/status/{clip['job_id']}")
    text = client.get("/metrics").text
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["hunyuan_jobs", "completed"] >= 1
    assert samples["hunyuan_workers",] == 1
    route = tuple(sorted(["GET", "/api/status/{job_id}", "200"]))
    assert samples["hunyuan_http_requests_total", *route] >= 1
    assert clip["job_id"] not in text


def test_every_answer_has_a_request_id_which_the_client_may_choose(client: httpx.Client) -> None:
    assert client.get("/livez", headers={"X-Request-Id": "mine-1"}).headers["X-Request-Id"] == (
        "mine-1"
    )
    chosen = client.get("/livez", headers={"X-Request-Id": "<script>"}).headers["X-Request-Id"]
    assert re.fullmatch(r"[0-9a-f]{16}", chosen)


def test_bentomls_own_pages_with_their_trackers_are_gone(client: httpx.Client) -> None:
    for path in ("/", "/docs", "/docs.json"):
        text = client.get(path, headers=BROWSER).text
        assert "googletagmanager" not in text
        assert "unpkg.com" not in text


def test_the_capacity_is_the_same_in_the_api_and_in_the_metrics(client: httpx.Client) -> None:
    answer = client.get("/api/capacity", params={"target_wait_seconds": 60}).json()
    assert answer["target_wait_seconds"] == 60
    assert answer["runners"] == 1
    demo = next(model for model in answer["models"] if model["model"] == "demo")
    assert demo["runners"] == 1
    metrics = client.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(metrics)}
    queued = families["hunyuan_queued_seconds"].samples
    assert {sample.labels["model"] for sample in queued} >= {"demo"}
    assert families["hunyuan_runners_wanted"].samples[0].value >= 0


@pytest.mark.parametrize("target", ["0", "-1", "nan", "inf", "1e9", "soon"])
def test_a_target_wait_that_is_none_is_refused(client: httpx.Client, target: str) -> None:
    refused = client.get("/api/capacity", params={"target_wait_seconds": target})
    assert refused.status_code == 422
    assert refused.json()["error"]["param"] == "target_wait_seconds"
