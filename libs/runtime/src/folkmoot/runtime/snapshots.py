"""Writing a shard's snapshots, and restoring a shard from the newest that is whole.

A snapshot that is damaged, incomplete or of another schema is passed over: for the older one, then
for the whole log, never for an empty state.

Standbys write, since nobody waits for them. A leader writes only if nobody has for about twice as
long, and then from a shard that it restores beside its own, which must not stand still meanwhile.

Invariants:

- What is written comes from the log alone, and the log is never changed.
- A log that no longer holds a record that it was seen to hold is another log: `LogTruncated`.
- Trouble with writing never ends a term, nor keeps a standby from following.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b, sha256
from typing import Generic

from folkmoot.bus.ports import (
    BusError,
    BusUnavailable,
    CorruptLog,
    Log,
    Record,
    Stored,
    Tail,
    UnknownTopic,
)
from folkmoot.contracts.codec import decode_record
from folkmoot.contracts.snapshots import (
    SnapshotDecoder,
    UnreadableSnapshot,
    encode_snapshot,
    schema_of,
)
from folkmoot.core.kernel import LogTruncated, Machine, Shard, restored, take
from folkmoot.core.kernel.machine import S
from folkmoot.core.messages import snapshots
from folkmoot.runtime.shelf import CHUNK_BYTES, Manifest, Shelf, fingerprint, records_of, sealed
from folkmoot.runtime.timing import Timing

READ_RECORDS_MAX = 2_000
APART_RECORDS_MAX = 100
"""Read at once beside a leader, which must not wait for longer than a millisecond or two."""

READ_TIMEOUT_MS = 2_000
"""For reading what is known to be there."""

SNAPSHOT_BYTES_MAX = 1024**3
"""A state beyond this is not written: it would hardly fit into its readers' memory."""

