"""Reads what a shard's log says happened: its accepted entries, as anybody may.

A log also holds what was written by leaders that were no longer leading. Whether an entry counts
follows from the records before it, so a reader starts at the beginning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folkmoot.bus.ports import Bus, Stored
from folkmoot.contracts.codec import decode_control, decode_events
from folkmoot.core.kernel import Entry, Leadership

READ_RECORDS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Accepted:
    """An entry that counts. `value` is its events, as they stand in the log."""

    offset: int
    at: int
    value: bytes

    def events(self) -> Sequence[Mapping[str, Any]]:
        """Return the events as CloudEvents."""
        return decode_events(self.value)


class EntryFilter:
    """Tells the entries that count from the others. One for each partition of a log."""

    def __init__(self) -> None:
        self.leadership = Leadership()

    def accepted(self, records: Sequence[Stored]) -> list[Accepted]:
        """Return the accepted entries among `records`, which follow on the last call's."""
        entries = []
        for stored in records:
            record = decode_control(stored.headers)
            counts = self.leadership.observe(stored.offset, record).counts
            if counts and isinstance(record, Entry):
                entries.append(Accepted(stored.offset, record.at, stored.value or b"[]"))
        return entries


async def follow(
    bus: Bus, log: str, partition: int, timeout_ms: int = 200
) -> AsyncIterator[list[Accepted]]:
    """Yield accepted entries as they come, an empty list when nothing came for a while."""
    tail = await bus.log.tail(log, partition, 0)
    kept = EntryFilter()
    try:
        while True:
            yield kept.accepted(await tail.read(READ_RECORDS_MAX, timeout_ms))
    finally:
        await tail.close()


async def read_all(bus: Bus, log: str, partition: int) -> list[Accepted]:
    """Return all accepted entries up to the present end of the log."""
    end = await bus.log.end_offset(log, partition)
    tail = await bus.log.tail(log, partition, 0)
    kept, entries = EntryFilter(), []
    try:
        while tail.position < end:
            entries += kept.accepted(await tail.read(READ_RECORDS_MAX, 2_000))
    finally:
        await tail.close()
    return entries
