"""Reads what is kept in the compacted topic `folkmoot.knowledge`, at start and ever after.

A record is a part of a document under a key of its own, `document/replica/n`; joining all records
of a document gives the document, in whatever order. Whoever reads on hears of a change even if the
one who made it died before it could gossip, and knows everything that was durable at a moment.

What cannot be read is somebody else's, or of a newer version: it is counted, skipped and kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from dataclasses import dataclass, field

import orjson

from folkmoot.bus.ports import BusError, Log, Stored, Tail
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import Crdt, Delta, MalformedState, Replica, decode

READ_RECORDS_MAX = 100
"""At once: with records of half a megabyte, 50 MB."""

READ_TIMEOUT_MS = 1_000
RETRY_S = 1.0
"""How soon a log is tried again that could not be reached."""

logger = logging.getLogger(__name__)


@dataclass
class _Place:
    """How far one partition has been read."""

    partition: int
    position: int = 0
    tail: Tail | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Reader:
    """Joins everything that the topic holds into a replica."""

    def __init__(self, log: Log, replica: Replica) -> None:
        self._log, self._replica = log, replica
        self._places: list[_Place] = []
        self.records: dict[str, set[bytes]] = defaultdict(set)
        """Keys of the records of each document that are joined here and not yet deleted."""
        self.unreadable = 0

    async def catch_up(self) -> None:
        """Return when everything is known here that was durable when this was called.

        Raises:
            BusError: the log cannot be read now.
        """
        for place in await self._all_places():
            end = await self._log.end_offset(KNOWLEDGE, place.partition)
            while place.position < end:
                await self._read(place, end)

    async def follow(self) -> None:
        """Read on for as long as this runs; a log that cannot be reached is tried again."""
        while True:
            try:
                async with asyncio.TaskGroup() as tasks:
                    for place in await self._all_places():
                        tasks.create_task(self._follow(place))
            except* BusError as errors:
                logger.warning("knowledge is not read from the log now: %s", errors.exceptions[0])
            await asyncio.sleep(RETRY_S)

    async def close(self) -> None:
        """Stop reading."""
        for place in self._places:
            await self._close(place)

    async def _follow(self, place: _Place) -> None:
        while True:
            await self._read(place)

    async def _all_places(self) -> list[_Place]:
        if not self._places:
            partitions = (await self._log.topics()).get(KNOWLEDGE, 0)
            self._places = self._places or [_Place(number) for number in range(partitions)]
        return self._places

    async def _read(self, place: _Place, end: int | None = None) -> None:
        """Read some records, unless there is nothing left before `end`.

        Compaction may have taken the last records before `end`: then nothing comes.
        """
        async with place.lock:
            if end is not None and place.position >= end:
                return
            try:
                if place.tail is None:
                    place.tail = await self._log.tail(KNOWLEDGE, place.partition, place.position)
                records = await place.tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS)
            except BusError:
                await self._close(place)
                raise
            for record in records:
                self._take(record)
                place.position = record.offset + 1
            if not records and end is not None:
                place.position = end

    async def _close(self, place: _Place) -> None:
        tail, place.tail = place.tail, None
        if tail is not None:
            await tail.close()

    def _take(self, record: Stored) -> None:
        document = (record.key or b"").decode("utf-8", "replace").split("/", 1)[0]
        if record.key is not None and record.value is None:
            self.records[document].discard(record.key)
            return
        try:
            message = decode(orjson.loads(record.value or b""))
            if not isinstance(message, Delta) or message.document != document:
                raise MalformedState(f"a record of {document!r} is no part of it")
            self._replica.learn(document, message.state)
        except ValueError as error:
            self.unreadable += 1
            logger.warning("skipped record %d of %s: %s", record.offset, KNOWLEDGE, error)
        else:
            self.records[document].add(record.key or b"")


async def read_all(log: Log) -> dict[str, Crdt]:
    """Return every document as it is kept up to the present end of the log.

    Raises:
        BusError: the log cannot be read now.
    """
    replica = Replica("reader")
    reader = Reader(log, replica)
    try:
        await reader.catch_up()
    finally:
        await reader.close()
    return replica.documents


async def read_document(log: Log, document: str) -> Crdt | None:
    """Return one document as it is kept, None if there is none of that name.

    Raises:
        BusError: the log cannot be read now.
    """
    return (await read_all(log)).get(document)
