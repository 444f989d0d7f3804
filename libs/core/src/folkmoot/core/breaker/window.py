"""How calls ended lately, counted in a ring of time buckets.

The window covers the current bucket and the ones before it, `buckets` in all. A time that lies
before the current bucket is counted in the current one, so time may stand still or go backwards.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple


class Counts(NamedTuple):
    """Calls that ended with a verdict, and how many of them failed or were slow."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def plus(self, other: Counts) -> Counts:
        """Return the sum."""
        return Counts(
            self.calls + other.calls, self.failures + other.failures, self.slow + other.slow
        )


@dataclass(slots=True)
class Bucket:
    """The counts of one stretch of time. `index` is that time over the bucket's width."""

    index: int
    counts: Counts


@dataclass(slots=True)
class Window:
    """At most `buckets` buckets of `bucket_ms`, oldest first; those without calls are left out."""

    bucket_ms: int
    buckets: int
    ring: deque[Bucket] = field(default_factory=deque)

    def add(self, at: int, counts: Counts) -> None:
        """Count what ended at `at`."""
        index = at // self.bucket_ms
        if not self.ring or index > self.ring[-1].index:
            self.ring.append(Bucket(index, counts))
        else:
            self.ring[-1].counts = self.ring[-1].counts.plus(counts)
        while self.ring[0].index <= self.ring[-1].index - self.buckets:
            self.ring.popleft()

    def counts(self, at: int) -> Counts:
        """Return what ended in the window whose current bucket holds `at`."""
        oldest = at // self.bucket_ms - self.buckets + 1
        total = Counts()
        for bucket in self.ring:
            if bucket.index >= oldest:
                total = total.plus(bucket.counts)
        return total

    def clear(self) -> None:
        """Forget everything counted."""
        self.ring.clear()
