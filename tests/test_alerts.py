"""The alerts and the scrape configuration, by Prometheus' own tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, find_program
from tests.prometheus import DEPLOYED, quickened

RULES = (DEPLOYED / "alerts.yml").read_text()
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES)["groups"][0]["rules"]
NAMES = [alert["alert"] for alert in ALERTS]
CASES = [
    case
    for test in yaml.safe_load((DEPLOYED / "alerts_test.yml").read_text())["tests"]
    for case in test["alert_rule_test"]
]
PAGE = (ROOT / "docs" / "watching.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def promtool(*arguments: str, folder: Path = DEPLOYED) -> str:
    command = [find_program("promtool", "prometheus"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_no_fault_in_the_rules() -> None:
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", "--lint-fatal", "alerts.yml")


def test_promtool_finds_no_fault_in_the_scrape_configuration(tmp_path: Path) -> None:
    for file in ("prometheus.yml", "alerts.yml"):
        shutil.copy(DEPLOYED / file, tmp_path)
    (tmp_path / "hunyuan.key").write_text("key")
    assert "is valid" in promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_every_alert_fires_by_its_fault_and_is_silent_otherwise() -> None:
    promtool("test", "rules", "alerts_test.yml")
    for name in NAMES:
        outcomes = {bool(case.get("exp_alerts")) for case in CASES if case["alertname"] == name}
        assert outcomes == {True, False}, name


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_an_alert_uses_documented_metrics_and_says_what_to_do(alert: dict[str, Any]) -> None:
    metrics = set(re.findall(r"\bhunyuan_\w+", alert["expr"]))
    for metric in metrics:
        assert f"`{re.sub('_(sum|count|bucket)$', '', metric)}`" in PAGE, metric
    assert f"\n### {alert['alert']}\n" in PAGE
    assert f"\n| `{alert['alert']}` |" in OPERATIONS
    assert alert["annotations"].keys() == {"summary", "description"}


def test_the_rules_can_be_made_sixty_times_as_fast_for_a_drill() -> None:
    quick = quickened(RULES)
    assert len(re.findall(r"for: \d+s$", quick, re.MULTILINE)) == RULES.count("for: ")
    assert "increase(hunyuan_takeovers_total[1m])" in quick
    assert "[6m]" in quick
    assert "[30s]" in quick
