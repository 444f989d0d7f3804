"""Which of many keys falls due next: a heap with lazy deletion over a plain dictionary.

The dictionary is the meaning, the heap only finds its minimum; so two sets of deadlines are equal
if their dictionaries are, whatever was asked of them before, and a snapshot holds no heap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

_SLACK = 64
"""Stale heap entries that are tolerated before the heap is rebuilt, besides one per live key."""


@dataclass(slots=True)
class Deadlines:
    """A time in milliseconds since the epoch for each key. All costs are logarithmic, amortised."""

    times: dict[str, int] = field(default_factory=dict)
    _heap: list[tuple[int, str]] = field(
        init=False, repr=False, compare=False, default_factory=list
    )

    def __post_init__(self) -> None:
        self._rebuild()

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[str]:
        return iter(self.times)

    def get(self, key: str) -> int | None:
        """Return when `key` falls due, None if it never does."""
        return self.times.get(key)

    def set(self, key: str, at: int) -> None:
        """Let `key` fall due at `at`, and no longer at any earlier or later time."""
        if self.times.get(key) == at:
            return
        self.times[key] = at
        heappush(self._heap, (at, key))
        if len(self._heap) > 2 * len(self.times) + _SLACK:
            self._rebuild()

    def _rebuild(self) -> None:
        self._heap = [(at, key) for key, at in self.times.items()]
        heapify(self._heap)

    def drop(self, key: str) -> None:
        """Let `key` never fall due."""
        self.times.pop(key, None)

    def earliest(self) -> int | None:
        """Return the time at which the next key falls due."""
        heap = self._heap
        while heap and self.times.get(heap[0][1]) != heap[0][0]:
            heappop(heap)
        return heap[0][0] if heap else None

    def in_order(self) -> Iterator[str]:
        """Yield all keys, the earliest first, then by key; costs a logarithm for each taken."""
        heap, last = self._heap.copy(), None
        while heap:
            entry = heappop(heap)
            if entry != last and self.times.get(entry[1]) == entry[0]:
                yield entry[1]
            last = entry

    def due(self, now: int, limit: int) -> list[str]:
        """Return up to `limit` keys that are due at `now`, the longest due first, then by key."""
        found: list[tuple[int, str]] = []
        while len(found) < limit and (at := self.earliest()) is not None and at <= now:
            found.append(heappop(self._heap))
            while self._heap and self._heap[0] == found[-1]:
                heappop(self._heap)
        for entry in found:
            heappush(self._heap, entry)
        return [key for _, key in found]
