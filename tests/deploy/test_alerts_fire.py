"""Each alert is seen firing, in a real Prometheus, when what it is for is done to a real mesh."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import orjson
import pytest

from folkmoot import Client
from folkmoot.bus import connect
from folkmoot.bus.credentials import Credentials
from folkmoot.bus.nats import NatsGossip
from folkmoot.bus.ports import Bus, Record, Refusals
from folkmoot.contracts import subjects
from folkmoot.contracts.codec import encode_record
from folkmoot.core.crdt import encode
from folkmoot.core.crdt.messages import Question
from folkmoot.core.kernel import Claim
from folkmoot.core.messages import TASKS, ConfigureTeam, inbox, log
from folkmoot.core.saga import SagaSettings
from folkmoot.mesh import Mesh
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.service import Service
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.sdk.election.configuring import configure_team
from folkmoot.sdk.knowledge import Knowledge
from tests.conftest import served
from tests.deploy.office import QUICK, meshed
from tests.deploy.watching import watched
from tests.integration.access.locked import LockedNats

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def append(mesh: Mesh, topic: str, *records: Record) -> None:
    appender = await mesh.bus.log.appender()
    try:
        await appender.append(topic, 0, records)
    finally:
        await appender.close()


async def test_a_log_that_cannot_be_read(tmp_path: Path) -> None:
    shard = {"service": "election", "shard": "folkmoot.election.log/0"}
    async with meshed(tmp_path) as (mesh, prometheus):
        await append(mesh, log("election"), Record(b"scribble"))
        await prometheus.fires("FolkmootShardHalted", **shard)
        await prometheus.fires("FolkmootShardWithoutLeader", **shard)
        for name in ("FolkmootShardHalted", "FolkmootShardWithoutLeader"):
            assert {a["service"] for a in await prometheus.alerts(name)} == {"election"}


async def test_a_team_in_which_nobody_may_lead(tmp_path: Path) -> None:
    async with meshed(tmp_path, ("a", "b")) as (mesh, prometheus):
        rules = ConfigureTeam("office", labels={"zone": "moon"})
        await configure_team(mesh.bus, rules, SystemClock())
        team = mesh.services["election"].replicas[0].shard.state.teams["office"]
        leader = mesh.member_called(team.leader or "")
        assert leader is not None
        mesh.kill(leader.name)
        await prometheus.fires("FolkmootTeamWithoutLeader", team="office")


async def test_a_leader_whose_appends_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with meshed(tmp_path) as (mesh, prometheus):
        appender = await mesh.bus.log.appender()
        real, gate = type(appender).append, asyncio.Event()
        await appender.close()

        async def hanging(self: object, topic: str, partition: int, records: object) -> object:
            if topic == log("breaker-proxy"):
                await gate.wait()
            return await real(self, topic, partition, records)  # type: ignore[arg-type]

        monkeypatch.setattr(type(appender), "append", hanging)
        replica = mesh.services["breaker-proxy"].replicas[0]
        taken = replica.tally.inputs
        scribbles = [Record(b"scribble")] * 3

        async def send_until_one_hangs() -> None:
            while replica.tally.inputs == taken:
                await append(mesh, inbox("breaker-proxy"), *scribbles)
                await asyncio.sleep(0.05)
            await append(mesh, inbox("breaker-proxy"), *scribbles)

        await send_until_one_hangs()
        await prometheus.fires("FolkmootLagWithoutProgress", service="breaker-proxy")
        gate.set()


async def test_leaders_that_are_deposed_again_and_again(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus):
        replica = mesh.services["event-store"].replicas[0]

        async def depose() -> None:
            rule, offset = replica.shard.leadership, replica.shard.next_offset
            claim = Claim("stranger", 0, rule.term, rule.last)
            value, headers = encode_record(claim, replica.name.origin, offset)
            await append(mesh, replica.name.log, Record(value, None, headers))

        async def go_on() -> None:
            while True:
                if replica.leads:
                    await depose()
                await asyncio.sleep(0.02)

        deposing = asyncio.create_task(go_on())
        await prometheus.fires("FolkmootLeadershipFlaps", service="event-store")
        deposing.cancel()


async def test_a_saga_that_cannot_be_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = SagaSettings(stuck_after_attempts=2)
    monkeypatch.setattr(SagaOrchestratorServiceSettings, "machine", lambda _self: soon)
    async with meshed(tmp_path) as (mesh, prometheus), Client.on(mesh.bus) as client:
        await client.submit("office", "torn")
        await prometheus.fires("FolkmootSagaStuck", team="office")


async def test_an_agent_that_always_fails(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus), Client.on(mesh.bus) as client:
        for _ in range(5):
            await client.submit("office", "wet")
        await prometheus.fires("FolkmootBreakerOpenTooLong", agent="clerk", team="office")


async def test_tasks_that_are_none(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus):
        assert await prometheus.alerts("FolkmootDeadLettersGrowing") == []
        await append(mesh, TASKS, Record(b"scribble"))
        await prometheus.fires("FolkmootDeadLettersGrowing", service="saga-orchestrator")


async def test_an_event_loop_that_is_blocked(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (_, prometheus):

        async def block() -> None:
            while True:
                await asyncio.sleep(0.3)
                time.sleep(0.65)  # noqa: ASYNC251 - this is what must be noticed

        blocking = asyncio.create_task(block())
        await prometheus.fires("FolkmootEventLoopStalled", service="election")
        blocking.cancel()


async def test_a_replica_that_knows_otherwise(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus), Client.on(mesh.bus) as client:
        saga = await client.submit("office", "dry")
        await saga.result(timeout_s=30)
        peer = Knowledge(mesh.bus, "peer")
        await peer.load()
        filed = peer.replica.documents["filed"]
        asked = Question(
            mesh.members["a"].member_id,
            "filed",
            filed.KIND,
            type(filed)("x").fingerprint(),
            filed.digest(),
        )

        async def contradict() -> None:
            while True:
                subject = subjects.gossip("peer", asked.subject)
                await mesh.bus.gossip.publish(subject, orjson.dumps(encode(asked)))
                await asyncio.sleep(0.1)

        contradicting = asyncio.create_task(contradict())
        await prometheus.fires("FolkmootKnowledgeDiverged")
        contradicting.cancel()


async def test_a_log_that_is_indexed_no_further(tmp_path: Path) -> None:
    async with meshed(tmp_path) as (mesh, prometheus):
        assert (await prometheus.query("folkmoot_index_age_seconds < 5")) != []
        await append(mesh, log("breaker-proxy"), Record(b"scribble"))
        await prometheus.fires("FolkmootIndexBehind")


async def test_a_process_that_is_refused_something(tmp_path: Path) -> None:
    nats, refusals = LockedNats(tmp_path / "nats"), Refusals()
    options = Credentials("election", nkey=nats.seeds["election"]).nats()
    with served(nats, tmp_path):
        gossip = await NatsGossip.connect([nats.address], refusals=refusals, **options)
        connected = await connect(f"embedded:{tmp_path}/log.db")
        bus = Bus(connected.log, gossip, nats.address, refusals)
        service = Service("election", bus, SystemClock(), [])
        async with watched(tmp_path, [service]) as (prometheus, _):
            assert await prometheus.alerts("FolkmootRefused") == []
            await gossip.publish(subjects.gossip("somebody", "seen"), b"lies")
            await prometheus.fires("FolkmootRefused", service="election", broker="nats")
            assert not service.health().ready
        await bus.close()
        await connected.close()


async def test_a_process_that_is_gone(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", options=QUICK) as mesh,
        watched(tmp_path, [*mesh.services.values()]) as (prometheus, servers),
    ):
        gone = servers[1]
        gone.should_exit = True
        await prometheus.fires("FolkmootTargetDown", instance=f"127.0.0.1:{gone.config.port}")
