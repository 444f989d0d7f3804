"""The log on Apache Kafka: the common behaviour, and what only a broker can suffer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    UnknownTopicOrPartitionError,
)

from folkmoot.bus.kafka import KafkaLog
from folkmoot.bus.kafka.appender import Call, Lane, chunks, landed
from folkmoot.bus.kafka.consumers import stop_consumer
from folkmoot.bus.ports import (
    AppendUncertain,
    BusError,
    BusUnavailable,
    CorruptLog,
    Log,
    Record,
    RecordTooLarge,
    Tail,
    Topic,
)
from folkmoot.local.kafka import KafkaServer
from tests.contract.bus.log_behaviour import KEEP, Connect, LogBehaviour, numbered, read_count


class TestKafkaLog(LogBehaviour):
    @pytest.fixture
    def connect(self, kafka_address: str) -> Connect:
        async def connect() -> Log:
            return await KafkaLog.connect([kafka_address])

        return connect


@pytest.fixture
async def log(kafka_address: str) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.connect([kafka_address])
    yield log
    await log.close()


async def test_a_broker_that_does_not_know_a_partition_yet_is_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def require(_topic: str, _partition: int) -> None:
        return

    async def send(*_: object) -> int:
        raise UnknownTopicOrPartitionError

    monkeypatch.setattr(Lane, "_send", send)
    appender: Any = SimpleNamespace(admin=SimpleNamespace(require=require))
    call = Call([Record(b"x")], 1, asyncio.get_running_loop().create_future())
    Lane(appender, "t", 0).put(call)
    with pytest.raises(BusUnavailable, match="It is starting, and this is to be tried again"):
        await call.done


@pytest.mark.timeout(120)
async def test_an_outage_is_told_from_silence_and_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folkmoot.bus.kafka.appender.APPEND_TIMEOUT_S", 1.0)
    monkeypatch.setattr("folkmoot.bus.kafka.brokers.REQUEST_TIMEOUT_MS", 1_500)
    server = KafkaServer(tmp_path)
    await server.start()
    try:
        log = await KafkaLog.connect([server.address])
        await log.create_topics([Topic("t", 2, KEEP)])
        appender, tail = await log.appender(), await log.tail("t", 0, 0)
        await appender.append("t", 0, numbered(3))
        await read_count(tail, 3)
        await server.kill()

        calls = [asyncio.create_task(appender.append("t", p, numbered(1))) for p in (0, 0, 1)]
        with pytest.raises(BusUnavailable, match=server.address):
            await until_heard(tail)
        for call in calls:
            with pytest.raises(AppendUncertain, match="may still land"):
                await call
        with pytest.raises(BusUnavailable):
            await appender.append("t", 0, numbered(1))
        for refused in (log.appender(), log.end_offset("t", 0), log.topics()):
            with pytest.raises(BusUnavailable, match=server.address):
                await refused

        await server.start()
        again = await log.appender()
        first = await again.append("t", 0, numbered(1))
        assert first >= 3
        assert [record.offset for record in await read_count(tail, first - 2)][-1] == first
        assert await log.end_offset("t", 0) == first + 1
        await log.close()
        assert [task.get_name() for task in asyncio.all_tasks()] == [
            asyncio.current_task().get_name()  # type: ignore[union-attr]
        ]
    finally:
        await server.stop()


async def until_heard(tail: Tail) -> None:
    async with asyncio.timeout(20):
        while not await tail.read(10, 100):
            pass


async def test_a_lost_record_is_not_passed_over(log: KafkaLog, kafka_address: str) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    await (await log.appender()).append(topic, 0, numbered(5))
    tail = await log.tail(topic, 0, 1)
    await read_count(tail, 4)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    await admin.delete_records({TopicPartition(topic, 0): RecordsToDelete(3)})
    await admin.close()
    tail.seek(1)
    with pytest.raises(CorruptLog, match=f"{topic!r} at offset 1"):
        await tail.read(10, 10_000)


async def test_a_tail_kept_for_later_fetches_nothing(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    tail = await log.tail(topic, 0, 0)
    asked: list[str] = []
    send = tail.client.send

    async def counting(node: int, request: Any) -> Any:
        asked.append(type(request).__name__)
        return await send(node, request)

    monkeypatch.setattr(tail.client, "send", counting)
    assert await log.end_offset(topic, 0) == 0
    assert asked == []
    assert await tail.read(10, 100) == ()
    assert asked == ["WireRequest"]


async def test_whoever_waits_long_at_a_quiet_log_does_not_take_that_for_an_outage(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folkmoot.bus.kafka.tail.FETCH_WAIT_MS", 50)
    monkeypatch.setattr("folkmoot.bus.kafka.tail.DEAF_AFTER_S", 0.5)
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    tail = await log.tail(topic, 0, 0)
    for _ in range(2):
        assert await tail.read(10, 1_000) == ()


async def test_an_append_of_nothing_connects_to_who_leads_the_partition(log: KafkaLog) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    appender = await log.appender()
    client = appender.producer.client
    leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
    assert leader is None
    assert await appender.append(topic, 0, []) == 0
    leader = client.cluster.leader_for_partition(TopicPartition(topic, 0))
    assert leader in {node for node, _ in client._conns}


async def test_a_batch_whose_acknowledgement_is_lost_is_sent_again_and_stands_once(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    appender = await log.appender()
    assert await appender.append(topic, 0, numbered(1)) == 0
    send, asked = appender.producer.client.send, 0

    async def losing(node: int, request: Any) -> Any:
        nonlocal asked
        asked += 1
        answer = await send(node, request)
        if asked == 1:
            raise KafkaConnectionError("the answer is lost")
        return answer

    monkeypatch.setattr(appender.producer.client, "send", losing)
    assert await appender.append(topic, 0, numbered(3)) == 1
    assert await appender.append(topic, 0, numbered(1)) == 4
    assert await log.end_offset(topic, 0) == 5
    assert asked == 3


@pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
async def test_what_others_have_compressed_is_read(
    log: KafkaLog, kafka_address: str, codec: Any
) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_address, compression_type=codec, linger_ms=50
    ) as producer:
        sent = [await producer.send(topic, b"%d" % n * 100) for n in range(20)]
        await asyncio.gather(*sent)
    tail = await log.tail(topic, 0, 3)
    records = await read_count(tail, 17)
    assert [record.value for record in records] == [b"%d" % n * 100 for n in range(3, 20)]


async def test_what_a_transaction_leaves_behind_is_passed_over(
    log: KafkaLog, kafka_address: str
) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_address, transactional_id=uuid.uuid4().hex
    ) as producer:
        for value in (b"first", b"second"):
            async with producer.transaction():
                await producer.send_and_wait(topic, value)
    tail = await log.tail(topic, 0, 0)
    assert [record.value for record in await read_count(tail, 2)] == [b"first", b"second"]
    assert await log.end_offset(topic, 0) == 4
    await tail.read(1, 100)
    assert tail.position == 4


async def test_progress_is_visible_to_tools(log: KafkaLog, kafka_address: str) -> None:
    topic, group = f"test.{uuid.uuid4().hex}", f"test-{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 2)])
    await asyncio.gather(
        log.commit(group, {(topic, 0): 7}), log.commit(group, {(topic, 1): 8, (topic, 0): 9})
    )
    await log.commit(group, {(topic, 1): 10})
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_address)
    await admin.start()
    offsets = await admin.list_consumer_group_offsets(group)
    await admin.close()
    assert {place.partition: value.offset for place, value in offsets.items()} == {0: 9, 1: 10}


async def test_small_appends_share_requests(log: KafkaLog, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 2)])
    appender = await log.appender()
    await asyncio.gather(*(appender.append(topic, p, numbered(1)) for p in (0, 1)))
    asked: list[Any] = []
    send = appender.producer.client.send

    async def counting(node: int, request: Any) -> Any:
        asked.append(request)
        return await send(node, request)

    monkeypatch.setattr(appender.producer.client, "send", counting)
    await asyncio.gather(*(appender.append(topic, n % 2, numbered(2)) for n in range(200)))
    assert await log.end_offset(topic, 0) == await log.end_offset(topic, 1) == 201
    assert len(asked) < 10


async def test_a_consumer_that_ends_half_way_is_closed_whole() -> None:
    closed = []

    class HalfWay:
        """What aiokafka's consumer does when a fetch of its own had not begun."""

        async def stop(self) -> None:
            raise asyncio.CancelledError

        async def close(self) -> None:
            closed.append(True)

        @property
        def _client(self) -> HalfWay:
            return self

    await stop_consumer(HalfWay())
    assert closed == [True]


