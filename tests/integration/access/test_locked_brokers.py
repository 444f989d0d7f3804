"""On brokers that allow what is granted only: all that is needed works, and no more than that."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from collector import Collector

from folkmoot.agent_worker.bootstrap import worker
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.breaker_proxy.bootstrap import service as breaker_proxy
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.bus import connect
from folkmoot.bus.credentials import Credentials
from folkmoot.bus.ports import Bus, BusError, BusUnavailable, Gossiped, Topic, UnknownTopic
from folkmoot.contracts.access import USERS
from folkmoot.contracts.topics import SERVICES
from folkmoot.election.bootstrap import service as election
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.event_store.bootstrap import service as event_store
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.metrics import registry
from folkmoot.runtime.service import Service
from folkmoot.saga_orchestrator.bootstrap import service as saga_orchestrator
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.client import Client, Saga
from folkmoot.sdk.context import StepContext
from folkmoot.sdk.errors import ControlRefused, SagaFailed
from folkmoot.testing.eventually import eventually
from tests.integration.access.locked import Doors, eventually_refused

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

researcher = Agent("researcher", team="dossier", partitions=1)


@researcher.step("look")
async def look(ctx: StepContext, what: str) -> str:
    await ctx.knowledge.set("seen").add(what)
    await ctx.progress("half way")
    return f"seen {what}"


# -- what is needed works ---------------------------------------------------------------------


async def platform(buses: dict[str, Bus]) -> list[Service]:
    clock = SystemClock()
    return [
        await election(
            buses["election"], ElectionServiceSettings(partitions=1, bus_user="election"), clock
        ),
        await event_store(
            buses["event-store"],
            EventStoreServiceSettings(partitions=1, bus_user="event-store"),
            clock,
        ),
        await saga_orchestrator(
            buses["saga-orchestrator"],
            SagaOrchestratorServiceSettings(partitions=1, bus_user="saga-orchestrator"),
            clock,
        ),
        await breaker_proxy(
            buses["breaker-proxy"],
            BreakerProxyServiceSettings(partitions=1, bus_user="breaker-proxy"),
            clock,
        ),
        await worker(
            [researcher],
            buses["agent-worker"],
            WorkerServiceSettings(bus_user="agent-worker"),
            clock,
        ),
    ]


@asynccontextmanager
async def running(doors: Doors) -> AsyncIterator[tuple[dict[str, Bus], list[Service]]]:
    async with AsyncExitStack() as stack:
        buses = {user: await stack.enter_async_context(doors.bus(user)) for user in USERS}
        services = await platform(buses)
        async with asyncio.TaskGroup() as tasks:
            for service in services:
                tasks.create_task(service.run())
            yield buses, services
            for service in services:
                service.stop()


async def run(client: Client, what: str) -> tuple[Saga, str]:
    """Submit until the team is known, which nobody waits for; return the saga and its result."""
    for number in itertools.count():
        saga = await client.submit("dossier", what, idempotency_key=f"locked-{number}")
        try:
            return saga, await saga.result(str)
        except SagaFailed as failed:
            if failed.state != "refused":
                raise
    raise AssertionError


async def test_a_task_runs_from_end_to_end_with_nobody_refused(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AsyncExitStack() as stack:
        collector = stack.enter_context(Collector.serving())
        monkeypatch.setenv("FOLKMOOT_OTLP_ENDPOINT", collector.endpoint)
        buses, services = await stack.enter_async_context(running(doors))
        client = await stack.enter_async_context(Client.on(buses["user"]))
        saga, answer = await asyncio.wait_for(run(client, "the sea"), 120)
        assert answer == "seen the sea"
        await eventually(lambda: collector.is_whole(saga.saga_id))
        types = [event["type"] async for event in saga.events()]
        assert types[-1] == "folkmoot.saga-completed.v1"
        with pytest.raises(ControlRefused):
            await saga.pause("a test")
        assert {user: bus.refusals.latest for user, bus in buses.items()} == dict.fromkeys(USERS)
        assert all("allow" not in reason for s in services for reason in s.health().reasons)


# -- nothing else does ------------------------------------------------------------------------

LOG, INBOX = "folkmoot.saga-orchestrator.log", "folkmoot.saga-orchestrator.inbox"
WRITES = [
    ("election", LOG),
    ("breaker-proxy", LOG),
    ("event-store", LOG),
    ("agent-worker", LOG),
    ("user", LOG),
    ("saga-orchestrator", "folkmoot.election.log"),
    ("saga-orchestrator", "folkmoot.agent.researcher.log"),
    ("breaker-proxy", "folkmoot.agent.researcher.log"),
    ("breaker-proxy", "folkmoot.leaders"),
    ("user", "folkmoot.leaders"),
    ("user", "folkmoot.knowledge"),
    ("user", "folkmoot.breaker-proxy.inbox"),
    ("event-store", "folkmoot.tasks"),
]
READS = [
    ("election", INBOX),
    ("breaker-proxy", INBOX),
    ("agent-worker", INBOX),
    ("user", INBOX),
    ("saga-orchestrator", "folkmoot.breaker-proxy.inbox"),
    ("user", "folkmoot.tasks"),
]
UNSEEN = [
    ("event-store", INBOX),
    ("saga-orchestrator", "folkmoot.agent.researcher.inbox"),
    ("user", "folkmoot.agent.researcher.log"),
    ("agent-worker", "folkmoot.tasks"),
]


def raw(doors: Doors, user: str) -> dict[str, object]:
    """Return what a client takes that does not heed what it may see."""
    return {"bootstrap_servers": doors.kafka.address, **doors.credentials(user).kafka()}


@pytest.mark.parametrize(("user", "topic"), WRITES)
async def test_what_is_not_ones_own_cannot_be_written(doors: Doors, user: str, topic: str) -> None:
    producer = AIOKafkaProducer(**raw(doors, user))
    await producer.start()
    try:
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(topic, b"false", b"key", partition=0)
    finally:
        await producer.stop()


@pytest.mark.parametrize(("user", "topic"), READS)
async def test_what_is_for_others_cannot_be_read(doors: Doors, user: str, topic: str) -> None:
    consumer = AIOKafkaConsumer(**raw(doors, user), auto_offset_reset="earliest")
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        with pytest.raises(TopicAuthorizationFailedError):
            async with asyncio.timeout(20):
                await consumer.getone(place)
    finally:
        await consumer.stop()


@pytest.mark.parametrize(("user", "topic"), UNSEEN)
async def test_what_is_no_business_of_ones_own_is_not_even_seen(
    doors: Doors, user: str, topic: str
) -> None:
    admin = AIOKafkaAdminClient(**raw(doors, user))
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        assert described["error_code"] == TopicAuthorizationFailedError.errno
    finally:
        await admin.close()
    async with doors.bus(user) as bus:
        with pytest.raises(UnknownTopic):
            await bus.log.tail(topic, 0, 0)


@pytest.mark.parametrize("user", USERS)
async def test_nobody_makes_topics(doors: Doors, user: str) -> None:
    async with doors.bus(user) as bus:
        with pytest.raises(BusError, match=r"(?i)authoriz"):
            await bus.log.create_topics([Topic(f"folkmoot.{user}.mine", 1, {})])


@pytest.mark.parametrize("user", USERS)
async def test_nobody_looks_at_the_groups_of_others(doors: Doors, user: str) -> None:
    other = "folkmoot.election" if user != "election" else "folkmoot.event-store"
    admin = AIOKafkaAdminClient(**raw(doors, user))
    await admin.start()
    try:
        with pytest.raises(GroupAuthorizationFailedError):
            await admin.find_coordinator(other)
    finally:
        await admin.close()


async def test_what_kafka_refuses_makes_a_service_not_ready(doors: Doors) -> None:
    async with doors.bus("election") as bus:
        service = Service("election", bus, SystemClock(), [])
        assert service.health().ready
        tail = await bus.log.tail(INBOX, 0, 0)  # it may write there, and so knows that it exists
        with pytest.raises(BusUnavailable):
            await tail.read(1, 10_000)
        assert bus.refusals.kafka > 0
        (reason,) = service.health().reasons
        assert "TopicAuthorizationFailed" in reason


SAYS = [
    ("election", "folkmoot.gossip.member.facts"),
    ("election", "folkmoot.announce.members.breaker-proxy"),
    ("breaker-proxy", "folkmoot.announce.leaders.dossier"),
    ("agent-worker", "folkmoot.announce.leaders.dossier"),
    ("user", "folkmoot.gossip.member.facts"),
    ("user", "folkmoot.announce.controls.any"),
    ("event-store", "folkmoot.query.election.0"),
]
HEARS = [
    ("election", "folkmoot.gossip.*.*"),
    ("saga-orchestrator", "folkmoot.query.breaker-proxy.0"),
    ("agent-worker", "folkmoot.query.election.0"),
    ("breaker-proxy", "_INBOX.user.>"),
    ("user", "_INBOX.agent-worker.>"),
]


@pytest.mark.parametrize(("user", "subject"), SAYS)
async def test_nobody_speaks_in_the_name_of_another(doors: Doors, user: str, subject: str) -> None:
    async with doors.bus(user) as bus:
        await bus.gossip.publish(subject, b"{}")
        await eventually_refused(bus.refusals, subject)
        assert bus.refusals.nats > 0
        service = Service(user if user in SERVICES else "election", bus, SystemClock(), [])
        (reason,) = service.health().reasons
        assert subject in reason
        labels = {"service": service.name, "broker": "nats"}
        assert registry(service).get_sample_value("folkmoot_bus_refusals_total", labels)


@pytest.mark.parametrize(("user", "subject"), HEARS)
async def test_nobody_hears_what_is_not_for_it(doors: Doors, user: str, subject: str) -> None:
    async def hear(message: Gossiped) -> None:
        raise AssertionError(f"heard {message}")

    async with doors.bus(user) as bus:
        await bus.gossip.subscribe(subject, hear)
        await eventually_refused(bus.refusals, subject)


async def test_who_cannot_prove_who_it_is_stays_outside(doors: Doors) -> None:
    seed = doors.nats.seeds["election"]
    with pytest.raises(BusError):
        await connect(doors.address, credentials=Credentials("election", "a guess", seed))
    with pytest.raises(BusError):
        await connect(doors.address)
