"""A log in memory that fails as it is told to: for each member its own view of one storage.

It keeps what `folkmoot.bus.ports` promises, and makes happen what they allow: appends that are
acknowledged late or never and land at once, later or not at all; outages; slow partitions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    CorruptLog,
    Record,
    Stored,
    Topic,
    UnknownTopic,
)

FaultKind = Literal["lost", "landed", "late", "held", "unanswered"]


class Storage:
    """The partitions, as all members see them."""

    def __init__(self, topics: Mapping[str, int]) -> None:
        self.partitions: dict[tuple[str, int], list[Stored]] = {
            (topic, partition): [] for topic, count in topics.items() for partition in range(count)
        }
        self.changed = asyncio.Event()

    def land(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Append, and return the first offset."""
        stored = self.partitions[topic, partition]
        first = len(stored)
        stored += [Stored(first + n, 0, r.value, r.key, r.headers) for n, r in enumerate(records)]
        self.changed.set()
        self.changed = asyncio.Event()
        return first

    def make_anew(self, topic: str, partition: int) -> None:
        """Lose what was stored, as when a topic is deleted and created again."""
        self.partitions[topic, partition] = []
        self.changed.set()
        self.changed = asyncio.Event()


@dataclass
class Fault:
    """What becomes of the next append to `topic`, once.

    `lost`, `landed` and `late` end as uncertain, and `late` lands when the `gate` opens; `held`
    waits for the gate before it lands, `unanswered` after it has landed. `hit` says that the append
    has come.
    """

    topic: str
    kind: FaultKind
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    hit: asyncio.Event = field(default_factory=asyncio.Event)


class FaultyLog:
    """One member's view of the log: the `Log` port, and what goes wrong with it.

    Attributes:
        down: everything raises `BusUnavailable`.
        corrupt: everything raises `CorruptLog`.
        close_fails: closing a tail raises, after it was closed.
        close_cancels: the next tail that is closed ends as if its closer had been cancelled.
        commits_fail: only `commit` does.
        stall_s: how much later than asked an empty read returns.
        slow_s: how long an append to a topic takes, by topic.
        topics_take_s: how long it takes to ask for the topics.
        open: appenders and tails that were not closed.
        hit: the faults that have happened.
    """

    LATENCY_S = 0.001

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.down = self.corrupt = self.close_fails = self.close_cancels = False
        self.commits_fail = False
        self.stall_s = self.topics_take_s = 0.0
        self.slow_s: dict[str, float] = {}
        self.open = 0
        self.hit: list[Fault] = []
        self._faults: list[Fault] = []
        self._landing: set[asyncio.Task[None]] = set()

    def fail(self, topic: str, kind: FaultKind) -> Fault:
        """Let the next append to `topic` fail that has no fault yet."""
        fault = Fault(topic, kind)
        self._faults.append(fault)
        return fault

    def partition(self, topic: str, partition: int) -> list[Stored]:
        """Return what is stored.

        Raises:
            BusUnavailable: the log is down.
            UnknownTopic: there is no such partition.
        """
        self._check()
        found = self.storage.partitions.get((topic, partition))
        if found is None:
            raise UnknownTopic(f"there is no partition {partition} of topic {topic!r}")
        return found

    def _check(self) -> None:
        if self.down:
            raise BusUnavailable("the log is out of reach")
        if self.corrupt:
            raise CorruptLog("the log cannot be read: restore it from a copy")

    # -- the port -------------------------------------------------------------------------------

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """See the port."""
        for topic in topics:
            for partition in range(topic.partitions):
                self.storage.partitions.setdefault((topic.name, partition), [])

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        self._check()
        await asyncio.sleep(self.topics_take_s)
        counts: dict[str, int] = {}
        for topic, _ in self.storage.partitions:
            counts[topic] = counts.get(topic, 0) + 1
        return counts

    async def appender(self) -> FaultyAppender:
        """See the port."""
        self._check()
        self.open += 1
        return FaultyAppender(self)

    async def tail(self, topic: str, partition: int, offset: int) -> FaultyTail:
        """See the port."""
        self.partition(topic, partition)
        self.open += 1
        return FaultyTail(self, topic, partition, offset)

    async def end_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        return len(self.partition(topic, partition))

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See the port."""
        if self.down or self.commits_fail:
            raise BusUnavailable("there is no coordinator")

    async def close(self) -> None:
        """See the port."""

    # -- appending ------------------------------------------------------------------------------

    async def land(
        self, topic: str, partition: int, records: Sequence[Record]
    ) -> tuple[int, Fault | None]:
        """Append, or not, as the next fault says; return the offset, and the fault."""
        self.partition(topic, partition)
        fault = next((fault for fault in self._faults if fault.topic == topic), None)
        if fault is not None:
            self._faults.remove(fault)
            self.hit.append(fault)
            fault.hit.set()
            if fault.kind == "held":
                await fault.gate.wait()
            if fault.kind == "late":
                landing = asyncio.create_task(self._land_late(fault, partition, records))
                self._landing.add(landing)
            if fault.kind in ("lost", "late"):
                return -1, fault
        return self.storage.land(topic, partition, records), fault

    async def answer(self, topic: str, fault: Fault | None) -> None:
        """Return as the acknowledgement of an append, if one comes."""
        if fault is None:
            await asyncio.sleep(self.slow_s.get(topic, self.LATENCY_S))
        elif fault.kind == "unanswered":
            await fault.gate.wait()
        elif fault.kind != "held":
            raise AppendUncertain("the append was not acknowledged")

    async def _land_late(self, fault: Fault, partition: int, records: Sequence[Record]) -> None:
        await fault.gate.wait()
        self.storage.land(fault.topic, partition, records)


class FaultyAppender:
    """The `Appender` port."""

    def __init__(self, log: FaultyLog) -> None:
        self._log, self._closed = log, False
        self._order: dict[tuple[str, int], asyncio.Lock] = {}

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See the port."""
        async with self._order.setdefault((topic, partition), asyncio.Lock()):
            if self._closed:
                raise AppendUncertain("the appender is closed")
            if not records:
                return await self._log.end_offset(topic, partition)
            first, fault = await self._log.land(topic, partition, records)
        await self._log.answer(topic, fault)
        return first

    async def close(self) -> None:
        """See the port."""
        self._log.open -= not self._closed
        self._closed = True


class FaultyTail:
    """The `Tail` port."""

    def __init__(self, log: FaultyLog, topic: str, partition: int, offset: int) -> None:
        self._log, self._topic, self._partition = log, topic, partition
        self._position, self._closed = offset, False

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port."""
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                while not (records := self._available(max_records)):
                    await self._log.storage.changed.wait()
        except TimeoutError:
            await asyncio.sleep(self._log.stall_s)
            return []
        self._position = records[-1].offset + 1
        return records

    def _available(self, max_records: int) -> list[Stored]:
        stored = self._log.partition(self._topic, self._partition)
        if self._position > len(stored):
            raise CorruptLog(f"the log ends at {len(stored)}, before {self._position}")
        return stored[self._position : self._position + max_records]

    def seek(self, offset: int) -> None:
        """See the port."""
        self._position = offset

    async def close(self) -> None:
        """See the port."""
        self._log.open -= not self._closed
        self._closed = True
        if self._log.close_cancels:
            self._log.close_cancels = False
            raise asyncio.CancelledError
        if self._log.close_fails:
            raise BusUnavailable("the tail did not close cleanly")
