"""The `Log` port on Kafka: hands out appenders and tails, and makes progress visible."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from folkmoot.bus.cancelling import heed_cancellation, settled
from folkmoot.bus.kafka.admin import Admin
from folkmoot.bus.kafka.appender import KafkaAppender
from folkmoot.bus.kafka.brokers import LOST, Brokers
from folkmoot.bus.kafka.consumers import start_consumer, stop_consumer
from folkmoot.bus.kafka.producers import start_producer
from folkmoot.bus.kafka.tail import KafkaTail
from folkmoot.bus.limits import RECORD_LIMIT_BYTES
from folkmoot.bus.ports import BusUnavailable, Refusals, Topic

SETTLED_WITHIN_S = 10.0
"""For what was cancelled on its way in or out: a little longer than requests may take."""

log = logging.getLogger(__name__)


class KafkaLog:
    """The `Log` port."""

    def __init__(self, brokers: Brokers, record_limit_bytes: int) -> None:
        self._brokers = brokers
        self._limit = record_limit_bytes
        self._admin = Admin(brokers)
        self._appenders: set[KafkaAppender] = set()
        self._tails: set[KafkaTail] = set()
        self._committers: dict[str, AIOKafkaConsumer] = {}
        self._committing = asyncio.Lock()
        self._closed = False

    @classmethod
    async def connect(
        cls,
        servers: Sequence[str],
        *,
        record_limit_bytes: int = RECORD_LIMIT_BYTES,
        options: Mapping[str, Any] | None = None,
        refusals: Refusals | None = None,
    ) -> KafkaLog:
        """Return a log whose brokers answer.

        Args:
            servers: HOST:PORT of one or more brokers.
            record_limit_bytes: of one record; the topics must allow as much.
            options: further arguments of every aiokafka client, such as `ssl_context`.
            refusals: where to note what the brokers do not allow.

        Raises:
            BusUnavailable: no broker answers.
        """
        brokers = Brokers(tuple(servers), options or {}, refusals or Refusals())
        made = cls(brokers, record_limit_bytes)
        await made._admin.start()
        return made

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """See the port."""
        self._check_open()
        await self._admin.create(topics)

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        self._check_open()
        return await self._admin.topics()

    async def appender(self) -> KafkaAppender:
        """See the port."""
        self._check_open()
        with self._brokers.explained():
            producer = await start_producer(self._brokers)
        appender = KafkaAppender(
            self._brokers, producer, self._admin, self._limit, self._appenders.discard
        )
        self._appenders.add(appender)
        return appender

    async def tail(self, topic: str, partition: int, offset: int) -> KafkaTail:
        """See the port."""
        self._check_open()
        await self._admin.require(topic, partition)
        with self._brokers.explained():
            tail = await KafkaTail.open(
                self._brokers, topic, partition, offset, self._tails.discard
            )
        self._tails.add(tail)
        return tail

    async def end_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        self._check_open()
        return await self._admin.end_offset(topic, partition)

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See the port. That it could not be done is logged, not raised."""
        self._check_open()
        upto = {TopicPartition(*place): OffsetAndMetadata(o, "") for place, o in offsets.items()}
        try:
            async with self._committing:
                consumer = await self._committer(group)
                consumer.assign(list(upto))
                consumer.pause(*upto)  # it commits; it need not fetch
                for place, committed in upto.items():  # nor ask where it would begin
                    consumer.seek(place, committed.offset)
                await consumer.commit(upto)
        except LOST as error:
            heed_cancellation()
            self._brokers.note(error)
            log.info("The progress of %s was not made visible: %r", group, error)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        consumers = list(self._committers.values())
        self._committers.clear()
        await asyncio.gather(
            *(appender.close() for appender in tuple(self._appenders)),
            *(tail.close() for tail in tuple(self._tails)),
            *(stop_consumer(consumer) for consumer in consumers),
        )
        await self._admin.close()
        await settled(SETTLED_WITHIN_S)

    async def _committer(self, group: str) -> AIOKafkaConsumer:
        if group not in self._committers:
            self._committers[group] = await start_consumer(self._brokers, group_id=group)
        return self._committers[group]

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("This log is closed. Connect again.")
