"""Everything that is measured, running side by side."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.failover.contenders import Contenders
from bench.failover.copies import Copies
from bench.failover.servers import SESSION_MS, Etcd, JetStream, QuickKafka, etcd_program
from bench.failover.shards import Shard, Team, appending, joining
from bench.failover.watching import Watch
from bench.noop import agent
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus, Topic
from folkmoot.cli.platform import MODULES, environment, member_spec
from folkmoot.contracts.topics import service_topics, team_topics
from folkmoot.core.messages import log
from folkmoot.local import ports
from folkmoot.local.processes import ServiceSpec
from folkmoot.local.supervisor import Supervisor

PEERS = "bench.failover.peers"
LEASE_S = 1
TTL_MS = 1_000
DEFAULT_TTL_MS = 1_500
SETTLE_TTLS = 1.5
"""Longer than the tenure after which a shard goes to a member that it prefers."""

GROUP_TOPIC = "bench.group"


@dataclass(frozen=True, slots=True)
class Platform:
    """What runs. `etcd` is None where there is no etcd to be had."""

    bus: Bus
    kafka: str
    election: Shard
    event_store: Shard
    team: Team
    nats_followers: Contenders
    nats_server: Contenders
    etcd: Contenders | None
    group: Contenders


class Starter:
    """Starts things in one data directory; `stack` ends them."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        self.supervisor = Supervisor(folder)

    async def brokers(self) -> tuple[Bus, QuickKafka, JetStream]:
        """Start Kafka and NATS, and connect."""
        await self.supervisor.open()
        self.stack.push_async_callback(self.supervisor.stop)
        kafka, nats = QuickKafka(self.folder / "kafka"), JetStream(self.folder / "nats")
        await self.supervisor.start(kafka, nats)
        bus = await connect(f"kafka://{kafka.address}?nats={nats.address}")
        self.stack.push_async_callback(bus.close)
        wanted = (*service_topics(1), *team_topics(agent.team))
        specs = [Topic(s.name, s.partitions, s.config) for s in wanted]
        await bus.log.create_topics([*specs, Topic(GROUP_TOPIC, 1, {})])
        return bus, kafka, nats

    async def copies(
        self, bus: Bus, log_topic: str, spec: Callable[[str], ServiceSpec], ttl_ms: int
    ) -> tuple[Copies, Watch]:
        """Return the copies of a service, none of them started yet, and who watches its log."""
        watch = await self.stack.enter_async_context(Watch(bus, log_topic))
        return Copies(self.supervisor, spec, watch, SETTLE_TTLS * ttl_ms / 1000), watch

    async def shard(
        self, bus: Bus, service: str, ttl_ms: int, ask: Callable[[int], object]
    ) -> Shard:
        """Start three copies of a service."""

        def spec(name: str) -> ServiceSpec:
            port = ports.free_port()
            settings = environment(
                bus=bus.address, partitions=1, ttl_ms=ttl_ms, node=name, http_port=port
            )
            return ServiceSpec(name, (sys.executable, "-m", MODULES[service]), port, settings)

        copies, watch = await self.copies(bus, log(service), spec, ttl_ms)
        made = Shard(service, bus, copies, watch, ask)
        await made.open()
        self.stack.push_async_callback(made.close)
        return made

    async def team(self, bus: Bus) -> Team:
        """Start three members of the team."""

        def spec(name: str) -> ServiceSpec:
            return member_spec(name, "bench.noop:agent", bus.address, ports.free_port())

        copies, watch = await self.copies(bus, log(f"team.{agent.team}"), spec, 0)
        made = Team(copies, watch)
        await made.open()
        return made

    async def contenders(self, module: str, *arguments: str) -> Contenders:
        """Start three contenders; `MEMBER` among the arguments stands for the name of each."""
        made = Contenders(
            f"{PEERS}.{module}",
            lambda member: [member if each == "MEMBER" else each for each in arguments],
        )
        self.stack.push_async_callback(made.close)
        await made.open()
        return made

    async def etcd(self) -> Contenders | None:
        """Start etcd and its contenders."""
        program = etcd_program()
        if program is None:
            return None
        server = Etcd(program, self.folder / "etcd")
        await self.supervisor.start(server)
        return await self.contenders("etcd_lease", server.url, "MEMBER", str(LEASE_S))


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[Platform]:
    """Run everything that is measured."""
    async with AsyncExitStack() as stack:
        start = Starter(stack, folder)
        bus, kafka, nats = await start.brokers()

        async def nats_lease(who_times: str) -> Contenders:
            return await start.contenders(
                "nats_lease", nats.address, who_times, "MEMBER", str(LEASE_S), who_times
            )

        yield Platform(
            bus=bus,
            kafka=kafka.address,
            election=await start.shard(bus, "election", DEFAULT_TTL_MS, joining),
            event_store=await start.shard(bus, "event-store", TTL_MS, appending),
            team=await start.team(bus),
            nats_followers=await nats_lease("followers"),
            nats_server=await nats_lease("server"),
            etcd=await start.etcd(),
            group=await start.contenders(
                "consumer_group", kafka.address, GROUP_TOPIC, str(SESSION_MS)
            ),
        )
