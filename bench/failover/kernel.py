"""What the kernel costs: processor time for each input decided, and for each entry restored.

The machine does nothing, so what is measured is the kernel, the encoding and the client of Kafka.
The peer copies the same inputs from one topic to another with nothing but that client. A round has
partitions of its own, filled beforehand.
"""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from bench.failover.echo import AT, INBOX, Count, Echo, Ping, place
from folkmoot.bus.ports import Bus, Record, Topic
from folkmoot.contracts.codec import encode_record
from folkmoot.core.kernel import LogRecord, Received, Shard
from folkmoot.core.messages import snapshots
from folkmoot.runtime.candidacy import OpenCandidacy
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.observer import observe
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.runtime.snapshots import Archive
from folkmoot.runtime.timing import Timing

BATCH = 100
COPY, KERNEL = "bench.copy", "bench.kernel"
ORIGIN = place(0, KERNEL).origin
LOOK_EVERY_S = 0.005


def processor_us() -> float:
    """Return the processor time of this process, in microseconds."""
    return time.process_time_ns() / 1000


async def kernel_alone(bus: Bus, partition: int, count: int) -> float:
    """Decide, encode, append and commit `count` inputs; processor time of each in µs."""
    shard: Shard[Count] = Shard(Echo(), "bench")
    appender = await bus.log.appender()
    claim = shard.claim(AT)
    offset = await appender.append(KERNEL, partition, [_record(claim, 0)])
    shard.observe(offset, claim)
    inputs = [Received(Ping(number), INBOX, number) for number in range(count)]
    began = processor_us()
    for start in range(0, count, BATCH):
        records = _decide(shard, inputs[start : start + BATCH])
        shard.commit(await appender.append(KERNEL, partition, records), len(records))
    took = processor_us() - began
    await appender.close()
    assert shard.state == Count(count)
    return took / count


def _decide(shard: Shard[Count], inputs: list[Received]) -> list[Record]:
    records: list[Record] = []
    for received in inputs:
        entry = shard.decide(received, AT)
        assert entry is not None
        records.append(_record(entry, shard.next_offset + len(records)))
    return records


def _record(record: LogRecord, offset: int) -> Record:
    value, headers = encode_record(record, ORIGIN, offset)
    return Record(value, None, headers)


async def whole_loop(bus: Bus, partition: int, count: int) -> float:
    """Lead a shard whose inbox holds `count` inputs; processor time of each in µs."""
    began = 0.0

    def on_role(role: Role) -> None:
        nonlocal began
        if role is Role.LEADING:
            began = processor_us()

    timing, name = Timing(), place(partition)
    candidacy = OpenCandidacy("bench", name.origin, timing, lambda: ["bench"])
    replica = Replica(Echo(), name, "bench", bus, candidacy, SystemClock(), timing, on_role=on_role)
    running = asyncio.create_task(replica.run())
    while replica.shard.next_offset <= count:
        await asyncio.sleep(LOOK_EVERY_S)
    took = processor_us() - began
    replica.stop()
    await running
    assert replica.shard.state == Count(count)
    return took / count


async def raw_client(server: str, partition: int, count: int) -> float:
    """Copy `count` inputs with the bare client; processor time of each in µs."""
    source = TopicPartition(INBOX, partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=server, enable_auto_commit=False)
    producer = AIOKafkaProducer(
        bootstrap_servers=server, acks="all", enable_idempotence=True, max_batch_size=1_000_000
    )
    await asyncio.gather(consumer.start(), producer.start())
    consumer.assign([source])
    await consumer.seek_to_beginning(source)
    began, copied = processor_us(), 0
    while copied < count:
        fetched = await consumer.getmany(source, timeout_ms=1_000, max_records=BATCH)
        for records in fetched.values():
            await _copy(producer, partition, records)
            copied += len(records)
    took = processor_us() - began
    await asyncio.gather(consumer.stop(), producer.stop())
    return took / count


async def _copy(producer: AIOKafkaProducer, partition: int, records: list[ConsumerRecord]) -> None:
    batch = producer.create_batch()
    for each in records:
        batch.append(key=each.key, value=each.value, timestamp=None, headers=list(each.headers))
    batch.close()
    await (await producer.send_batch(batch, COPY, partition=partition))


async def take_snapshot(bus: Bus, log: str, entries: int) -> None:
    """Write a snapshot of a shard's whole log."""
    topic = snapshots(log)
    await bus.log.create_topics([Topic(topic, 1, {"cleanup.policy": "compact"})])
    timing = Timing(snapshot_every_records=entries // 2)
    archive = Archive(bus.log, Echo(), log, 0, "bench", timing)
    await archive.write_apart()
    assert archive.written == 1


async def restore(bus: Bus, log: str, entries: int) -> float:
    """Read a shard's log of so many entries into a state; processor time in seconds."""
    began = time.process_time()
    shard = await observe(bus, Echo(), place(0, log))
    assert shard.state == Count(entries)
    return time.process_time() - began
