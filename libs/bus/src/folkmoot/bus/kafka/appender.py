"""Appending to Kafka: one idempotent producer, and a lane for each partition.

A lane sends what waits for its partition in one batch, then what has gathered meanwhile. So calls
land in their order, a call's records stay together, and many small appends share a request.

Invariants:

- A lane has one batch outstanding; the next is built only when that is acknowledged.
- A batch whose outcome is unknown is sent again as it was, number and all, so that it stands once.
- What ends otherwise than acknowledged ends the producer: its numbering may no longer fit the
  broker's, and what it holds may still land.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    UnknownTopicOrPartitionError,
)

from folkmoot.bus.cancelling import leave
from folkmoot.bus.kafka.admin import Admin
from folkmoot.bus.kafka.brokers import LOST, REQUEST_TIMEOUT_MS, Brokers
from folkmoot.bus.kafka.clients import RETRY_S, check, is_passing, leader_of, refresh
from folkmoot.bus.kafka.producers import SEQUENCES, Producer
from folkmoot.bus.limits import check_records, size_of
from folkmoot.bus.ports import (
    AppendUncertain,
    BusError,
    BusUnavailable,
    Record,
    RecordTooLarge,
)

BATCH_BYTES = 1_000_000  # a little less than what a broker takes by default in one batch
APPEND_TIMEOUT_S = 10.0  # longer than a fail-over between brokers takes


@dataclass(slots=True, eq=False)
class Call:
    """One call of `append`, and where its outcome goes."""

    records: Sequence[Record]
    size: int
    done: asyncio.Future[int]


class KafkaAppender:
    """The `Appender` port."""

    def __init__(
        self,
        brokers: Brokers,
        producer: Producer,
        admin: Admin,
        record_limit_bytes: int,
        on_buried: Callable[[KafkaAppender], None],
    ) -> None:
        self.brokers = brokers
        self.producer = producer
        self.admin = admin
        self._limit = record_limit_bytes
        self._on_buried = on_buried
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._burial: asyncio.Task[None] | None = None

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See the port.

        Raises:
            BusUnavailable: this appender is closed, or has failed before; nothing was written.
        """
        if self._burial is not None:
            raise BusUnavailable("This appender is closed. Ask the log for another one.")
        if not records:
            await self._reach(topic, partition)
            return await self.admin.end_offset(topic, partition)
        compacted = self.admin.compacted(topic)
        size = check_records(topic, records, self._limit, compacted=compacted)
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(self, topic, partition)
        call = Call(records, size, asyncio.get_running_loop().create_future())
        lane.put(call)
        return await call.done

    async def _reach(self, topic: str, partition: int) -> None:
        """Learn who leads the partition and connect to it, which a first append would wait for."""
        await self.admin.require(topic, partition)
        with self.brokers.explained():
            client = self.producer.client
            place = TopicPartition(topic, partition)
            await client.ready(await leader_of(client, place, REQUEST_TIMEOUT_MS / 1000))

    async def close(self) -> None:
        """See the port. Whoever is cancelled meanwhile leaves the burial to itself."""
        await asyncio.shield(self.give_up("the appender was closed"))

    def give_up(self, why: str) -> asyncio.Task[None]:
        """Fail all that waits, and get rid of the producer in the background."""
        if self._burial is None:
            self._burial = leave(self._bury())
            for lane in self._lanes.values():
                lane.give_up(why)
        return self._burial

    async def _bury(self) -> None:
        await self.producer.close()
        self._on_buried(self)


