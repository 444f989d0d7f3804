"""Kills a process at a chosen entry of a log: just before the entry is there, or just after.

After it the process has not heard that its append succeeded, so that it has told nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from folkmoot.bus.ports import Record
from folkmoot.contracts.codec import CONTROL
from folkmoot.testing.simulation.broker import Broker, Place


@dataclass
class CrashPoint:
    """The process that writes the `entry`-th entry of a log dies, once."""

    log: str
    entry: int
    before: bool
    crash: Callable[[str], None]
    struck: bool = False


class CrashPoints:
    """Watches what lands at a broker."""

    def __init__(self, broker: Broker) -> None:
        self.entries: Counter[str] = Counter()
        """How many entries each log has, those that do not count included."""
        self.points: list[CrashPoint] = []
        self._land = broker.land
        broker.land = self._watched  # type: ignore[method-assign]

    def _watched(self, place: Place, records: Sequence[Record], writer: str) -> int:
        for number, record in enumerate(records):
            if not _is_entry(record):
                continue
            self.entries[place[0]] += 1
            point = self._due(place[0])
            if point is not None:
                point.struck = True
                self.entries[place[0]] -= point.before
                first = self._land(place, records[: number + (not point.before)], writer)
                point.crash(writer)
                return first
        return self._land(place, records, writer)

    def _due(self, log: str) -> CrashPoint | None:
        for point in self.points:
            if not point.struck and (point.log, point.entry) == (log, self.entries[log]):
                return point
        return None


def _is_entry(record: Record) -> bool:
    control = dict(record.headers).get(CONTROL)
    return control is not None and orjson.loads(control).get("kind") == "entry"
