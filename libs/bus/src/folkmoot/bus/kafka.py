"""The log on Apache Kafka, through raw aiokafka. No transactions, no consumer groups.

- An appender is an idempotent producer of its own: `acks=all`, and the order of each partition is
  the order of the calls. When an append is not acknowledged in time the producer is thrown away.
- A tail is a consumer of its own with its one partition assigned by hand. A consumer shared by many
  would wait for a long poll without the partition before it asks for the partition.
- Offsets are never reset silently: an offset that the log does not have is an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    RequestTimedOutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata

from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    CorruptLog,
    Record,
    RecordTooLarge,
    Stored,
    Topic,
    UnknownTopic,
)
from folkmoot.bus.topics import check_name, check_topic

log = logging.getLogger(__name__)

RECORD_LIMIT_BYTES = 1024 * 1024
BATCH_BYTES = 512 * 1024
"""Of one batch: some hundred entries, and half of what a broker takes by default."""

FRAMING_BYTES = 70
"""The most that Kafka adds to a record."""

APPEND_TIMEOUT_S = 10.0
"""After which an append counts as uncertain: longer than a broker's fail-over on one machine."""

REQUEST_TIMEOUT_MS = 5_000
FETCH_WAIT_MS = 500
FETCH_BYTES = 4 * 1024 * 1024
CREATED_WITHIN_S = 10.0
REPLICAS, IN_SYNC = 3, 2
"""Of each topic, as far as there are brokers: one may be lost without losing or stopping."""

STILL_THERE_EVERY_S = 1.0
"""How often a tail that reads nothing asks whether the broker still answers."""


