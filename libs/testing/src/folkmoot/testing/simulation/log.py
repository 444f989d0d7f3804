"""The `Log` port of one simulated process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    Record,
    Stored,
    Topic,
    UnknownTopic,
)
from folkmoot.testing.simulation.broker import TIMEOUT_S, Broker, Link, Partition, Place
from folkmoot.testing.simulation.process import Process

CLOCK_SLACK_S = 1e-9

LATE_S = (0.001, 3.0)
"""When an append that lands late does so: in its term, or many terms after."""


class SimulatedLog:
    """What one process sees of the broker, over its `link`."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self.broker, self.process = broker, process
        self.link = Link()

    def check(self) -> None:
        """Raise unless the broker can be reached.

        Raises:
            BusUnavailable: it cannot.
        """
        if self.process.dead or not (self.link.up and self.broker.available):
            raise BusUnavailable("the broker is out of reach")

    def partition(self, topic: str, partition: int) -> Partition:
        """Return a partition.

        Raises:
            BusUnavailable: the broker cannot be reached.
            UnknownTopic: there is no such partition.
        """
        self.check()
        found = self.broker.partitions.get((topic, partition))
        if found is None:
            raise UnknownTopic(f"there is no partition {partition} of topic {topic!r}")
        return found

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """See the port."""
        self.check()
        for topic in topics:
            self.broker.create(topic.name, topic.partitions)

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        await self._ask()
        return dict(self.broker.counts)

    async def _ask(self) -> None:
        self.check()
        await asyncio.sleep(self.broker.latency_s() * self.link.slow)
        self.check()

    async def appender(self) -> SimulatedAppender:
        """See the port."""
        self.check()
        return SimulatedAppender(self)

    async def tail(self, topic: str, partition: int, offset: int) -> SimulatedTail:
        """See the port."""
        return SimulatedTail(self, self.partition(topic, partition), offset)

    async def end_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        await self._ask()
        return len(self.partition(topic, partition).records)

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See the port."""
        self.check()

    async def close(self) -> None:
        """See the port."""


class _Call:
    """One append between its process, the broker, and its process again."""

    def __init__(
        self, appender: SimulatedAppender, place: Place, records: Sequence[Record]
    ) -> None:
        self.appender, self.place, self.records = appender, place, records
        self.done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def arrive(self) -> None:
        """Land, or not, as fate has it."""
        log = self.appender.log
        broker, random = log.broker, log.broker.random
        reachable = broker.available and log.link.up and not self.appender.broken
        if log.process.dead and random.random() < 0.5:
            reachable = False
        fate = log.link.fate(random) if reachable else "lost"
        if fate == "acknowledged":
            first = self._land(self.records)
            broker.loop.later(broker.latency_s() * log.link.slow, self._acknowledge, first)
            return
        self.appender.broken = True
        if fate in ("unanswered", "partial"):
            kept = 1 + random.randrange(len(self.records)) if fate == "partial" else None
            self._land(self.records[:kept])
        elif fate == "late":
            broker.eventually(random.uniform(*LATE_S), self._land, self.records)
        broker.eventually(random.uniform(*TIMEOUT_S), self.fail)

    def _land(self, records: Sequence[Record]) -> int:
        return self.appender.log.broker.land(self.place, records, self.appender.log.process.name)

    def _acknowledge(self, first: int) -> None:
        self.appender.calls.pop(self, None)
        if not self.done.done():
            self.done.set_result(first)

    def fail(self) -> None:
        """Tell the process that nobody knows."""
        self.appender.calls.pop(self, None)
        if not self.done.done():
            self.done.set_exception(AppendUncertain("the append was not acknowledged"))


class SimulatedAppender:
    """The `Appender` port. After an append of unknown outcome it is broken."""

    def __init__(self, log: SimulatedLog) -> None:
        self.log = log
        self.broken = self._closed = False
        self.calls: dict[_Call, None] = {}
        self._arrivals: dict[Place, float] = {}

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See the port."""
        found = self.log.partition(topic, partition)
        if self._closed or self.broken:
            raise BusUnavailable("this appender is closed; nothing was written")
        if not records:
            return len(found.records)
        call = _Call(self, (topic, partition), list(records))
        self.calls[call] = None
        loop, way_s = self.log.broker.loop, self.log.broker.latency_s() * self.log.link.slow
        arrival = max(loop.now + way_s, self._arrivals.get(call.place, 0.0))
        self._arrivals[call.place] = arrival
        loop.later(arrival - loop.now, call.arrive)
        return await call.done

    async def close(self) -> None:
        """See the port. What is under way may land or not."""
        self._closed = True
        for call in tuple(self.calls):
            call.fail()


class SimulatedTail:
    """The `Tail` port."""

    def __init__(self, log: SimulatedLog, partition: Partition, offset: int) -> None:
        self._log, self._partition, self._position = log, partition, offset

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        while not (records := self._visible(max_records)):
            left_s = deadline - loop.time()
            if left_s <= CLOCK_SLACK_S:
                return []
            await self._wait(left_s)
        self._position = records[-1].offset + 1
        return records

    def _visible(self, max_records: int) -> list[Stored]:
        """Return what has come through to this process."""
        self._log.check()
        partition, start = self._partition, self._position
        end = min(len(partition.records), start + max_records)
        delay_s = self._log.link.read_delay_s
        if delay_s:
            latest = self._log.broker.loop.now - delay_s + CLOCK_SLACK_S
            while end > start and partition.landed_at[end - 1] > latest:
                end -= 1
        return partition.records[start:end]

    async def _wait(self, left_s: float) -> None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._partition.waiters[waiter] = self._log.link
        timer = loop.call_later(left_s, _wake, waiter)
        if len(self._partition.records) > self._position:
            self._log.broker.loop.later(self._delay_s(), _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            del self._partition.waiters[waiter]

    def _delay_s(self) -> float:
        """Return when the next record, which has landed already, comes through."""
        landed = self._partition.landed_at[self._position]
        return max(0.0, landed + self._log.link.read_delay_s - self._log.broker.loop.now)

    def seek(self, offset: int) -> None:
        """See the port."""
        self._position = offset

    async def close(self) -> None:
        """See the port."""


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
