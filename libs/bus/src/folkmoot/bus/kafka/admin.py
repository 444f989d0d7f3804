"""Topics on Kafka: creating, checking, and knowing which there are and where they end.

Invariant: an existing topic is never altered.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from folkmoot.bus.cancelling import begun, leave, undisturbed
from folkmoot.bus.kafka.brokers import Brokers, unknown
from folkmoot.bus.kafka.clients import close_client
from folkmoot.bus.kafka.consumers import start_consumer, stop_consumer
from folkmoot.bus.ports import BusError, BusUnavailable, Topic
from folkmoot.bus.topics import check_name, check_topic

REPLICAS, IN_SYNC = 3, 2  # one broker may be lost without losing a record or stopping
CREATED_WITHIN_S = 10.0  # until every partition of a new topic has a leader
LOOK_AGAIN_S = 0.05


class Admin:
    """The administration of the brokers' topics, and the memory of what it has seen.

    Every method raises `BusUnavailable` if no broker answers, and the next call begins anew.
    """

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self._client: AIOKafkaAdminClient | None = None
        self._ends: AIOKafkaConsumer | None = None
        self._starting = asyncio.Lock()
        self._partitions: dict[str, int] = {}
        self._compacted: set[str] = set()

    async def start(self) -> None:
        """Reach a broker."""
        async with self._connected():
            pass

    async def close(self) -> None:
        """Let go of the brokers."""
        client, self._client = self._client, None
        ends, self._ends = self._ends, None
        if client is not None:
            await undisturbed(close_client(client._client))
        if ends is not None:
            await stop_consumer(ends)

    def compacted(self, topic: str) -> bool:
        """Whether `topic` is known to be compacted."""
        return topic in self._compacted

    async def create(self, topics: Sequence[Topic]) -> None:
        """Create what is missing and check the rest. See the port."""
        for topic in topics:
            check_name(topic)
        existing = await self.topics()
        missing = [topic for topic in topics if topic.name not in existing]
        async with self._connected() as client:
            raced = await _create(client, missing) if missing else set()
            if missing:
                await self._led(client, {topic.name for topic in missing})
            present = [t for t in topics if t.name in existing or t.name in raced]
            settings = await _settings(client, present) if present else {}
        for topic in present:
            check_topic(topic, self._partitions[topic.name], settings[topic.name])
        self._compacted |= {topic.name for topic in topics if topic.compacted}

    async def topics(self) -> Mapping[str, int]:
        """Return the partition count of each topic, Kafka's own left out."""
        async with self._connected() as client:
            return self._remember(await _described(client))

    async def require(self, topic: str, partition: int) -> None:
        """Raise `UnknownTopic` unless there is such a partition."""
        if not self._knows(topic, partition):
            await self.topics()
            if not self._knows(topic, partition):
                raise unknown(topic, partition)

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the partition's next record will get."""
        await self.require(topic, partition)
        place = TopicPartition(topic, partition)
        async with self._connected():
            assert self._ends is not None
            return int((await self._ends.end_offsets([place]))[place])

    def _knows(self, topic: str, partition: int) -> bool:
        return 0 <= partition < self._partitions.get(topic, 0)

    def _remember(self, described: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
        seen = {topic["topic"]: len(topic["partitions"]) for topic in described}
        self._partitions |= seen  # a broker that lags behind makes nothing unknown
        return seen

    async def _led(self, client: AIOKafkaAdminClient, names: set[str]) -> None:
        """Wait until every partition of the topics has a leader."""
        async with asyncio.timeout(CREATED_WITHIN_S):
            while True:
                described = await _described(client)
                if names <= {topic["topic"] for topic in described if _is_led(topic)}:
                    self._remember(described)
                    return
                await asyncio.sleep(LOOK_AGAIN_S)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """Give a client that has reached a broker; drop it if the broker is lost."""
        try:
            with self._brokers.explained():
                async with self._starting:
                    if self._client is None:
                        await self._start()
                yield self._client
        except BusUnavailable:
            await self.close()
            raise

    async def _start(self) -> None:
        client = AIOKafkaAdminClient(**self._brokers.client())
        await begun(client.start(), lambda: close_client(client._client))
        try:
            self._ends = await start_consumer(self._brokers)
        except BaseException:
            leave(close_client(client._client))
            raise
        self._client = client


async def _described(client: AIOKafkaAdminClient) -> list[Mapping[str, Any]]:
    topics = await client.describe_topics()
    return [topic for topic in topics if topic["partitions"] and not topic["is_internal"]]


async def _create(client: AIOKafkaAdminClient, topics: Sequence[Topic]) -> set[str]:
    """Create `topics`; return those that somebody else has created meanwhile."""
    brokers = len((await client.describe_cluster())["brokers"])
    answer = await client.create_topics([_new(topic, brokers) for topic in topics])
    raced = set()
    for name, code, *said in answer.topic_errors:
        error = for_code(code)
        if error is TopicAlreadyExistsError:
            raced.add(name)
        elif error is not NoError:
            why = said[0] if said and said[0] else error.__name__
            raise BusError(f"Kafka did not create topic {name!r}: {why}.")
    return raced


async def _settings(
    client: AIOKafkaAdminClient, topics: Sequence[Topic]
) -> Mapping[str, Mapping[str, str]]:
    """Return the settings of `topics`, which exist; a broker may not have heard of them yet."""
    settings: dict[str, Mapping[str, str]] = {}
    async with asyncio.timeout(CREATED_WITHIN_S):
        while missing := [topic.name for topic in topics if topic.name not in settings]:
            settings |= await _describe(client, missing)
            if len(settings) < len(topics):
                await asyncio.sleep(LOOK_AGAIN_S)
    return settings


async def _describe(
    client: AIOKafkaAdminClient, names: Sequence[str]
) -> Mapping[str, Mapping[str, str]]:
    """Return the settings of those topics that the broker which answers knows."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = {}
    for answer in await client.describe_configs(resources):
        for code, _message, _type, name, entries in answer.resources:
            error = for_code(code)
            if error is NoError:
                described[name] = {entry[0]: entry[1] for entry in entries}
            elif error is not UnknownTopicOrPartitionError:
                raise error(f"the settings of topic {name!r}")
    return described


def _is_led(topic: Mapping[str, Any]) -> bool:
    return all(partition["leader"] >= 0 for partition in topic["partitions"])


def _new(topic: Topic, brokers: int) -> NewTopic:
    """Return what creates `topic`: with three replicas, two in sync, where there are so many."""
    replicas = min(REPLICAS, brokers)
    in_sync = {"min.insync.replicas": str(IN_SYNC)} if replicas > IN_SYNC else {}
    return NewTopic(
        topic.name, topic.partitions, replicas, topic_configs={**in_sync, **topic.config}
    )