class KafkaLog:
    """The `Log` port on Kafka."""

    def __init__(self, servers: Sequence[str]) -> None:
        self._servers = list(servers)
        self._appenders: set[KafkaAppender] = set()
        self._tails: set[KafkaTail] = set()
        self._admin: AIOKafkaAdminClient | None = None
        self._committers: dict[str, AIOKafkaConsumer] = {}
        self._partitions: dict[str, int] = {}
        self._opening = asyncio.Lock()

    @classmethod
    async def connect(cls, servers: Sequence[str]) -> KafkaLog:
        """Return a log whose brokers answer.

        Raises:
            BusUnavailable: none does.
        """
        made = cls(servers)
        try:
            await made._administrator()
        except KafkaError as error:
            await made.close()
            raise made.unavailable(error) from error
        return made

    def unavailable(self, error: BaseException) -> BusUnavailable:
        """Return the error that says which brokers do not answer."""
        return BusUnavailable(
            f"No Kafka broker answers at {', '.join(self._servers)} ({error!r}). Start one, or "
            "correct the address."
        )

    async def _administrator(self) -> AIOKafkaAdminClient:
        if self._admin is None:
            admin = AIOKafkaAdminClient(
                bootstrap_servers=self._servers, request_timeout_ms=REQUEST_TIMEOUT_MS
            )
            try:
                await admin.start()
            except BaseException:
                await admin.close()
                raise
            self._admin = admin
        return self._admin

    # -- topics -----------------------------------------------------------------------------

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """See the port."""
        for topic in topics:
            check_name(topic)
        async with self._explained():
            existing = await self.topics()
            missing = [topic for topic in topics if topic.name not in existing]
            if missing:
                await self._create(missing)
            await self._check([topic for topic in topics if topic.name in existing], existing)

    async def _create(self, topics: Sequence[Topic]) -> None:
        admin = await self._administrator()
        brokers = len((await admin.describe_cluster())["brokers"])
        wanted = [_new(topic, brokers) for topic in topics]
        try:
            await admin.create_topics(wanted)
        except TopicAlreadyExistsError:
            log.debug("another process made a topic at the same time")
        async with asyncio.timeout(CREATED_WITHIN_S):
            while not {topic.name for topic in topics} <= set(await self.topics()):
                await asyncio.sleep(0.05)

    async def _check(self, topics: Sequence[Topic], existing: Mapping[str, int]) -> None:
        if not topics:
            return
        admin = await self._administrator()
        resources = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
        settings: dict[str, dict[str, str]] = {}
        for answer in await admin.describe_configs(resources):
            for _code, _message, _type, name, entries in answer.resources:
                settings[name] = {entry[0]: entry[1] for entry in entries}
        for topic in topics:
            check_topic(topic, existing[topic.name], settings.get(topic.name, {}))

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        async with self._explained():
            admin = await self._administrator()
            described = await admin.describe_topics()
            self._partitions = {
                topic["topic"]: len(topic["partitions"])
                for topic in described
                if topic["error_code"] == 0 and topic["partitions"]
            }
            return dict(self._partitions)

    async def require(self, topic: str, partition: int) -> None:
        """Raise `UnknownTopic` unless there is such a partition."""
        if partition >= self._partitions.get(topic, 0) and partition >= (await self.topics()).get(
            topic, 0
        ):
            raise UnknownTopic(f"There is no partition {partition} of a topic {topic!r} on Kafka.")

    @asynccontextmanager
    async def _explained(self) -> AsyncIterator[None]:
        try:
            yield
        except (KafkaConnectionError, RequestTimedOutError, OSError, TimeoutError) as error:
            if self._admin is not None:
                admin, self._admin = self._admin, None
                await admin.close()
            raise self.unavailable(error) from error

    # -- records ----------------------------------------------------------------------------

    async def appender(self) -> KafkaAppender:
        """See the port."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * RECORD_LIMIT_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        async with self._explained():
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
        appender = KafkaAppender(self, producer)
        self._appenders.add(appender)
        return appender

    async def tail(self, topic: str, partition: int, offset: int) -> KafkaTail:
        """See the port."""
        await self.require(topic, partition)
        consumer = await self._consumer(TopicPartition(topic, partition), offset)
        tail = KafkaTail(self, consumer, TopicPartition(topic, partition), offset)
        self._tails.add(tail)
        return tail

    async def _consumer(self, place: TopicPartition, offset: int) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        async with self._explained():
            try:
                await consumer.start()
                consumer.assign([place])
                consumer.seek(place, offset)
            except BaseException:
                await _stop(consumer)
                raise
        return consumer

    async def end_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        await self.require(topic, partition)
        place = TopicPartition(topic, partition)
        async with self._explained():
            consumer = await self._committer("")
            ends = await consumer.end_offsets([place])
            return int(ends[place])

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See the port."""
        wanted = {TopicPartition(*place): OffsetAndMetadata(o, "") for place, o in offsets.items()}
        try:
            consumer = await self._committer(group)
            consumer.assign(list(wanted))
            await consumer.commit(wanted)
        except KafkaError as error:
            log.info("progress of %s was not made visible: %s", group, error)

    async def _committer(self, group: str) -> AIOKafkaConsumer:
        """Return a consumer that reads nothing: it looks up ends, or commits for `group`."""
        async with self._opening:
            if group not in self._committers:
                consumer = AIOKafkaConsumer(
                    bootstrap_servers=self._servers,
                    group_id=group or None,
                    enable_auto_commit=False,
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                )
                try:
                    await consumer.start()
                except BaseException:
                    await _stop(consumer)
                    raise
                self._committers[group] = consumer
            return self._committers[group]

    async def close(self) -> None:
        """See the port."""
        closing = [*(a.close() for a in self._appenders), *(t.close() for t in self._tails)]
        await asyncio.gather(*closing)
        await asyncio.gather(*(_stop(consumer) for consumer in self._committers.values()))
        self._committers.clear()
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    def forget(self, closed: KafkaAppender | KafkaTail) -> None:
        """An appender or tail was closed."""
        self._appenders.discard(closed)
        self._tails.discard(closed)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer; one that had hardly begun reports its own end as our cancellation."""
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


def _new(topic: Topic, brokers: int) -> NewTopic:
    """Return what creates `topic`: with three replicas, two in sync, where there are so many."""
    replicas = min(REPLICAS, brokers)
    in_sync = {"min.insync.replicas": str(IN_SYNC)} if replicas > IN_SYNC else {}
    return NewTopic(
        topic.name, topic.partitions, replicas, topic_configs={**in_sync, **topic.config}
    )


class KafkaAppender:
    """The `Appender` port: one idempotent producer."""

    def __init__(self, log_: KafkaLog, producer: AIOKafkaProducer) -> None:
        self._log, self._producer = log_, producer
        self._order: dict[tuple[str, int], asyncio.Lock] = {}
        self._closed = False

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See the port."""
        if self._closed:
            raise AppendUncertain("This appender is closed. Take a new one.")
        for record in records:
            _check_size(topic, record)
        await self._log.require(topic, partition)
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                futures = await self._send(topic, partition, records)
                metadata = [await future for future in futures]
        except (KafkaError, TimeoutError, OSError) as error:
            await self.close()
            raise _uncertain(topic, partition, error) from error
        counts = [count for _, count in _chunks(records)]
        return _first_offset([(m.offset, n) for m, n in zip(metadata, counts, strict=True)])

    async def _send(
        self, topic: str, partition: int, records: Sequence[Record]
    ) -> list[asyncio.Future]:  # type: ignore[type-arg]
        """Hand all batches to the producer, none of another call in between."""
        futures = []
        async with self._order.setdefault((topic, partition), asyncio.Lock()):
            for start, count in _chunks(records):
                batch = self._producer.create_batch()
                for record in records[start : start + count]:
                    appended = batch.append(
                        key=record.key,
                        value=record.value,
                        timestamp=None,
                        headers=list(record.headers),
                    )
                    assert appended is not None, "a chunk is smaller than a batch"
                batch.close()
                futures.append(await self._producer.send_batch(batch, topic, partition=partition))
        return futures

    async def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        self._closed = True
        self._log.forget(self)
        try:
            async with asyncio.timeout(1):
                await self._producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.info("a producer did not stop cleanly: %r", error)


