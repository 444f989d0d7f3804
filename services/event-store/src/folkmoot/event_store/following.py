"""Reads one partition of a log into the index, by the same rule as the shard's own members.

What a deposed leader wrote too late stands in the log but never happened; only the reader's rule
tells the two apart, so the index keeps, for each log, who leads as of the last record read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import CONTROL, UnreadableRecord, decode_control
from folkmoot.core.kernel import Entry
from folkmoot.event_store.index import Index
from folkmoot.event_store.writing import Cursor, LogKey


class Follower:
    """Feeds the index from one log. Whoever drives it reads where it says, and again from there."""

    def __init__(self, index: Index, topic: str, partition: int) -> None:
        self._index = index
        self._log: LogKey = (topic, partition)

    def start(self, end_offset: int) -> int:
        """Return the offset to read from, given where the log ends now.

        It is the last record that the index knows: `take` recognises it, or discards the index.
        """
        known = self._index.cursor(self._log).offset
        if known >= end_offset:
            self._index.discard(
                f"{self._log[0]}/{self._log[1]} ends at {end_offset}, but was read up to {known}: "
                "it is another log than before"
            )
        return max(0, self._index.cursor(self._log).offset)

    @property
    def next_offset(self) -> int:
        """The offset to read next. It returns to 0 when the index is discarded."""
        return self._index.cursor(self._log).offset + 1

    def take(self, records: Sequence[Stored]) -> None:
        """Take in what was read of the log, in offset order, and write it to the index. Blocks.

        Records that are already in are passed over; none is taken in beyond a gap.

        Raises:
            UnreadableRecord: a record is not what a shard writes; what came before it is kept.
            IndexUnavailable: the index cannot be written now; go on from `next_offset` later.
        """
        try:
            self.take_in(records)
        finally:
            self._index.flush()

    def take_in(self, records: Sequence[Stored]) -> None:
        """Take in what was read, as `take` does, but leave it to others to write it."""
        for record in records:
            self._take(record)

    def _take(self, record: Stored) -> None:
        cursor = self._index.cursor(self._log)
        if record.offset == cursor.offset and _seal(record) != cursor.seal:
            topic, partition = self._log
            self._index.discard(
                f"{topic}/{partition} has another record at {record.offset} than before"
            )
        elif record.offset == cursor.offset + 1:
            self._add(record, cursor)

    def _add(self, record: Stored, cursor: Cursor) -> None:
        decoded = decode_control(record.headers)
        leadership = replace(cursor.leadership)
        verdict = leadership.observe(record.offset, decoded)
        at = decoded.at if verdict.counts else cursor.at
        following = Cursor(record.offset, at, _seal(record), leadership)
        if not isinstance(decoded, Entry) or not verdict.counts:
            self._index.add(self._log, following)
            return
        try:
            self._index.add(self._log, following, (record.value or b"[]").decode())
        except (ValueError, KeyError, TypeError) as error:
            topic, partition = self._log
            raise UnreadableRecord(
                f"{topic}/{partition} has no readable entry at offset {record.offset}: {error!r}"
            ) from error


def _seal(record: Stored) -> int:
    control = dict(record.headers).get(CONTROL, b"")
    return crc32(record.value or b"", crc32(control))
