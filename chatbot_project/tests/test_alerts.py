"""Alerts and what `promtool test rules` tries of them: each is silent once and fires once, with all that it says."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.urls import resolve

from chatbot_project.celery import app

MONITORING = Path(settings.BASE_DIR) / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
#: ``alert_rule_test`` of all cases, each with its case's series.
TESTS: list[dict[str, Any]] = [
    {**test, "series": [series["series"] for series in case.get("input_series", [])]}
    for case in yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    for test in case["alert_rule_test"]
]
VARIABLE = re.compile(r"\{\{.*?\}\}")


def cases_of(alert: str) -> list[dict[str, Any]]:
    return [test for test in TESTS if test["alertname"] == alert]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_is_tried_silent_and_firing(rule: dict[str, Any]) -> None:
    tried = {bool(test.get("exp_alerts")) for test in cases_of(rule["alert"])}
    assert tried == {True, False}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_expected_with_its_severity_and_words(rule: dict[str, Any]) -> None:
    summary = ".+".join(re.escape(part) for part in VARIABLE.split(rule["annotations"]["summary"]))
    for test in cases_of(rule["alert"]):
        for expected in test.get("exp_alerts", ()):
            assert expected["exp_labels"]["severity"] == rule["labels"]["severity"]
            assert re.fullmatch(summary, expected["exp_annotations"]["summary"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_is_silent_over_series_that_it_reads(rule: dict[str, Any]) -> None:
    """Not because there are none."""
    names = set(re.findall(r"\b(?:nono_[a-z_]+|up)\b", rule["expr"]))
    silent = [test for test in cases_of(rule["alert"]) if not test.get("exp_alerts")]
    assert any(names & {series.partition("{")[0] for series in test["series"]} for test in silent)


def test_nothing_is_tried_that_is_no_alert() -> None:
    assert {test["alertname"] for test in TESTS} == {rule["alert"] for rule in RULES}


def test_jobs_that_alerts_name_are_read() -> None:
    """By prometheus.yml, whose jobs are those of compose (test_metrics.py) and of Kubernetes (test_kubernetes.py)."""
    named = {name for rule in RULES for name in re.findall(r'\bjob="([^"]+)"', rule["expr"])}
    configured = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    assert named
    assert named <= {job["job_name"] for job in configured}


def test_no_task_is_overdue_because_beat_was_started_anew() -> None:
    """It counts an interval from its own start: nearly two may lie between runs."""
    (rule,) = (rule for rule in RULES if rule["alert"] == "NonoTaskOverdue")
    tasks, hours = re.search(r'task=~"([^"]+)".*> (\d+) \* 3600', rule["expr"], re.DOTALL).groups()
    intervals = [each["schedule"] for each in app.conf.beat_schedule.values() if re.fullmatch(tasks, each["task"])]
    assert len(intervals) == 3
    assert 2 * max(intervals) < int(hours) * 3600


def test_routes_that_alerts_leave_out_are_counted_by_these_names() -> None:
    left_out = {routes for rule in RULES for routes in re.findall(r'\broute!~"([^"]+)"', rule["expr"])}
    assert left_out
    for route in "|".join(left_out).split("|"):
        assert resolve(f"/{route}").route == route
