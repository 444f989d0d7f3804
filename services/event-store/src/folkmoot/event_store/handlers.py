"""Feeds the index from every log there is, and answers questions about streams from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

import orjson

from folkmoot.bus.ports import Bus, BusError, Gossiped
from folkmoot.contracts import subjects
from folkmoot.contracts.codec import UnreadableRecord
from folkmoot.event_store.errors import IndexUnavailable
from folkmoot.event_store.following import Follower
from folkmoot.event_store.gathering import Gathering
from folkmoot.event_store.index import Index
from folkmoot.event_store.metrics import IndexMeasure
from folkmoot.event_store.queries import answer

READ_RECORDS_MAX = 2_000
READ_TIMEOUT_MS = 500
DISCOVER_EVERY_S = 0.5
"""How soon the log of a new agent or team is noticed."""

RETRY_S = 1.0

LOOK_EVERY_S, LOOK_EVERY_MAX_S = 2.5, 30.0
LOOK_SHARE = 10
"""Between two looks at where all logs end: so many times what a look takes, within these bounds."""

logger = logging.getLogger(__name__)


class Indexer:
    """Keeps the index up with all logs of a bus."""

    def __init__(self, bus: Bus, index: Index, measure: IndexMeasure) -> None:
        self._bus, self._index, self._measure = bus, index, measure
        self._gathering = Gathering(index)
        self._followed: set[tuple[str, int]] = set()

    async def run(self) -> None:
        """Follow every log, those that appear later included."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gathering.run())
            tasks.create_task(self._look())
            while True:
                for log in await self._new_logs():
                    self._followed.add(log)
                    tasks.create_task(self._follow(*log))
                await asyncio.sleep(DISCOVER_EVERY_S)

    async def _new_logs(self) -> list[tuple[str, int]]:
        try:
            topics = await self._bus.log.topics()
        except BusError as error:
            logger.warning("cannot look for new logs: %s", error)
            return []
        return [log for log in log_partitions(topics) if log not in self._followed]

    async def _look(self) -> None:
        """Look again and again at how far the index is behind; it becomes older meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                ends = {log: await self._bus.log.end_offset(*log) for log in [*self._followed]}
                self._measure.note(ends, {log: self._index.cursor(log) for log in ends})
            except BusError as error:
                logger.warning("cannot see how far the index is behind: %s", error)
            pause = LOOK_SHARE * (loop.time() - began)
            await asyncio.sleep(min(max(LOOK_EVERY_S, pause), LOOK_EVERY_MAX_S))

    async def _follow(self, topic: str, partition: int) -> None:
        while True:
            try:
                await self._feed(topic, partition)
            except (BusError, IndexUnavailable) as error:
                logger.warning("indexing %s/%d pauses: %s", topic, partition, error)
                await asyncio.sleep(RETRY_S)
            except UnreadableRecord as error:
                logger.error("%s/%d is indexed no further: %s", topic, partition, error)  # noqa: TRY400
                return

    async def _feed(self, topic: str, partition: int) -> None:
        follower = Follower(self._index, topic, partition)
        end = await self._bus.log.end_offset(topic, partition)
        start = await asyncio.to_thread(follower.start, end)
        tail = await self._bus.log.tail(topic, partition, start)
        try:
            while True:
                records = await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS)
                if records:
                    await self._gathering.take(follower, records)
                if follower.next_offset < tail.position:
                    tail.seek(max(0, follower.next_offset))
        finally:
            await tail.close()


def log_partitions(topics: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return every partition of every log."""
    return [
        (topic, partition)
        for topic, partitions in topics.items()
        if topic.startswith("folkmoot.") and topic.endswith(".log")
        for partition in range(partitions)
    ]


async def answer_queries(bus: Bus, index: Index) -> None:
    """Answer questions about streams for as long as this process runs."""

    async def respond(question: Gossiped) -> bytes:
        try:
            request = orjson.loads(question.data)
        except orjson.JSONDecodeError:
            request = {}
        return orjson.dumps(await answer(index, request))

    subscription = await bus.gossip.respond(subjects.query("event-store", "index"), respond)
    try:
        await asyncio.Event().wait()
    finally:
        await subscription.close()
