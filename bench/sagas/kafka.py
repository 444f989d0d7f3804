"""What runs on Kafka: Folkmoot as processes, and the bare loop. Both use the same broker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.sagas.accounting import size_of
from bench.sagas.contender import Contender, Program, Running, started
from bench.sagas.programs import bare
from folkmoot.bus import connect
from folkmoot.bus.ports import Topic
from folkmoot.cli.platform import MODULES, WORKER, environment, member_spec
from folkmoot.local import ports
from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.processes import ServiceProcess, ServiceSpec
from folkmoot.local.supervisor import Supervisor

REPLICAS = 2
PARTITIONS = 2
AGENTS = "bench.sagas.programs.agents:agent"
PYTHON = Path(sys.executable)


class Brokers:
    """Kafka and NATS, as `folkmoot up` runs them. They run through."""

    def __init__(self) -> None:
        self._started = asyncio.Lock()
        self.folder: Path | None = None

    async def start(self, stack: AsyncExitStack, folder: Path) -> None:
        """Start them, the first time that anybody asks."""
        async with self._started:
            if self.folder is not None:
                return
            self.folder = folder / "brokers"
            self.kafka = KafkaServer(self.folder / "kafka")
            self.nats = NatsServer(self.folder / "nats")
            supervisor = Supervisor(self.folder)
            await supervisor.open()
            stack.push_async_callback(supervisor.stop)
            await supervisor.start(self.kafka, self.nats)

    @property
    def bus(self) -> str:
        """The address of both."""
        return f"kafka://{self.kafka.address}?nats={self.nats.address}"

    def pids(self) -> dict[str, Sequence[int]]:
        """Return their process ids."""
        assert self.kafka.pid is not None
        assert self.nats.pid is not None
        return {"Kafka": [self.kafka.pid], "NATS": [self.nats.pid]}

    def log_bytes(self) -> int:
        """Return the size of all segments."""
        assert self.folder is not None
        return size_of(self.folder / "kafka" / "data", "*.log")


class Folkmoot(Contender):
    """All five services on Kafka, two replicas of each, and the client."""

    name = "Folkmoot"

    def __init__(self, brokers: Brokers) -> None:
        self._brokers = brokers
        self.replicas: dict[str, list[ServiceProcess]] = {}
        """Of each service, the processes of the present turn."""

    @property
    def bus(self) -> str:
        """The address of the brokers."""
        return self._brokers.bus

    @property
    def settings(self) -> str:
        """What was set for it, for people."""
        return (
            f"{REPLICAS} replicas of each of {len(MODULES)} services, {PARTITIONS} shards each, "
            "agents of 2 partitions with concurrency 512, all else as by default; "
            "Kafka and NATS as `folkmoot up` runs them, one broker each"
        )

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Start the brokers."""
        await self._brokers.start(stack, folder)

    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start services, members and the driver."""
        supervisor = Supervisor(folder)
        await supervisor.open()
        stack.push_async_callback(supervisor.stop)
        self.replicas = {name: self._replicas(name, folder) for name in MODULES}
        members = self.replicas[WORKER]
        services = [each for some in self.replicas.values() for each in some if some != members]
        await supervisor.start(*services)
        await supervisor.start(*members)
        driver = Program(PYTHON, folder / "client.log", "client", self._brokers.bus)
        await started(stack, driver)
        pids = {name: _pids(some) for name, some in self.replicas.items()}
        everything = pids | {"client": [driver.pid]} | self._brokers.pids()
        return Running(driver, everything, self._brokers.log_bytes)

    def _replicas(self, service: str, folder: Path) -> list[ServiceProcess]:
        specs = [self._spec(service, f"{service}-{n + 1}", folder) for n in range(REPLICAS)]
        return [ServiceProcess(spec, folder / f"{spec.name}.log") for spec in specs]

    def _spec(self, service: str, name: str, folder: Path) -> ServiceSpec:
        port = ports.free_port()
        if service == WORKER:
            return member_spec(name, AGENTS, self._brokers.bus, port)
        settings = environment(
            bus=self._brokers.bus,
            partitions=PARTITIONS,
            node=name,
            http_port=port,
            index_dir=(folder / name).absolute(),
        )
        return ServiceSpec(name, (sys.executable, "-m", MODULES[service]), port, settings)


def _pids(processes: Sequence[ServiceProcess]) -> list[int]:
    return [each.pid for each in processes if each.pid is not None]


class Bare(Contender):
    """The bare loop. `whole` has Folkmoot's hops and records, `short` as few as there can be."""

    def __init__(self, brokers: Brokers, variant: str) -> None:
        self._brokers, self._variant = brokers, variant
        whole = variant == "whole"
        self._roles = ("orchestrator", *(("breaker",) if whole else ()), "worker")
        self.name = "bare loop" if whole else "bare loop, shortest"

    @property
    def settings(self) -> str:
        """What was set for it, for people."""
        hops = {
            "whole": "client, orchestrator, team, orchestrator, then for each step breaker, "
            "worker, orchestrator, and client; records of about the size of Folkmoot's",
            "short": "client, then for each step orchestrator, worker, orchestrator, and client; "
            "no planning, no breaker, no worker's log; bare records",
        }
        return f"{hops[self._variant]}; one process and one partition for a role, same broker"

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Start the broker, and make the topics."""
        await self._brokers.start(stack, folder)
        bus = await connect(self._brokers.bus)
        await bus.log.create_topics([Topic(name, 1, {}) for name in bare.topics(self._variant)])
        await bus.close()

    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start a process for each role, and the driver."""
        server = self._brokers.kafka.address
        programs = {
            role: Program(PYTHON, folder / f"{role}.log", "bare", role, server, self._variant)
            for role in (*self._roles, "client")
        }
        await started(stack, *programs.values())
        pids = {role: [program.pid] for role, program in programs.items()}
        kafka = {"Kafka": self._brokers.pids()["Kafka"]}
        return Running(programs["client"], pids | kafka, self._brokers.log_bytes)