def _check_size(topic: str, record: Record) -> None:
    size = _size(record)
    if size > RECORD_LIMIT_BYTES:
        raise RecordTooLarge(
            f"A record of {size:,} bytes for {topic!r} is over the limit of "
            f"{RECORD_LIMIT_BYTES:,}. Nothing was written."
        )


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return FRAMING_BYTES + len(record.value or b"") + len(record.key or b"") + headers


def _chunks(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Return (start, count) of runs of records that fit a batch; a large record is its own run."""
    chunks: list[tuple[int, int]] = []
    start = size = 0
    for number, record in enumerate(records):
        if number > start and size + _size(record) > BATCH_BYTES:
            chunks.append((start, number - start))
            start, size = number, 0
        size += _size(record)
    return [*chunks, (start, len(records) - start)]


def _first_offset(batches: Sequence[tuple[int, int]]) -> int:
    """Return where the first batch landed; the others must follow on it."""
    first = expected = batches[0][0]
    for offset, count in batches:
        if offset != expected:
            raise AppendUncertain(
                f"A batch landed at {offset}, not at {expected}: somebody wrote in between."
            )
        expected += count
    return first


def _uncertain(topic: str, partition: int, error: BaseException) -> Exception:
    if isinstance(error, UnknownTopicOrPartitionError):
        return UnknownTopic(f"There is no partition {partition} of a topic {topic!r} on Kafka.")
    if isinstance(error, MessageSizeTooLargeError):
        return RecordTooLarge(f"The broker takes no record of that size for {topic!r}: {error}")
    return AppendUncertain(
        f"An append to {topic}/{partition} was not acknowledged ({error!r}); it may still land."
    )


class KafkaTail:
    """The `Tail` port: one consumer of one partition."""

    def __init__(
        self, log_: KafkaLog, consumer: AIOKafkaConsumer, place: TopicPartition, offset: int
    ) -> None:
        self._log, self._consumer, self._place = log_, consumer, place
        self._position = offset
        self._heard_at = asyncio.get_running_loop().time()
        self._closed = False

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port."""
        if self._closed:
            raise BusUnavailable("This tail is closed. Take a new one.")
        try:
            fetched = await self._consumer.getmany(
                self._place, timeout_ms=timeout_ms, max_records=max_records
            )
        except OffsetOutOfRangeError as error:
            raise CorruptLog(
                f"{self._place.topic}/{self._place.partition} has no offset {self._position}: it "
                "was truncated, has expired, or was made anew."
            ) from error
        except KafkaError as error:
            raise self._log.unavailable(error) from error
        messages = fetched.get(self._place, ())
        if not messages:
            await self._check_alive()
            return ()
        self._heard_at = asyncio.get_running_loop().time()
        self._position = messages[-1].offset + 1
        return [Stored(m.offset, m.timestamp, m.value, m.key, tuple(m.headers)) for m in messages]

    async def _check_alive(self) -> None:
        """Tell an empty log from a broker that is gone: the consumer itself would not say."""
        now = asyncio.get_running_loop().time()
        if now - self._heard_at < STILL_THERE_EVERY_S:
            return
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
                await self._consumer.end_offsets([self._place])
        except (KafkaError, TimeoutError) as error:
            raise self._log.unavailable(error) from error
        self._heard_at = asyncio.get_running_loop().time()

    def seek(self, offset: int) -> None:
        """See the port."""
        self._position = offset
        self._consumer.seek(self._place, offset)

    async def close(self) -> None:
        """See the port."""
        if not self._closed:
            self._closed = True
            self._log.forget(self)
            await _stop(self._consumer)
