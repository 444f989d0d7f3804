"""The reference saga on real Kafka and NATS, two processes of each service that may die."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from folkmoot import Client
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus
from folkmoot.cli.platform import MODULES, environment
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.processes import LOOK_EVERY_S, ManagedProcess, ServiceProcess, ServiceSpec
from folkmoot.local.supervisor import Supervisor
from tests.chaos.cluster import free_ports
from tests.chaos.platform import Replica
from tests.crashes.agents import AGENTS, EFFECTS, TEAM
from tests.crashes.judging import Ran, ran, saga_of
from tests.crashes.striking import FOLDER, Point, Trap

ROOT = Path(__file__).resolve().parents[2]
TTL_MS = 800
REPLICAS = {
    "election": 1,
    "event-store": 1,
    "saga-orchestrator": 2,
    "breaker-proxy": 2,
    "agent-worker": 2,
}
"""Two of those that die, so that another goes on before the dead one is started again."""

ENDS_WITHIN_S = 60
WELL_WITHIN_S = 60


@dataclass
class Platform:
    """Everything that runs."""

    folder: Path
    supervisor: Supervisor
    kafka: KafkaServer
    nats: NatsServer
    trap: Trap
    effects: Path
    replicas: list[Replica] = field(default_factory=list)
    client: Client = field(init=False)
    runs: int = 0

    @property
    def address(self) -> str:
        """The bus."""
        return f"kafka://{self.kafka.address}?nats={self.nats.address}"

    async def run(self, point: Point | None = None) -> Ran | None:
        """Run the saga once more, whoever dies; None if nobody came to the point.

        Raises:
            TimeoutError: it did not end, or somebody was not ready any more.
        """
        self.runs += 1
        key = f"run-{self.runs}"
        self.trap.watch(saga_of(key), point)
        began = time.monotonic()
        saga = await self.client.submit(TEAM, "Oslo", idempotency_key=key)
        reviving = asyncio.create_task(self._revive())
        try:
            await saga.outcome(ENDS_WITHIN_S)
            seconds = time.monotonic() - began
            if point is not None and not self.trap.sprung:
                return None
            shown = await self._state(saga.saga_id)
            return ran(shown, self.trap, self.effects, seconds)
        finally:
            await self._revived(reviving)
            await self.well()

    async def _state(self, saga_id: str) -> dict[str, object]:
        return dict(await (await self.client.saga(saga_id)).state())

    async def _revive(self) -> None:
        """Start again who has died."""
        while True:
            dead = [each.process for each in self.replicas if not each.process.running]
            if dead:
                await self.supervisor.start(*dead)
                return
            await asyncio.sleep(LOOK_EVERY_S)

    async def _revived(self, reviving: asyncio.Task[None]) -> None:
        """Wait until who has died is started again; nobody is waited for if nobody died."""
        if not self.trap.sprung:
            reviving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reviving

    async def well(self) -> None:
        """Wait until every process is ready.

        Raises:
            TimeoutError: one is not; says which, and why.
        """
        deadline = time.monotonic() + WELL_WITHIN_S
        while True:
            dead = [each.process for each in self.replicas if not each.process.running]
            await self.supervisor.start(*dead)
            told = await asyncio.gather(*(each.complaint() for each in self.replicas))
            unready = [each for each in told if each is not None]
            if not unready:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("; ".join(unready))
            await asyncio.sleep(LOOK_EVERY_S)


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Platform]:
    """Start everything, and stop it in the end."""
    ports = free_ports()
    supervisor = Supervisor(folder)
    kafka = KafkaServer(folder / "kafka", next(ports))
    nats = NatsServer(folder / "nats", next(ports))
    platform = Platform(folder, supervisor, kafka, nats, Trap(folder / "trap"), folder / "effects")
    platform.replicas = list(_replicas(platform, ports))
    await supervisor.open()
    try:
        await supervisor.start(nats, kafka)
        waves = (
            [r for r in platform.replicas if r.service != "agent-worker"],
            platform.replicas[-2:],
        )
        for wave in waves:
            await supervisor.start(*(each.process for each in wave))
        async with _connected(platform.address) as bus, Client.on(bus) as platform.client:
            yield platform
    finally:
        supervisor.kill_all()  # what there is to see has been seen
        await supervisor.stop()


@contextlib.asynccontextmanager
async def _connected(address: str) -> AsyncIterator[Bus]:
    bus = await connect(address)
    try:
        yield bus
    finally:
        await bus.close()


def _replicas(platform: Platform, ports: Iterator[int]) -> Iterator[Replica]:
    for service, count in REPLICAS.items():
        for number in range(1, count + 1):
            yield Replica(service, _process(platform, service, number, next(ports)), None)


def _process(platform: Platform, service: str, number: int, port: int) -> ManagedProcess:
    name = f"{service}-{number}"
    settings = environment(
        bus=platform.address,
        http_port=port,
        node=name,
        index_dir=platform.folder / "index" / name,
        partitions=1,
        app=AGENTS,
        ttl_ms=TTL_MS,
        session_ttl_ms=TTL_MS,
    )
    own = {FOLDER: f"{platform.folder / 'trap'}", EFFECTS: f"{platform.effects}"}
    argv = (sys.executable, "-m", "tests.crashes.process", MODULES[service])
    process = ServiceProcess(
        ServiceSpec(name, argv, port, {**settings, **own}), platform.folder / "logs" / f"{name}.log"
    )
    process.cwd = ROOT
    return process
