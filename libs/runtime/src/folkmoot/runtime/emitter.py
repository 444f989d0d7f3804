"""Sends the effects of committed entries, in order, and says how far they are acknowledged.

Invariant: effects for one partition are sent in the order of their marks, through one appender,
and nothing is sent after a failure: the term then ends, and the next leader sends again from the
last acknowledged entry. A receiver drops what it has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from folkmoot.bus.ports import Appender, Log, Record, UnknownTopic
from folkmoot.contracts.envelope import TooLarge, encode_message, origin_headers
from folkmoot.contracts.keys import partition_of
from folkmoot.core.kernel import DEAD_LETTERS, DeadLetter, Pending, Shard
from folkmoot.core.names import wire_name
from folkmoot.core.undelivered import TOO_LARGE, UNKNOWN_TOPIC, answers
from folkmoot.runtime.tally import Tally

EFFECTS_MAX = 2_000
"""Effects in flight at once: enough to fill batches, little to repeat after a failure."""

LOOK_UPS = 10
LOOK_UP_EVERY_S = 0.1
"""Together a second: longer than a cluster of brokers takes to agree on a topic just made."""

Addressed = tuple[str, int, Record]

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
        tally: Tally,
    ) -> None:
        self._shard, self._log, self._appender, self._origin = shard, log, appender, origin
        self._on_progress, self._tally = on_progress, tally
        self._partitions: Mapping[str, int] = {}
        self._absent: set[str] = set()
        self._work = asyncio.Event()
        self._idle = asyncio.Event()

    def follow(self, shard: Shard[Any]) -> None:
        """Go on with `shard`, which has the same effects pending and perhaps more."""
        self._shard = shard

    def wake(self) -> None:
        """There may be effects to send."""
        if self._shard.pending:
            self._idle.clear()
            self._work.set()

    async def drained(self, timeout_ms: int) -> bool:
        """Wait until every effect has been acknowledged; whether that was within `timeout_ms`."""
        self.wake()
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while self._shard.pending:
                    await self._idle.wait()
        except TimeoutError:
            return False
        return True

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
            for topic, partition, record in await self._addressed(effect):
                groups.setdefault((topic, partition), []).append(record)
        await asyncio.gather(
            *(
                self._appender.append(topic, partition, records)
                for (topic, partition), records in groups.items()
            )
        )
        self._shard.acknowledge(batch[-1].mark.offset)
        letters = sum(len(sent) for (topic, _), sent in groups.items() if topic == DEAD_LETTERS)
        self._tally.note_effects(len(batch), letters)

    async def _addressed(self, effect: Pending) -> list[Addressed]:
        send = effect.send
        try:
            record = self._record(effect, send.message, send.key)
            partition = await self._partition(send.topic, send.partition, send.key)
        except TooLarge as problem:
            return await self._undeliverable(effect, TOO_LARGE, str(problem))
        except UnknownTopic as problem:
            return await self._undeliverable(effect, UNKNOWN_TOPIC, str(problem))
        return [(send.topic, partition, record)]

    def _record(
        self, effect: Pending, message: object | None, key: str | None, suffix: str = ""
    ) -> Record:
        key_bytes = key.encode() if key is not None else None
        if message is None:
            return Record(None, key_bytes)
        value, headers = encode_message(
            message,
            event_id=f"{self._origin}/{effect.mark.offset}/{effect.mark.ordinal}{suffix}",
            source=self._origin,
            at=effect.at,
            extra=origin_headers(self._origin, effect.mark),
        )
        return Record(value, key_bytes, headers)

    async def _undeliverable(self, effect: Pending, reason: str, detail: str) -> list[Addressed]:
        """Put aside what no topic takes, and tell those who wait for it."""
        logger.error("effect %s of %s is undeliverable: %s", effect.mark, self._origin, detail)
        send = effect.send
        name = wire_name(type(send.message))
        letter = DeadLetter(send.topic, effect.mark.offset, reason, detail, name)
        record = self._record(effect, letter, send.topic)
        shard = await self._partition(DEAD_LETTERS, None, send.topic)
        instead: list[Addressed] = [(DEAD_LETTERS, shard, record)]
        for address, answer in answers(send.message, reason, detail):
            with contextlib.suppress(UnknownTopic):
                shard = await self._partition(address.topic, address.partition, None)
                told = self._record(effect, answer, answer.saga_id, suffix="/answer")
                instead.append((address.topic, shard, told))
        return instead

    async def _partition(self, topic: str, partition: int | None, key: str | None) -> int:
        """Return where to send.

        Raises:
            UnknownTopic: there is no such partition, not even after some patience.
        """
        count = self._partitions.get(topic) or await self._look_up(topic)
        chosen = partition_of(key or "", count) if partition is None else partition
        if not 0 <= chosen < count:
            raise UnknownTopic(f"topic {topic!r} has {count} partitions, and no number {chosen}")
        return chosen

    async def _look_up(self, topic: str) -> int:
        """Return how many partitions a topic has; a topic just made may not be seen at once."""
        for attempt in range(1 if topic in self._absent else LOOK_UPS):
            await asyncio.sleep(LOOK_UP_EVERY_S if attempt else 0)
            self._partitions = await self._log.topics()
            if topic in self._partitions:
                return self._partitions[topic]
        self._absent.add(topic)
        raise UnknownTopic(f"there is no topic {topic!r}")
