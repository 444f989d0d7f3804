"""What the event store tells of its index: how far it is behind the logs.

A busy index always lacks the newest records, so a number of records says little by itself. The age
does: it is how long ago a record was seen in a log that has not been taken in since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from folkmoot.event_store.writing import Cursor, LogKey
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.sheet import Sheet
from folkmoot.runtime.tally import MS


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a log ended when it was looked at, in milliseconds of the monotonic clock."""

    end: int
    seen_at: int


class IndexMeasure:
    """The measure of one process, as of the last look at the logs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lag = 0
        self._marks: dict[LogKey, Mark] = {}

    def note(self, ends: Mapping[LogKey, int], cursors: Mapping[LogKey, Cursor]) -> None:
        """Take in where logs end now, and how far the index has read each."""
        now, self._lag = self._clock.monotonic(), 0
        for log, end in ends.items():
            upto = cursors[log].offset + 1
            self._lag += max(0, end - upto)
            if upto >= end:
                self._marks.pop(log, None)
            elif log not in self._marks or upto >= self._marks[log].end:
                self._marks[log] = Mark(end, now)

    def __call__(self, sheet: Sheet) -> None:
        """Tell how many records the index lacks, and for how long it has lacked one."""
        now = self._clock.monotonic()
        oldest = min((mark.seen_at for mark in self._marks.values()), default=now)
        sheet.put("index_lag", self._lag)
        sheet.put("index_age_seconds", (now - oldest) / MS)
