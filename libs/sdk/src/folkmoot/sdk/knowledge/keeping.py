"""Keeps knowledge in the compacted topic `folkmoot.knowledge`, where it outlives every agent.

A record is a delta under a key of its own, `document/replica/n`; joining all records of a document
gives the document, in whatever order. When a replica has written many, it writes what it knows as
a whole under new keys and deletes the old ones, so that the topic grows with what is known and not
with how often it changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import orjson

from folkmoot.bus.ports import Appender, Bus, Log, Record
from folkmoot.contracts.topics import KNOWLEDGE
from folkmoot.core.crdt import Crdt, MalformedState, Replica, from_json, parts_of

RECORDS_MAX = 64
"""Records of one replica for one document before it consolidates them."""

READ_RECORDS_MAX = 2_000
READ_TIMEOUT_MS = 2_000


class Keeper:
    """Writes one replica's changes to the log."""

    def __init__(self, bus: Bus, replica: Replica) -> None:
        self._bus, self._replica = bus, replica
        self._unkept: dict[str, Crdt] = {}
        self._written: dict[str, list[bytes]] = {}
        self._appender: Appender | None = None
        self._lock = asyncio.Lock()
        self._n = 0

    def changed(self, document: str, delta: Crdt) -> None:
        """Remember to keep `delta`."""
        if document in self._unkept:
            self._unkept[document].merge(delta)  # type: ignore[arg-type]
        else:
            self._unkept[document] = from_json(delta.to_json())

    async def flush(self) -> None:
        """Return when everything that changed before is durable.

        Raises:
            BusError: it could not be written; it is tried again with the next flush.
        """
        async with self._lock:
            unkept, self._unkept = self._unkept, {}
            if not unkept:
                return
            try:
                await self._write(unkept)
            except BaseException:
                await self.close()
                self._restore(unkept)
                raise

    def _restore(self, unkept: Mapping[str, Crdt]) -> None:
        for document, delta in unkept.items():
            self.changed(document, delta)

    async def _write(self, unkept: Mapping[str, Crdt]) -> None:
        if self._appender is None:
            self._appender = await self._bus.log.appender()
        records = [each for name, delta in unkept.items() for each in self._records(name, delta)]
        for document in unkept:
            if len(self._written[document]) > RECORDS_MAX:
                records += self._consolidated(document)
        await self._appender.append(KNOWLEDGE, 0, records)

    def _records(self, document: str, crdt: Crdt) -> list[Record]:
        records = []
        for part in parts_of(crdt):
            self._n += 1
            key = f"{document}/{self._replica.replica}/{self._n}".encode()
            self._written.setdefault(document, []).append(key)
            records.append(Record(orjson.dumps(part.to_json()), key))
        return records

    def _consolidated(self, document: str) -> list[Record]:
        old, self._written[document] = self._written[document], []
        whole = self._records(document, self._replica.documents[document])
        return [*whole, *(Record(None, key) for key in old)]

    async def close(self) -> None:
        """Let go of the appender."""
        if self._appender is not None:
            appender, self._appender = self._appender, None
            await appender.close()


async def read_all(log: Log) -> dict[str, Crdt]:
    """Return every document as it is kept up to the present end of the log."""
    documents: dict[str, Crdt] = {}
    if KNOWLEDGE not in await log.topics():
        return documents
    end = await log.end_offset(KNOWLEDGE, 0)
    tail = await log.tail(KNOWLEDGE, 0, 0)
    try:
        while tail.position < end:
            records = await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS)
            if not records:
                break
            for record in records:
                _join(documents, record.key, record.value)
    finally:
        await tail.close()
    return documents


def _join(documents: dict[str, Crdt], key: bytes | None, value: bytes | None) -> None:
    """Join one record; what is no record of ours is nobody's knowledge."""
    if key is None or value is None:
        return
    try:
        crdt = from_json(orjson.loads(value))
    except (orjson.JSONDecodeError, MalformedState):
        return
    document = key.decode("utf-8", "replace").split("/", 1)[0]
    known = documents.setdefault(document, crdt)
    if known is not crdt and type(known) is type(crdt):
        known.merge(crdt)  # type: ignore[arg-type]


async def read_document(log: Log, document: str) -> Crdt | None:
    """Return one document as it is kept, None if there is none of that name."""
    return (await read_all(log)).get(document)
