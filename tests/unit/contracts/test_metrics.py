"""The registry of metrics keeps to Prometheus's rules, which everything made from it relies on."""

from __future__ import annotations

import re

import pytest

from folkmoot.contracts.metrics import BY_NAME, REGISTRY, SAMPLES, MetricRule
from folkmoot.contracts.topics import SERVICES

NAME = re.compile(r"folkmoot_[a-z]+(_[a-z]+)*")


def test_each_metric_is_declared_once() -> None:
    assert len(BY_NAME) == len(REGISTRY)
    assert len(SAMPLES) == sum(len(rule.samples) for rule in REGISTRY)


@pytest.mark.parametrize("rule", REGISTRY, ids=lambda rule: rule.name)
def test_a_metric_says_what_it_is(rule: MetricRule) -> None:
    assert NAME.fullmatch(rule.name)
    assert rule.meaning[0].isupper() or rule.meaning[0].isdigit()
    assert not rule.meaning.endswith(".")
    assert rule.labels[0] == "service"
    assert ("shard" in rule.labels) == (rule.told_by != "process")
    assert set(rule.services) <= {*SERVICES, "agent-worker"}


@pytest.mark.parametrize("rule", REGISTRY, ids=lambda rule: rule.name)
def test_a_name_says_its_kind_and_unit(rule: MetricRule) -> None:
    assert rule.name.endswith("_total") == (rule.kind == "counter")
    assert rule.name.endswith("_seconds") == (rule.unit == "seconds")
    assert rule.name.endswith("_bytes") == (rule.unit == "bytes")
    assert bool(rule.buckets) == (rule.kind == "histogram")
    assert list(rule.buckets) == sorted(set(rule.buckets))