@pytest.mark.parametrize("ends", ["swallowed", "told"])
async def test_whoever_stops_a_consumer_can_be_cancelled_meanwhile(ends: str) -> None:
    begun = asyncio.Event()

    class Deaf:
        """What aiokafka's consumer does while it waits for its fetches to end."""

        async def stop(self) -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if ends == "told":
                    raise

        async def close(self) -> None: ...

        @property
        def _client(self) -> Deaf:
            return self

    stopping = asyncio.create_task(stop_consumer(Deaf()))
    await begun.wait()
    stopping.cancel()
    await asyncio.wait([stopping], timeout=5)
    assert stopping.cancelled()


async def test_whoever_reads_can_be_cancelled_at_any_moment(log: KafkaLog) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1, KEEP)])

    async def look_for_ever() -> None:
        while True:
            tail = await log.tail(topic, 0, 0)
            await log.end_offset(topic, 0)
            await tail.close()

    for number in range(100):
        looking = asyncio.create_task(look_for_ever())
        await asyncio.sleep(number / 5_000)
        looking.cancel()
        await asyncio.wait([looking], timeout=10)
        assert looking.cancelled()


def test_batches_must_land_side_by_side() -> None:
    assert landed([5, 8], [3, 2]) == 5
    for batches in ([5, 9], [-1], [5, -1]):
        with pytest.raises(KafkaError):
            landed(batches, [3, 2][: len(batches)])


