"""Sends the effects of committed entries, in order, and says how far they are acknowledged.

Invariant: effects for one partition are sent in the order of their marks, through one appender,
and nothing is sent after a failure: the term then ends, and the next leader sends again from the
last acknowledged entry. A receiver drops what it has seen.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from folkmoot.bus.ports import Appender, Log, Record
from folkmoot.contracts.envelope import TooLarge, encode_message, origin_headers
from folkmoot.contracts.keys import partition_of
from folkmoot.core.kernel import DEAD_LETTERS, DeadLetter, Pending, Shard
from folkmoot.core.names import wire_name

EFFECTS_MAX = 2_000
"""Effects in flight at once: enough to fill batches, little to repeat after a failure."""

logger = logging.getLogger(__name__)


class Emitter:
    """The sending side of one leader's term."""

    def __init__(
        self,
        shard: Shard[Any],
        log: Log,
        appender: Appender,
        origin: str,
        on_progress: Callable[[], None],
    ) -> None:
        self._shard, self._log, self._appender, self._origin = shard, log, appender, origin
        self._on_progress = on_progress
        self._partitions: Mapping[str, int] = {}
        self._work = asyncio.Event()
        self._idle = asyncio.Event()

    def wake(self) -> None:
        """There may be effects to send."""
        if self._shard.pending:
            self._idle.clear()
            self._work.set()

    async def drained(self) -> None:
        """Wait until every effect has been acknowledged."""
        if self._shard.pending:
            await self._idle.wait()

    async def run(self) -> None:
        """Send for as long as the term lasts.

        Raises:
            BusError: an effect could not be sent; the term is over.
        """
        self.wake()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._shard.pending:
                await self._send(self._next())
                self._on_progress()
            self._idle.set()

    def _next(self) -> list[Pending]:
        """Return the effects to send next, of whole entries: acknowledgement is by entry."""
        pending = self._shard.pending
        batch = list(islice(pending, EFFECTS_MAX))
        last = batch[-1].mark.offset
        rest = islice(pending, len(batch), None)
        for effect in rest:
            if effect.mark.offset != last:
                break
            batch.append(effect)
        return batch

    async def _send(self, batch: Sequence[Pending]) -> None:
        groups: dict[tuple[str, int], list[Record]] = {}
        for effect in batch:
            topic, partition, record = await self._addressed(effect)
            groups.setdefault((topic, partition), []).append(record)
        await asyncio.gather(
            *(
                self._appender.append(topic, partition, records)
                for (topic, partition), records in groups.items()
            )
        )
        self._shard.acknowledge(batch[-1].mark.offset)

    async def _addressed(self, effect: Pending) -> tuple[str, int, Record]:
        send = effect.send
        try:
            record = self._record(effect, send.message, send.key)
        except TooLarge as problem:
            return await self._undeliverable(effect, str(problem))
        return send.topic, await self._partition(send.topic, send.partition, send.key), record

    def _record(self, effect: Pending, message: object | None, key: str | None) -> Record:
        key_bytes = key.encode() if key is not None else None
        if message is None:
            return Record(None, key_bytes)
        value, headers = encode_message(
            message,
            event_id=f"{self._origin}/{effect.mark.offset}/{effect.mark.ordinal}",
            source=self._origin,
            at=effect.at,
            extra=origin_headers(self._origin, effect.mark),
        )
        return Record(value, key_bytes, headers)

    async def _undeliverable(self, effect: Pending, detail: str) -> tuple[str, int, Record]:
        """Put aside what no topic takes; its sender's time limit then tells the saga."""
        logger.error("effect %s of %s is undeliverable: %s", effect.mark, self._origin, detail)
        name = wire_name(type(effect.send.message))
        letter = DeadLetter(effect.send.topic, effect.mark.offset, "too-large", detail, name)
        record = self._record(effect, letter, effect.send.topic)
        return DEAD_LETTERS, await self._partition(DEAD_LETTERS, None, effect.send.topic), record

    async def _partition(self, topic: str, partition: int | None, key: str | None) -> int:
        if partition is not None:
            return partition
        if topic not in self._partitions:
            self._partitions = await self._log.topics()
        count = self._partitions.get(topic, 1)
        return partition_of(key or "", count)
