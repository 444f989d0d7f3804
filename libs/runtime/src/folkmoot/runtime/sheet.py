"""What one scrape tells: values of declared metrics, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from folkmoot.contracts.metrics import BY_NAME, MetricRule
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.tally import Histogram

S = TypeVar("S")
T = TypeVar("T")

SURVEY_SHARE = 100
"""A walk is not repeated before so many times what it took: it costs a hundredth at most."""

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily


class UndeclaredMetric(Exception):
    """A service tells what the registry of metrics does not declare."""


class Sheet:
    """What one scrape tells. It takes values of declared metrics, with all of their labels."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._families: dict[str, Family] = {}

    def put(self, name: str, value: float, *labels: str) -> None:
        """Tell `folkmoot_NAME`; `labels` are the values of those after the service.

        Raises:
            UndeclaredMetric: there is no such metric of this service, or it has other labels.
        """
        family = self._family(name, labels)
        assert not isinstance(family, HistogramMetricFamily)
        family.add_metric((self.service, *labels), value)

    def put_histogram(self, name: str, histogram: Histogram, *labels: str) -> None:
        """Tell the histogram `folkmoot_NAME`. See `put`."""
        family = self._family(name, labels)
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric((self.service, *labels), histogram.cumulative(), histogram.sum)

    def families(self) -> Iterator[Metric]:
        """Yield everything that was told."""
        yield from self._families.values()

    def _family(self, name: str, labels: Sequence[str]) -> Family:
        rule = BY_NAME.get(f"folkmoot_{name}")
        if rule is None or self.service not in rule.services:
            raise UndeclaredMetric(
                f"{self.service} tells folkmoot_{name}, which folkmoot.contracts.metrics does not "
                "declare for it: declare it there, with its meaning"
            )
        if len(labels) + 1 != len(rule.labels):
            raise UndeclaredMetric(f"{rule.name} has the labels {rule.labels}, not as many more")
        if name not in self._families:
            self._families[name] = _family(rule)
        return self._families[name]


def _family(rule: MetricRule) -> Family:
    match rule.kind:
        case "gauge":
            return GaugeMetricFamily(rule.name, rule.meaning, labels=rule.labels)
        case "counter":
            return CounterMetricFamily(rule.name, rule.meaning, labels=rule.labels)
        case "histogram":
            return HistogramMetricFamily(rule.name, rule.meaning, labels=rule.labels)


class Survey(Generic[S, T]):
    """What walking over a state finds, kept until a new walk costs a hundredth of the time.

    So a scrape of a hundred thousand things costs the event loop what one of ten does, over time.
    """

    def __init__(self, clock: Clock, walk: Callable[[S], T]) -> None:
        self._clock, self._walk = clock, walk
        self._found: dict[str, tuple[int, T]] = {}

    def of(self, shard: str, state: S) -> T:
        """Return what is found in the state of `shard`, or was a moment ago."""
        began = self._clock.monotonic()
        again_at, found = self._found.get(shard, (began, None))
        if found is None or began >= again_at:
            found = self._walk(state)
            took_ms = max(1, self._clock.monotonic() - began)
            self._found[shard] = (began + took_ms * SURVEY_SHARE, found)
        return found


Measure = Callable[[Sheet], None]
"""Tells the metrics of one part of a service."""