def test_records_are_cut_into_batches_in_order() -> None:
    sizes = [400_000, 400_000, 400_000, 1_040_000, 10]
    cut = list(chunks([Record(b"x" * size) for size in sizes]))
    assert [[len(r.value or b"") for r in chunk] for chunk in cut] == [
        [400_000, 400_000],
        [400_000],
        [1_040_000],
        [10],
    ]


async def test_a_topic_that_takes_less_than_the_limit_refuses(log: KafkaLog) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1, {"max.message.bytes": "1000"})])
    with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes"):
        await (await log.appender()).append(topic, 0, [Record(b"x" * 2_000)])
    assert await log.end_offset(topic, 0) == 0


async def test_what_the_broker_refuses_to_create_is_said(log: KafkaLog) -> None:
    with pytest.raises(BusError, match=r"did not create topic 'test\.bad'.*retention"):
        await log.create_topics([Topic("test.bad", 1, {"retention.ms": "soon"})])


@pytest.mark.parametrize("records", [0, 2])
async def test_a_topic_made_anew_is_not_read_on(
    log: KafkaLog, kafka_address: str, records: int
) -> None:
    topic = f"test.{uuid.uuid4().hex}"
    await log.create_topics([Topic(topic, 1)])
    await (await log.appender()).append(topic, 0, numbered(5))
    tail = await log.tail(topic, 0, 0)
    await read_count(tail, 5)
    await make_anew(log, kafka_address, topic)
    if records:
        await (await log.appender()).append(topic, 0, numbered(records))
    with pytest.raises(CorruptLog, match=f"{topic!r} at offset 5"):
        await read_through_outages(tail)


async def make_anew(log: KafkaLog, address: str, topic: str) -> None:
    """Delete the topic and create it again, as an operator does who does not know better."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.delete_topics([topic])
    async with asyncio.timeout(20):
        while topic in await admin.list_topics():
            await asyncio.sleep(0.05)
    await admin.close()
    await log.create_topics([Topic(topic, 1)])


async def read_through_outages(tail: Tail) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                assert not await tail.read(10, 200)
            except BusUnavailable:
                await asyncio.sleep(0.05)


async def test_the_settings_of_a_topic_that_a_broker_has_not_heard_of_yet_are_asked_for_again(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Topic(uuid.uuid4().hex, 1, {"cleanup.policy": "compact"})
    await log.create_topics([kept])
    describe, asked = AIOKafkaAdminClient.describe_configs, []

    async def behind(client: AIOKafkaAdminClient, resources: list[Any]) -> list[Any]:
        asked.append(resources)
        if len(asked) > 1:
            return list(await describe(client, resources))
        unheard_of: list[Any] = [(3, "", 2, resource.name, []) for resource in resources]
        return [SimpleNamespace(resources=unheard_of)]

    monkeypatch.setattr(AIOKafkaAdminClient, "describe_configs", behind)
    await log.create_topics([kept])
    assert len(asked) == 2


async def closed_transport(*_: object, **__: object) -> None:
    raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")


async def test_a_client_whose_metadata_task_failed_is_closed_without_a_word(
    kafka_address: str,
) -> None:
    log = await KafkaLog.connect([kafka_address])
    await log.create_topics([topic := Topic(uuid.uuid4().hex, 1)])
    tail = await log.tail(topic.name, 0, 0)
    admin, ends = log._admin._client, log._admin._ends
    assert admin is not None
    assert ends is not None
    clients = [admin._client, ends._client, tail.client]
    for client in clients:
        await stop_task(client._sync_task)
        client._sync_task = asyncio.create_task(closed_transport())
    await asyncio.sleep(0)
    await log.close()
    connections = [each for client in clients for each in client._conns.values()]
    assert not any(connection.connected() for connection in connections)


async def stop_task(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_transport_that_has_closed_is_a_broker_that_does_not_answer(
    log: KafkaLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.create_topics([topic := Topic(uuid.uuid4().hex, 1)])
    tail = await log.tail(topic.name, 0, 0)
    monkeypatch.setattr("folkmoot.bus.kafka.tail.DEAF_AFTER_S", 0.1)
    monkeypatch.setattr(tail.client, "send", closed_transport)
    with pytest.raises(BusUnavailable, match="no fetch answered"):
        await until_heard(tail)
    monkeypatch.setattr(log._admin._ends, "end_offsets", closed_transport)
    with pytest.raises(BusUnavailable):
        await log.end_offset(topic.name, 0)
    await log.commit(uuid.uuid4().hex, {(topic.name, 0): 1})
