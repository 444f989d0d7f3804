"""What the event loop knows of one partition: where it ends, and its newest records.

Why: a tail that keeps up is served from memory, without a query; one that is behind reads the
file. Only shards with tails keep records.

Invariant: `ring` holds the records of offsets `end - len(ring)` to `end - 1`, all of them; what
another process wrote is never in it, so a foreign write empties it.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence

from folkmoot.bus.limits import size_of
from folkmoot.bus.ports import BusError, Stored
from folkmoot.bus.sqlite.writer import Append

RING_RECORDS = 1_024  # the newest records kept for tails that keep up
RING_BYTES = 4 * 1024 * 1024


class Shard:
    """One partition as the loop sees it."""

    __slots__ = ("_bytes", "_ring", "compacted", "end", "id", "lost", "tails", "waiting")

    def __init__(self, number: int, compacted: bool, end: int) -> None:
        self.id = number
        self.compacted = compacted
        self.end = end
        self.lost: BusError | None = None  # what its readers are told, once records are gone
        self.tails = 0
        self.waiting: set[asyncio.Future[None]] = set()
        self._ring: list[Stored] = []
        self._bytes = 0

    def written(self, append: Append, first: int, at: int) -> None:
        """Take in records this process has committed, and wake the tails."""
        end = first + len(append.records)
        if first > self.end:  # others wrote in between
            self._forget()
        if first >= self.end:
            if self.tails:
                self._remember(append, first, at)
            else:
                self._forget()
            self.end = end
        self.wake()

    def grown(self, end: int) -> None:
        """Take notice that another process has written up to `end`."""
        if end > self.end:
            self._forget()
            self.end = end
            self.wake()

    def recent(self, offset: int, limit: int) -> Sequence[Stored] | None:
        """Return records from memory, or None if `offset` lies further back."""
        at = offset - (self.end - len(self._ring))
        return None if at < 0 else self._ring[at : at + limit]

    def wake(self) -> None:
        """Let every waiting tail look again."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(None)
        self.waiting.clear()

    def fail(self, error: BusError) -> None:
        """Let every waiting tail raise `error`."""
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_exception(copy.copy(error))
        self.waiting.clear()

    def _remember(self, append: Append, first: int, at: int) -> None:
        self._ring += [
            Stored(offset, at, record.value, record.key, record.headers)
            for offset, record in enumerate(append.records, first)
        ]
        self._bytes += append.size
        if self._bytes > RING_BYTES or len(self._ring) > 2 * RING_RECORDS:
            self._trim()

    def _trim(self) -> None:
        """Drop the older half, so that trimming costs little per record."""
        drop = max(0, len(self._ring) - RING_RECORDS)
        self._bytes -= sum(map(size_of, self._ring[:drop]))
        while self._bytes > RING_BYTES // 2:
            self._bytes -= size_of(self._ring[drop])
            drop += 1
        del self._ring[:drop]

    def _forget(self) -> None:
        self._ring.clear()
        self._bytes = 0
