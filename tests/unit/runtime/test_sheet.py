"""What a scrape may tell, and what it costs."""

from __future__ import annotations

import pytest

from folkmoot.runtime.sheet import SURVEY_SHARE, Sheet, Survey, UndeclaredMetric
from folkmoot.runtime.tally import Histogram


def test_a_metric_that_is_not_declared_cannot_be_told() -> None:
    with pytest.raises(UndeclaredMetric, match="folkmoot_mood"):
        Sheet("election").put("mood", 1.0, "log/0")


def test_a_metric_of_another_service_cannot_be_told() -> None:
    Sheet("saga-orchestrator").put("sagas_open", 1.0, "log/0", "team", "running")
    with pytest.raises(UndeclaredMetric, match="election"):
        Sheet("election").put("sagas_open", 1.0, "log/0", "team", "running")


def test_a_metric_is_told_with_all_its_labels() -> None:
    with pytest.raises(UndeclaredMetric, match="labels"):
        Sheet("saga-orchestrator").put("sagas_open", 1.0, "log/0", "team")


def test_a_histogram_counts_each_value_once_and_adds_up() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 3.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2.0), ("2.0", 3.0), ("+Inf", 4.0)]
    assert histogram.sum == 6.0


class Slow:
    """A clock, and a state whose walk takes a while by it."""

    def __init__(self) -> None:
        self.at = 1_000
        self.walks = 0

    def now(self) -> int:
        return self.at

    def monotonic(self) -> int:
        return self.at

    def walk(self, took_ms: int) -> int:
        self.at += took_ms
        self.walks += 1
        return self.walks


@pytest.mark.parametrize("took_ms", [0, 7])
def test_walking_takes_no_more_than_its_share_of_time(took_ms: int) -> None:
    slow = Slow()
    survey = Survey(slow, slow.walk)
    began = slow.at
    assert survey.of("log/0", took_ms) == 1
    slow.at = began + SURVEY_SHARE * max(1, took_ms) - 1
    assert survey.of("log/0", took_ms) == 1
    slow.at += 1
    assert survey.of("log/0", took_ms) == 2
    assert survey.of("log/1", took_ms) == 3
