"""Dots and sets of them: which events of which replicas somebody has seen.

A dot (replica, n) names the n-th event of a replica and is never used twice; a replica that
restarts therefore takes a new id. A set of dots is kept as intervals for each replica: when nothing
is missing it is one interval a replica, however much was added and removed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class MalformedState(ValueError):
    """What was received is no state of a CRDT. It was ignored."""


class Dot(NamedTuple):
    """The `n`-th event of `replica`, counting from 1."""

    replica: str
    n: int


Interval = tuple[int, int]


class Dots:
    """A set of dots, as disjoint, sorted, closed intervals for each replica."""

    __slots__ = ("_intervals",)

    def __init__(self, dots: Iterable[Dot] = ()) -> None:
        self._intervals: dict[str, list[Interval]] = {}
        for dot in dots:
            self.add(dot)

    def __contains__(self, dot: Dot) -> bool:
        intervals = self._intervals.get(dot.replica, ())
        place = bisect_right(intervals, (dot.n, 1 << 62)) - 1
        return place >= 0 and intervals[place][1] >= dot.n

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dots) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._intervals)

    def __len__(self) -> int:
        return sum(high - low + 1 for each in self._intervals.values() for low, high in each)

    def __repr__(self) -> str:
        return f"Dots({self._intervals!r})"

    def add(self, dot: Dot) -> None:
        """Add one dot."""
        self._add(dot.replica, (dot.n, dot.n))

    def _add(self, replica: str, interval: Interval) -> None:
        intervals = self._intervals.setdefault(replica, [])
        low, high = interval
        first = bisect_right(intervals, (low, 1 << 62))
        if first > 0 and intervals[first - 1][1] >= low - 1:
            first -= 1
            low = intervals[first][0]
        last = first
        while last < len(intervals) and intervals[last][0] <= high + 1:
            high = max(high, intervals[last][1])
            last += 1
        intervals[first:last] = [(low, high)]

    def join(self, other: Dots) -> bool:
        """Add all of `other`; whether any was new."""
        news = False
        for replica, intervals in other._intervals.items():
            for interval in intervals:
                if not self._covers(replica, interval):
                    self._add(replica, interval)
                    news = True
        return news

    def _covers(self, replica: str, interval: Interval) -> bool:
        intervals = self._intervals.get(replica, ())
        place = bisect_right(intervals, (interval[0], 1 << 62)) - 1
        return place >= 0 and intervals[place][1] >= interval[1]

    def without(self, dots: Iterable[Dot]) -> Dots:
        """Return these dots less `dots`, which must be among them."""
        removed: dict[str, list[int]] = {}
        for dot in dots:
            removed.setdefault(dot.replica, []).append(dot.n)
        left = Dots()
        for replica, intervals in self._intervals.items():
            kept = list(_cut(intervals, sorted(removed.get(replica, ()))))
            if kept:
                left._intervals[replica] = kept
        return left

    def highest(self, replica: str) -> int:
        """Return the number of the last dot of `replica`, 0 if there is none."""
        intervals = self._intervals.get(replica)
        return intervals[-1][1] if intervals else 0

    def __iter__(self) -> Iterator[Dot]:
        for replica, intervals in self._intervals.items():
            for low, high in intervals:
                for n in range(low, high + 1):
                    yield Dot(replica, n)

    def gaps(self) -> int:
        """Return how many intervals there are beyond one for each replica."""
        return sum(len(intervals) - 1 for intervals in self._intervals.values())

    def to_json(self) -> dict[str, list[list[int]]]:
        """Return it as JSON values, in an order that depends on the dots alone."""
        return {
            replica: [list(interval) for interval in intervals]
            for replica, intervals in sorted(self._intervals.items())
        }

    @classmethod
    def from_json(cls, value: Any) -> Dots:
        """Return the dots in JSON values.

        Raises:
            MalformedState: they are none.
        """
        dots = cls()
        if not isinstance(value, dict):
            raise MalformedState("dots are an object of intervals by replica")
        for replica, intervals in value.items():
            if not isinstance(intervals, list):
                raise MalformedState(f"the intervals of {replica!r} are no list")
            for interval in intervals:
                dots._add(replica, _interval(interval))
        return dots


def _interval(value: Any) -> Interval:
    if not isinstance(value, list) or len(value) != 2:
        raise MalformedState(f"{value!r} is no interval")
    low, high = value
    if type(low) is not int or type(high) is not int or not 1 <= low <= high < 1 << 60:
        raise MalformedState(f"{value!r} is no interval")
    return low, high


def _cut(intervals: Iterable[Interval], removed: list[int]) -> Iterator[Interval]:
    place = 0
    for low, high in intervals:
        start = low
        while place < len(removed) and removed[place] <= high:
            if removed[place] > start:
                yield start, removed[place] - 1
            start = removed[place] + 1
            place += 1
        if start <= high:
            yield start, high
