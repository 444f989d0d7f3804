"""Snapshots on the real Kafka, and a log that an operator deleted under its readers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from folkmoot.bus.kafka import KafkaLog
from folkmoot.bus.ports import Bus, Record, Topic
from folkmoot.contracts.envelope import encode_message
from folkmoot.contracts.topics import CONFIGS
from folkmoot.core.kernel import DEAD_LETTERS
from folkmoot.runtime.candidacy import OpenCandidacy
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role, ShardName
from folkmoot.runtime.timing import Timing
from folkmoot.testing.eventually import eventually
from tests.unit.runtime.conftest import Add, Adder, Sum

EVERY = 50
TIMING = Timing(ttl_ms=600, snapshot_every_records=EVERY)
TIMEOUT_S = 30


class Shards:
    """Replicas of one shard on Kafka."""

    def __init__(self, log: KafkaLog, address: str) -> None:
        prefix = f"test.{uuid.uuid4().hex}"
        self.log, self.address = log, address
        self.inbox, self.out = f"{prefix}.inbox", f"{prefix}.out"
        self.name = ShardName("adder", f"{prefix}.log", (self.inbox,), 0)
        self.log_topic = Topic(self.name.log, 1, CONFIGS["log"])
        self.replicas: dict[str, Replica[Sum]] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.sent = 0

    async def create(self) -> None:
        kept = Topic(f"{self.name.log.removesuffix('.log')}.snapshots", 1, CONFIGS["snapshots"])
        topics = [self.log_topic, kept, Topic(self.inbox, 1), Topic(self.out, 1)]
        await self.log.create_topics([*topics, Topic(DEAD_LETTERS, 1)])

    def start(self, *names: str) -> list[Replica[Sum]]:
        for name in names:
            candidacy = OpenCandidacy(name, self.name.origin, TIMING, lambda: [*self.replicas])
            bus = Bus(self.log, None, name)  # type: ignore[arg-type]
            self.replicas[name] = Replica(
                Adder(), self.name, name, bus, candidacy, SystemClock(), TIMING
            )
            self.tasks.append(asyncio.create_task(self.replicas[name].run()))
        return [self.replicas[name] for name in names]

    async def stop(self) -> None:
        for replica in self.replicas.values():
            replica.stop()
        await asyncio.gather(*self.tasks)
        self.replicas.clear()
        self.tasks.clear()

    async def send_until(self, check: str, count: int) -> None:
        """Send until the replicas have written so many snapshots."""
        appender = await self.log.appender()
        async with asyncio.timeout(TIMEOUT_S):
            while sum(getattr(r.archive, check) for r in self.replicas.values()) < count:
                value, headers = encode_message(Add(1, to=self.out), event_id="e", source="u", at=0)
                await appender.append(self.inbox, 0, [Record(value, b"k", headers)])
                self.sent += 1
        await appender.close()

    async def followed(self) -> None:
        await eventually(
            lambda: {r.shard.state.total for r in self.replicas.values()} == {self.sent}, TIMEOUT_S
        )

    async def make_the_log_anew(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        await admin.delete_topics([self.name.log])
        async with asyncio.timeout(TIMEOUT_S):
            while self.name.log in await admin.list_topics():
                await asyncio.sleep(0.05)
        await admin.close()
        await self.log.create_topics([self.log_topic])


@pytest.fixture
async def shards(kafka_address: str) -> AsyncIterator[Shards]:
    log = await KafkaLog.connect([kafka_address])
    made = Shards(log, kafka_address)
    await made.create()
    yield made
    for task in made.tasks:
        task.cancel()
    if made.tasks:
        await asyncio.wait(made.tasks)
    await log.close()


@pytest.mark.timeout(120)
async def test_replicas_start_from_what_they_wrote(shards: Shards) -> None:
    shards.start("a", "b")
    await shards.send_until("written", 3)
    await shards.followed()
    await shards.stop()
    c, d = shards.start("c", "d")
    await shards.followed()
    for replica in (c, d):
        assert replica.archive.newest is not None
        assert replica.archive.unreadable == 0
        assert replica.archive.newest.upto > EVERY
    await shards.send_until("written", 1)
    await shards.followed()


@pytest.mark.timeout(120)
async def test_a_log_made_anew_under_replicas_halts_them_all(shards: Shards) -> None:
    a, b = shards.start("a", "b")
    await shards.send_until("written", 1)
    await shards.followed()
    await shards.make_the_log_anew()
    await eventually(lambda: {a.role, b.role} == {Role.HALTED}, 60)
    for replica in (a, b):
        assert shards.name.log in str(replica.last_error)
    (late,) = shards.start("late")
    await eventually(lambda: late.role is Role.HALTED, TIMEOUT_S)
    assert "does not hold the record any more" in str(late.last_error)
