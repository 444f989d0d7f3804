"""Dots and sets of them.

A dot (replica, n) names the n-th event of a replica. It is never used twice: whoever may have
forgotten how far it counted, as a process does that restarts, takes a new replica id.

A set of dots is kept as closed intervals for each replica, sorted and as few as there can be. That
is a version vector and a dot cloud in one: a replica of which everything is known is one interval,
and there is nothing to compact later. Equal sets are therefore kept, and written, alike.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from folkmoot.core.crdt.limits import (
    INTERVALS_MAX,
    MERGE_SLACK,
    NUMBER_MAX,
    LimitExceeded,
    MalformedState,
    check_id,
)

BEYOND = NUMBER_MAX + 1


class Dot(NamedTuple):
    """The `n`-th event of `replica`, counting from 1."""

    replica: str
    n: int


Interval = tuple[int, int]


class Dots:
    """A set of dots."""

    __slots__ = ("_intervals",)

    def __init__(self, dots: Iterable[Dot] = ()) -> None:
        self._intervals: dict[str, list[Interval]] = {}
        for dot in dots:
            self.add(dot)

    # -- reading ----------------------------------------------------------------------------

    def __contains__(self, dot: Dot) -> bool:
        return self._covers(dot.replica, (dot.n, dot.n))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dots) and self._intervals == other._intervals

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._intervals)

    def __iter__(self) -> Iterator[Dot]:
        for replica, (low, high) in self.intervals():
            for n in range(low, high + 1):
                yield Dot(replica, n)

    def __repr__(self) -> str:
        return f"Dots({self._intervals!r})"

    def intervals(self) -> Iterator[tuple[str, Interval]]:
        """Return every interval with its replica, in order."""
        for replica in sorted(self._intervals):
            for interval in self._intervals[replica]:
                yield replica, interval

    def interval_count(self) -> int:
        """Return how many intervals it is kept as."""
        return sum(map(len, self._intervals.values()))

    def dot_count(self) -> int:
        """Return how many dots there are. What peers say may be beyond counting one by one."""
        return sum(high - low + 1 for each in self._intervals.values() for low, high in each)

    def highest(self, replica: str) -> int:
        """Return the number of the last dot of `replica`, 0 if there is none."""
        intervals = self._intervals.get(replica)
        return intervals[-1][1] if intervals else 0

    def _covers(self, replica: str, interval: Interval) -> bool:
        intervals = self._intervals.get(replica, ())
        place = bisect_right(intervals, (interval[0], BEYOND)) - 1
        return place >= 0 and intervals[place][1] >= interval[1]

    # -- changing ---------------------------------------------------------------------------

    def add(self, dot: Dot) -> None:
        """Add one dot."""
        self.add_interval(dot.replica, (dot.n, dot.n))

    def add_interval(self, replica: str, interval: Interval) -> None:
        """Add all dots of `replica` from the first to the last number of `interval`."""
        intervals = self._intervals.setdefault(replica, [])
        low, high = interval
        first = bisect_right(intervals, (low, BEYOND))
        if first > 0 and intervals[first - 1][1] >= low - 1:
            first -= 1
            low = intervals[first][0]
        last = first
        while last < len(intervals) and intervals[last][0] <= high + 1:
            high = max(high, intervals[last][1])
            last += 1
        intervals[first:last] = [(low, high)]

    def discard(self, dot: Dot) -> None:
        """Take one dot away if it is there."""
        replica, n = dot
        if dot not in self:
            return
        intervals = self._intervals[replica]
        place = bisect_right(intervals, (n, BEYOND)) - 1
        low, high = intervals[place]
        left = [(low, n - 1)] if low < n else []
        intervals[place : place + 1] = left + ([(n + 1, high)] if n < high else [])
        if not intervals:
            del self._intervals[replica]

    def join(self, other: Dots) -> bool:
        """Add all of `other`; whether any was new.

        Raises:
            LimitExceeded: there would be too many intervals; nothing was added.
        """
        news = [each for each in other.intervals() if not self._covers(*each)]
        if self.interval_count() + len(news) > MERGE_SLACK * INTERVALS_MAX:
            raise LimitExceeded(f"dots are at most {MERGE_SLACK * INTERVALS_MAX:,} intervals")
        for replica, interval in news:
            self.add_interval(replica, interval)
        return bool(news)

    # -- combining --------------------------------------------------------------------------

    def minus(self, other: Dots) -> Dots:
        """Return the dots that are not in `other`."""
        made = Dots()
        for replica, intervals in self._intervals.items():
            left = list(_without(intervals, other._intervals.get(replica, [])))
            if left:
                made._intervals[replica] = left
        return made

    def common(self, other: Dots) -> Dots:
        """Return the dots that are in `other` as well, at a cost that follows `other`."""
        made = Dots()
        for replica, (low, high) in other.intervals():
            mine = self._intervals.get(replica, [])
            place = max(0, bisect_right(mine, (low, BEYOND)) - 1)
            while place < len(mine) and mine[place][0] <= high:
                overlap = max(low, mine[place][0]), min(high, mine[place][1])
                if overlap[0] <= overlap[1]:
                    made.add_interval(replica, overlap)
                place += 1
        return made

    # -- the wire ---------------------------------------------------------------------------

    def to_json(self) -> dict[str, list[list[int]]]:
        """Return it as JSON values, equal ones for equal sets."""
        made: dict[str, list[list[int]]] = {}
        for replica, (low, high) in self.intervals():
            made.setdefault(replica, []).append([low, high])
        return made

    @classmethod
    def from_json(cls, value: Any) -> Dots:
        """Return the dots in JSON values.

        Raises:
            MalformedState: they are none, or not written as `to_json` would.
        """
        if not isinstance(value, dict):
            raise MalformedState("dots are an object of intervals by replica")
        dots = cls()
        for replica, intervals in value.items():
            if not isinstance(intervals, list) or not intervals:
                raise MalformedState(f"the intervals of {replica!r} are no list, or an empty one")
            dots._intervals[check_id(replica, "replica")] = _parsed(intervals)
        if dots.interval_count() > MERGE_SLACK * INTERVALS_MAX:
            raise MalformedState("there are more intervals than any set may have")
        return dots


def _parsed(values: list[Any]) -> list[Interval]:
    intervals: list[Interval] = []
    least = 1
    for value in values:
        if not isinstance(value, list) or len(value) != 2:
            raise MalformedState(f"{value!r} is no interval")
        low, high = value
        if type(low) is not int or type(high) is not int or not least <= low <= high <= NUMBER_MAX:
            raise MalformedState(f"{value!r} is no interval, or out of order")
        intervals.append((low, high))
        least = high + 2
    return intervals


def _without(kept: list[Interval], taken: list[Interval]) -> Iterator[Interval]:
    """Return what is left of sorted intervals when others are taken out, in one sweep."""
    place = 0
    for low, high in kept:
        while place < len(taken) and taken[place][1] < low:
            place += 1
        start, here = low, place
        while here < len(taken) and taken[here][0] <= high:
            if taken[here][0] > start:
                yield start, taken[here][0] - 1
            start = taken[here][1] + 1
            here += 1
        if start <= high:
            yield start, high
