"""Keeps one replica's changes in the compacted topic `folkmoot.knowledge`.

A flush writes what changed since the last one under fresh keys, `document/replica/n`. When there
are many records of a document, whoever has written of it writes what it knows as a whole under
fresh keys, and then deletes the records that it had joined, whoever wrote them. So the topic grows
with what is known, not with how often it changed or how many replicas there ever were.

A record is only deleted by somebody who has joined it and has made that durable further on in the
same partition. So what a record said is always in a later one, and nothing is lost whoever deletes
at the same time, or dies in between.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

import orjson

from folkmoot.bus.ports import Appender, BusError, Log, Record, UnknownTopic
from folkmoot.contracts.keys import partition_of
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import (
    ENVELOPE_BYTES,
    MESSAGE_BYTES_MAX,
    Crdt,
    Delta,
    Replica,
    encode,
    gather,
)
from folkmoot.sdk.knowledge.reading import Reader

RECORDS_MAX = 64
"""Records of a document beyond those of its last whole, before they are made one again. So few are
read in no time at start, and so many make writing the whole rare."""

logger = logging.getLogger(__name__)


class Keeper:
    """Writes one replica's changes to the log."""

    def __init__(self, log: Log, replica: Replica, reader: Reader) -> None:
        self._log, self._replica, self._reader = log, replica, reader
        self._unkept: dict[str, Crdt] = {}
        self._written_of: set[str] = set()
        self._whole: dict[str, int] = defaultdict(int)
        self._appender: Appender | None = None
        self._lock = asyncio.Lock()
        self._n = 0

    def changed(self, document: str, delta: Crdt) -> None:
        """Remember to keep `delta`."""
        gather(self._unkept, document, delta)

    async def flush(self) -> None:
        """Return when everything that changed before is durable.

        Raises:
            BusError: it could not be written; it will be tried again with the next flush.
        """
        async with self._lock:
            unkept, self._unkept = self._unkept, {}
            try:
                for document, delta in unkept.items():
                    await self._write(document, delta)
                    self._written_of.add(document)
            except BaseException:
                for document, delta in unkept.items():
                    self.changed(document, delta)
                raise

    async def consolidate(self) -> None:
        """Make one whole of the many records of each document that was written of.

        Raises:
            BusError: it could not be written; nothing that counts was deleted.
        """
        async with self._lock:
            for document in sorted(self._written_of):
                records = self._reader.records[document]
                if len(records) > RECORDS_MAX + self._whole[document]:
                    await self._consolidate(document, set(records))
                self._written_of.discard(document)

    async def _consolidate(self, document: str, old: set[bytes]) -> None:
        written = await self._write(document, self._replica.documents[document])
        await self._append(document, [Record(None, key) for key in sorted(old)])
        self._reader.records[document] -= old
        self._whole[document] = written

    async def _write(self, document: str, state: Crdt) -> int:
        """Write `state` under fresh keys; return in how many records."""
        records = []
        for part in state.parts(MESSAGE_BYTES_MAX - ENVELOPE_BYTES):
            self._n += 1
            key = f"{document}/{self._replica.replica}/{self._n}".encode()
            records.append(Record(orjson.dumps(encode(Delta(document, part))), key))
        await self._append(document, records)
        self._reader.records[document] |= {record.key or b"" for record in records}
        return len(records)

    async def _append(self, document: str, records: list[Record]) -> None:
        if not records:
            return
        partitions = (await self._log.topics()).get(KNOWLEDGE, 0)
        if not partitions:
            raise UnknownTopic(f"There is no topic {KNOWLEDGE!r}: start the platform first.")
        try:
            if self._appender is None:
                self._appender = await self._log.appender()
            await self._appender.append(KNOWLEDGE, partition_of(document, partitions), records)
        except BaseException:  # whatever stopped it, the append may still land
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the appender."""
        appender, self._appender = self._appender, None
        if appender is not None:
            await appender.close()


async def keep_in_time(keeper: Keeper) -> None:
    """Flush what nobody waits for, and consolidate; what fails now is tried again later."""
    try:
        await keeper.flush()
        await keeper.consolidate()
    except BusError as error:
        logger.warning("knowledge is not kept in the log now: %s", error)
