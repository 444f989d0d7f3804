"""How far the index is behind the logs, as a scrape tells it."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.event_store.metrics import IndexMeasure
from folkmoot.event_store.writing import Cursor
from folkmoot.runtime.sheet import Sheet

A, B = ("folkmoot.election.log", 0), ("folkmoot.breaker-proxy.log", 1)


@dataclass
class StoppedClock:
    ms: int = 1_000

    def now(self) -> int:
        return self.ms

    def monotonic(self) -> int:
        return self.ms


@dataclass
class Index:
    """An index of two logs, which is looked at by the clock of a test."""

    def __post_init__(self) -> None:
        self.clock = StoppedClock()
        self.measure = IndexMeasure(self.clock)

    def looked_at(self, **read: tuple[int, int]) -> None:
        """Each of `read` is how many records the log has, and how many the index."""
        logs = {"a": A, "b": B}
        self.measure.note(
            {logs[name]: end for name, (end, _) in read.items()},
            {logs[name]: Cursor(upto - 1) for name, (_, upto) in read.items()},
        )

    def told(self) -> tuple[float, float]:
        """Return lag and age."""
        sheet = Sheet("event-store")
        self.measure(sheet)
        told = {s.name: s.value for family in sheet.families() for s in family.samples}
        return told["folkmoot_index_lag"], told["folkmoot_index_age_seconds"]


def test_an_index_that_has_everything_is_not_behind() -> None:
    index = Index()
    assert index.told() == (0, 0)
    index.looked_at(a=(10, 10), b=(0, 0))
    index.clock.ms += 60_000
    assert index.told() == (0, 0)


def test_what_is_missing_is_counted_over_all_logs() -> None:
    index = Index()
    index.looked_at(a=(10, 7), b=(5, 0))
    assert index.told() == (8, 0)


def test_a_log_that_is_not_read_any_further_becomes_older() -> None:
    index = Index()
    index.looked_at(a=(10, 7), b=(5, 5))
    index.clock.ms += 2_000
    index.looked_at(a=(20, 9), b=(5, 5))
    index.clock.ms += 1_500
    assert index.told() == (11, 3.5)


def test_a_log_that_is_busy_is_as_old_as_what_was_seen_and_not_yet_read() -> None:
    index = Index()
    index.looked_at(a=(10, 7))
    index.clock.ms += 1_000
    index.looked_at(a=(20, 10))
    assert index.told() == (10, 0)
    index.clock.ms += 1_000
    assert index.told() == (10, 1)
    index.looked_at(a=(20, 20))
    assert index.told() == (0, 0)


def test_the_oldest_counts() -> None:
    index = Index()
    index.looked_at(a=(1, 0), b=(1, 1))
    index.clock.ms += 1_000
    index.looked_at(a=(1, 0), b=(2, 1))
    assert index.told() == (2, 1)
    index.looked_at(a=(1, 1), b=(2, 1))
    assert index.told() == (1, 0)