STAGGER_STEPS = 8
"""Standbys do not write all at once: by their names, up to half as much later."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Draft:
    """A snapshot that is not written yet, and has no place yet."""

    manifest: Manifest
    chunks: Sequence[bytes]


class Archive(Generic[S]):
    """The snapshots of one shard, as one member reads and writes them.

    Attributes:
        newest: the newest snapshot known of.
        unreadable: how many could not be used when they were needed.
        written: how many this member has written.
    """

    def __init__(
        self, log: Log, machine: Machine[S], topic: str, partition: int, member: str, timing: Timing
    ) -> None:
        self._log, self._machine, self._member, self._timing = log, machine, member, timing
        self._place = (topic, partition)
        self._shelf_place = (snapshots(topic), partition)
        self._shelf = Shelf(content=False)
        self._first: Stored | None = None
        self._last: Stored | None = None
        self._bytes = self._tried_upto = 0
        self.newest: Manifest | None = None
        self.unreadable = self.written = 0

    # -- restoring --------------------------------------------------------------------------

    async def restore(self, tail: Tail, upto: int | None = None) -> Shard[S]:
        """Return the shard as of the newest snapshot, or as before its log began.

        `tail`, of the shard's log, is to be read on from there. With `upto`, the shard has read
        nothing from that offset on.

        Raises:
            LogTruncated: the log is not the one that was read before.
            BusUnavailable: the log or the snapshots cannot be reached now.
        """
        shelf = Shelf(content=True)
        await self._refresh(shelf)
        shard = await self._newest_shard(shelf, tail, upto) or Shard(self._machine, self._member)
        await self._check_known(tail)
        tail.seek(shard.next_offset)
        return shard

    async def verify(self) -> None:
        """Look, by a tail of its own, whether the log still holds what was read of it.

        Raises:
            LogTruncated: it does not.
        """
        try:
            tail = await self._log.tail(*self._place, 0)
            try:
                await self._check_known(tail)
            finally:
                await tail.close()
        except BusUnavailable as outage:
            logger.info("%s/%d is not verified: %s", *self._place, outage)

    async def _check_known(self, tail: Tail) -> None:
        for record in (self._first, self._last):
            if record is not None:
                await self._check(tail, record.offset, fingerprint(record))

    async def _newest_shard(self, shelf: Shelf, tail: Tail, upto: int | None) -> Shard[S] | None:
        for manifest in shelf.broken():
            self._pass_over(manifest, "a part of it is missing")
        for manifest in shelf.whole():
            if upto is not None and manifest.upto > upto:
                continue
            try:
                shard = await self._decoded(manifest, shelf.read(manifest))
            except UnreadableSnapshot as problem:
                self._pass_over(manifest, str(problem))
                continue
            await self._check(tail, manifest.upto - 1, manifest.last)
            self.newest = manifest
            return shard
        return None

    def _pass_over(self, manifest: Manifest, why: str) -> None:
        self.unreadable += 1
        logger.warning(
            "the snapshot of %s/%d up to %d is passed over: %s", *self._place, manifest.upto, why
        )

    async def _decoded(self, manifest: Manifest, content: bytes) -> Shard[S]:
        schema = schema_of(self._machine)
        if manifest.schema != schema:
            raise UnreadableSnapshot(f"its schema is {manifest.schema}, and ours is {schema}")
        decoder = SnapshotDecoder(self._machine)
        for line in content.splitlines():
            decoder.take(line)
            await asyncio.sleep(0)
        return restored(decoder.finish(), self._machine, self._member)

    async def _check(self, tail: Tail, offset: int, expected: str) -> None:
        """Raise `LogTruncated` unless the log holds the record that it is known to have held."""
        found: Sequence[Stored] = ()
        if offset < await self._log.end_offset(*self._place):
            tail.seek(offset)
            found = await tail.read(1, READ_TIMEOUT_MS)
            if not found:
                raise BusUnavailable(f"the record at {offset} of {self._place} is not to be read")
        if not found or found[0].offset != offset or fingerprint(found[0]) != expected:
            topic, partition = self._place
            raise LogTruncated(
                f"{topic}/{partition} does not hold the record any more that it held at offset "
                f"{offset}: the log was truncated, or its topic made anew. Restore the topic; or, "
                f"to give its history up, delete it and {snapshots(topic)} while nobody runs"
            )

    async def _refresh(self, shelf: Shelf) -> None:
        """Read on what is in the topic of snapshots, as far as it can be read."""
        try:
            end = await self._log.end_offset(*self._shelf_place)
            if shelf.next_offset >= end:
                return
            tail = await self._log.tail(*self._shelf_place, shelf.next_offset)
        except UnknownTopic:
            return
        try:
            while shelf.next_offset < end:
                records = await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS)
                if not records:
                    return
                for record in records:
                    shelf.take(record)
        except CorruptLog as damage:
            logger.warning("snapshots of %s/%d cannot be read: %s", *self._place, damage)
        finally:
            await tail.close()

    # -- writing ----------------------------------------------------------------------------

    def note(self, records: Sequence[Stored]) -> None:
        """Take notice of records that were read of the shard's log."""
        if records:
            self._first, self._last = self._first or records[0], records[-1]
            self._bytes += sum(len(record.value or b"") for record in records)

    def note_appended(self, records: Sequence[Record]) -> None:
        """Take notice of records that this member has appended."""
        self._bytes += sum(len(record.value or b"") for record in records)

    def is_due(self, upto: int, *, leads: bool) -> bool:
        """Return whether so much was logged since the last snapshot that there should be one."""
        since = max(self._tried_upto, self.newest.upto if self.newest else 0)
        share = 2.0 if leads else 1 + self._stagger() / (2 * STAGGER_STEPS)
        records, size = self._timing.snapshot_every_records, self._timing.snapshot_every_bytes
        return upto - since >= share * records or self._bytes >= share * size

    def _stagger(self) -> int:
        return blake2b(self._member.encode(), digest_size=1).digest()[0] % STAGGER_STEPS

    async def draft(self, shard: Shard[S]) -> Draft | None:
        """Return a snapshot of `shard`, which must take nothing in meanwhile, for `publish`."""
        return await self._draft(shard, self._last)

    async def publish(self, draft: Draft) -> None:
        """Write a snapshot, unless another member has written one since it was drafted.

        If it cannot be written, that is logged, and another is tried when as much again is logged.
        """
        known = self.newest
        try:
            await self._look()
            if self.newest == known:
                await self._write(draft)
                await self._look()
        except BusError as problem:
            logger.warning("no snapshot of %s/%d was written: %s", *self._place, problem)

    async def write_apart(self) -> None:
        """Write a snapshot of a shard that is made from the log, beside the one that leads."""
        try:
            await self._look()
            end = await self._log.end_offset(*self._place)
            if not self.is_due(end, leads=True):
                return
            tail = await self._log.tail(*self._place, 0)
            try:
                draft = await self._draft(*await self._replayed(tail, end))
            finally:
                await tail.close()
        except BusError as problem:
            logger.warning("no snapshot of %s/%d was made: %s", *self._place, problem)
        else:
            if draft is not None:
                await self.publish(draft)

    async def _replayed(self, tail: Tail, end: int) -> tuple[Shard[S], Stored | None]:
        """Return a shard that has read the log up to `end`, and the last record that it read."""
        shard = await self.restore(tail)
        last: Stored | None = None
        while shard.next_offset < end:
            records = await tail.read(APART_RECORDS_MAX, READ_TIMEOUT_MS)
            if not records:
                raise BusUnavailable(f"the log ends at {shard.next_offset}, and not at {end}")
            for last in records:
                decoded = decode_record(last.value, last.headers, self._machine.events)
                shard.observe(last.offset, decoded)
            await asyncio.sleep(0)
        return shard, last

    async def _look(self) -> None:
        """Look which snapshots there are: another member may have written one."""
        await self._refresh(self._shelf)
        newest = next(iter(self._shelf.whole()), None)
        if newest is not None and (self.newest is None or newest.upto > self.newest.upto):
            self.newest, self._bytes = newest, 0

    async def _draft(self, shard: Shard[S], last: Stored | None) -> Draft | None:
        if last is None or last.offset != shard.next_offset - 1 or not shard.as_logged:
            return None
        self._tried_upto, self._bytes = shard.next_offset, 0
        chunks, content = await _chunks(shard)
        manifest = Manifest(
            "",
            "",
            shard.next_offset,
            fingerprint(last),
            schema_of(self._machine),
            content,
            len(chunks),
            sum(map(len, chunks)),
            self._member,
            shard.at,
        )
        return Draft(manifest, chunks)

    async def _write(self, draft: Draft) -> None:
        manifest = sealed(replace(draft.manifest, place=self._shelf.free_place()))
        if manifest.size > SNAPSHOT_BYTES_MAX:
            raise BusError(f"it has {manifest.size:,} bytes, over {SNAPSHOT_BYTES_MAX:,}")
        appender = await self._log.appender()
        try:
            for record in records_of(manifest, draft.chunks):
                await appender.append(*self._shelf_place, [record])
            dropped = [Record(None, key) for key in self._shelf.leftovers(manifest)]
            if dropped:
                await appender.append(*self._shelf_place, dropped)
        finally:
            await appender.close()
        self.written += 1
        logger.info("a snapshot of %s/%d up to %d", *self._place, manifest.upto)


async def _chunks(shard: Shard[S]) -> tuple[list[bytes], str]:
    """Return a snapshot's content in chunks, and its hash, keeping the loop only for moments."""
    chunks: list[bytes] = []
    chunk, content = bytearray(), sha256()
    for line in encode_snapshot(take(shard)):
        chunk += line
        content.update(line)
        while len(chunk) >= CHUNK_BYTES:
            chunks.append(bytes(chunk[:CHUNK_BYTES]))
            del chunk[:CHUNK_BYTES]
        await asyncio.sleep(0)
    return [*chunks, bytes(chunk)], content.hexdigest()
