"""The alert rules: what Prometheus's own tool says of them, and that each has a runbook."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml

from deploy.artefacts.files import ROOT
from deploy.programs import prometheus_program
from tests.deploy.queries import problems

FOLDER = ROOT / "deploy" / "prometheus"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0][
    "rules"
]
ALERTS = [rule["alert"] for rule in RULES]
HEADINGS = ["What it means", "What to look at", "What to do"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "--lint-fatal", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    command = [str(prometheus_program("promtool")), *arguments]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    cases = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    tests = [test for case in cases for test in case["alert_rule_test"]]
    for alert in ALERTS:
        assert {bool(t["exp_alerts"]) for t in tests if t["alertname"] == alert} == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_an_alert_asks_for_what_is_told(rule: dict[str, Any]) -> None:
    assert problems(rule["expr"]) == []


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_an_alert_has_a_severity_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    runbook = (ROOT / rule["annotations"]["runbook_url"]).read_text()
    assert runbook.startswith(f"# {rule['alert']}\n")
    assert [line[3:] for line in runbook.splitlines() if line.startswith("## ")] == HEADINGS


def test_no_runbook_is_without_its_alert() -> None:
    linked = {rule["annotations"]["runbook_url"] for rule in RULES}
    runbooks = {f"docs/runbooks/{p.name}" for p in (ROOT / "docs/runbooks").glob("*.md")}
    assert runbooks - {"docs/runbooks/README.md"} == linked


def test_a_query_for_what_nobody_tells_is_noticed() -> None:
    assert problems('sum(rate(folkmoot_moods_total{service="x"}[5m]))')
    assert problems('folkmoot_term{mood="bad"} > 1')
    assert problems("folkmoot_append_seconds")
    assert not problems('histogram_quantile(0.9, rate(folkmoot_append_seconds_bucket{le="1"}[5m]))')
