"""Kafka and NATS as they really are: what survives, what comes back, what `up` makes of them."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError
from nats.aio.msg import Msg

from folkmoot.local.doctor import examine
from folkmoot.local.errors import AlreadyRunning, PortTaken
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.ports import free_port
from folkmoot.local.processes import ManagedProcess, ServiceSpec
from folkmoot.local.up import UpOptions, bus_address, down, status, up

pytestmark = pytest.mark.kafka

PARTITION = TopicPartition("kept", 0)


@asynccontextmanager
async def stopped_at_the_end(process: ManagedProcess) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await process.stop()


async def create_topic(address: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic(PARTITION.topic, 1, 1)])
    await admin.close()


async def write(address: str, value: bytes) -> int:
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        return int((await producer.send_and_wait(PARTITION.topic, value, partition=0)).offset)


async def read_all(address: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([PARTITION])
    end = (await consumer.end_offsets([PARTITION]))[PARTITION]
    values: list[bytes] = []
    while await consumer.position(PARTITION) < end:
        batches = await consumer.getmany(timeout_ms=200)
        values += [record.value for batch in batches.values() for record in batch]
    await consumer.stop()
    return values


@pytest.mark.timeout(180)
async def test_kafka_keeps_its_data_through_any_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward = uuid.UUID(bytes=b"\xfb" * 16)  # as a cluster's id it begins with a dash
    monkeypatch.setattr("folkmoot.local.kafka.uuid.uuid4", lambda: awkward)
    server = KafkaServer(tmp_path / "a directory, with an é")
    async with stopped_at_the_end(server):
        await server.start()
        await create_topic(server.address)
        assert await write(server.address, b"before a stop") == 0
        assert await server.stop(), "an orderly stop needs no kill"
        await server.start()
        assert await write(server.address, b"before a kill") == 1
        await server.kill()
        await server.start()
        assert await write(server.address, b"after a kill") == 2
        assert await read_all(server.address) == [
            b"before a stop",
            b"before a kill",
            b"after a kill",
        ]


async def test_kafka_makes_no_topic_that_was_not_asked_for(kafka_address: str) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=kafka_address, request_timeout_ms=500
    ) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for("never.created")


async def test_nats_comes_back_for_its_clients(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        await heard.put(message.data)

    async def quiet(_error: Exception) -> None:
        """Expect to be cut off."""

    async with stopped_at_the_end(server):
        await server.start()
        back = asyncio.Event()

        async def reconnected() -> None:
            back.set()

        client = await nats.connect(
            server.address, reconnect_time_wait=0.05, reconnected_cb=reconnected, error_cb=quiet
        )
        await client.subscribe("news", cb=hear)
        await client.publish("news", b"one")
        assert await heard.get() == b"one"
        await server.kill()
        await server.start()
        await back.wait()
        await client.publish("news", b"two")
        assert await heard.get() == b"two"
        await client.close()
        assert await server.stop()


HEALTHY = """
import http.server, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


@pytest.mark.timeout(120)
async def test_up_runs_brokers_and_services_until_down(tmp_path: Path) -> None:
    health = free_port()
    service = ServiceSpec("healthy", [sys.executable, "-c", HEALTHY, str(health)], health)
    options = UpOptions(tmp_path, free_port(), free_port(), [service])
    assert bus_address(tmp_path) is None
    async with await up(options) as running:
        assert [each.name for each in running.processes] == ["nats", "kafka", "healthy"]
        assert {each.name: each.phase for each in await status(tmp_path)} == {
            "nats": "ready",
            "kafka": "ready",
            "healthy": "ready",
        }
        assert bus_address(tmp_path) == options.bus
        assert all(path.exists() for path in running.logs.values())
        found = {each.name: each for each in await examine(options)}
        assert [each for each in found.values() if not each.ok] == []
        assert found["kafka answers"].what == f"1 broker(s) at {options.kafka_address}"
        assert "which `folkmoot up` runs" in found[f"port {health}"].what
        with pytest.raises(AlreadyRunning):
            await up(options)
        elsewhere = UpOptions(tmp_path / "elsewhere", options.kafka_port, free_port())
        with pytest.raises(PortTaken, match=r"kafka needs port .* taken by java"):
            await up(elsewhere)
    assert await status(tmp_path) == []
    assert bus_address(tmp_path) is None
    assert await down(tmp_path) == ()