class Lane:
    """The appends of one appender to one partition, one batch after another."""

    def __init__(self, appender: KafkaAppender, topic: str, partition: int) -> None:
        self._appender = appender
        self._topic = topic
        self._partition = partition
        self._sequence = 0
        self._waiting: deque[Call] = deque()
        self._sent: list[Call] = []
        self._task: asyncio.Task[None] | None = None

    def put(self, call: Call) -> None:
        """Queue a call, to be sent with all that wait."""
        self._waiting.append(call)
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    def give_up(self, why: str) -> None:
        """Let every call that waits raise `AppendUncertain`, and send nothing more."""
        error = AppendUncertain(
            f"An append to partition {self._partition} of {self._topic!r} was not acknowledged "
            f"({why}); it may still land. Read the log to find out."
        )
        self._fail(error, [*self._sent, *self._waiting])
        self._waiting.clear()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._appender.admin.require(self._topic, self._partition)
            while self._waiting:
                self._sent = self._take()
                await self._send_all()
        except BusError as error:  # before anything was sent
            self._fail(error, [*self._sent, *self._waiting])
            self._waiting.clear()
        except Exception as error:  # whatever it was, those who wait must hear of it
            self._appender.brokers.note(error)
            self._appender.give_up(repr(error))
        finally:
            self._task = None

    def _take(self) -> list[Call]:
        """Return the calls that fit one batch; a call that does not fit goes by itself."""
        calls = [self._waiting.popleft()]
        size = calls[0].size
        while self._waiting and size + self._waiting[0].size <= BATCH_BYTES:
            calls.append(self._waiting.popleft())
            size += calls[-1].size
        return calls

    async def _send_all(self) -> None:
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                records = [r for call in self._sent for r in call.records]
                offset = await self._send(records, sum(call.size for call in self._sent))
        except MessageSizeTooLargeError:
            error = RecordTooLarge(
                f"Kafka takes no batch of that size for topic {self._topic!r}; nothing was "
                "written. Raise the topic's max.message.bytes, or send less."
            )
            self._fail(error, self._sent)
            raise  # of a call in several batches, the others may have landed
        except UnknownTopicOrPartitionError as error:  # `require` has seen it
            raise BusUnavailable(
                f"Kafka does not know partition {self._partition} of topic {self._topic!r} any "
                "more. It is starting, and this is to be tried again, or the topic was deleted."
            ) from error
        for call in self._sent:
            if not call.done.done():
                call.done.set_result(offset)
            offset += len(call.records)
        self._sent = []

    async def _send(self, records: Sequence[Record], size: int) -> int:
        """Send `records` in as few batches as possible; return where they landed together."""
        chunked = (records,) if size <= BATCH_BYTES else tuple(chunks(records))
        return landed([await self._send_batch(chunk) for chunk in chunked], map(len, chunked))

    async def _send_batch(self, records: Sequence[Record]) -> int:
        """Send one batch until it is acknowledged; return its offset."""
        producer, place = self._appender.producer, TopicPartition(self._topic, self._partition)
        await leader_of(producer.client, place, REQUEST_TIMEOUT_MS / 1000)
        batch = producer.encode(records, self._sequence)
        while (offset := await self._attempt(place, batch)) is None:
            await asyncio.sleep(RETRY_S)
            await refresh(producer.client, self._topic, APPEND_TIMEOUT_S)
        self._sequence = (self._sequence + len(records)) % SEQUENCES
        return offset

    async def _attempt(self, place: TopicPartition, batch: bytes) -> int | None:
        """Send `batch` once; return its offset, or None if it is to be sent again."""
        producer = self._appender.producer
        try:
            node = await leader_of(producer.client, place, APPEND_TIMEOUT_S)
            produced = await producer.produce(node, place, batch)
            check(produced.code, f"appending to {place}")
        except LOST as error:
            if not is_passing(error):
                raise
            return None
        return produced.offset

    def _fail(self, error: BusError, calls: Sequence[Call]) -> None:
        for call in calls:
            if not call.done.done():
                call.done.set_exception(type(error)(*error.args))


def chunks(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """Cut `records` into runs that fit a batch; a record that alone does not is its own run."""
    start = size = 0
    for number, record in enumerate(records):
        bytes_ = size_of(record)
        if size + bytes_ > BATCH_BYTES and number > start:
            yield records[start:number]
            start, size = number, 0
        size += bytes_
    yield records[start:]


def landed(offsets: Sequence[int], counts: Iterable[int]) -> int:
    """Return the offset of the first batch, if all have landed side by side."""
    expected = offsets[0]
    for offset, count in zip(offsets, counts, strict=True):
        if offset < 0 or offset != expected:
            raise KafkaError("batches landed apart, or nobody knows where")
        expected += count
    return offsets[0]
