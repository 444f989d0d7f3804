"""The whole platform as processes, several of each service, and what can be done to them.

The last process of each service reaches Kafka by a link that can be cut. Nothing restarts what
dies: a fault that kills also brings back.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from folkmoot.cli.platform import MODULES, environment
from folkmoot.local.nats import NatsServer
from folkmoot.local.ports import LOOPBACK
from folkmoot.local.processes import (
    LOOK_EVERY_S,
    READY_PATH,
    ManagedProcess,
    ServiceProcess,
    ServiceSpec,
)
from folkmoot.local.supervisor import Supervisor
from tests.chaos.agents import AGENTS
from tests.chaos.cluster import Cluster, free_ports
from tests.chaos.ledger import Ledger
from tests.chaos.schedule import SERVICES, TTL_MS, WORKER

ROOT = Path(__file__).resolve().parents[2]
"""Where `tests.chaos.agents` is imported from."""

ASK_WITHIN_S = 1.0
SETTINGS = {"breaker_open_base_ms": 250, "breaker_open_cap_ms": 1_000}
"""A breaker that opens because workers die is no part of what is judged, so it closes soon."""


@dataclass(frozen=True)
class Size:
    """How much to start."""

    nodes: int = 3
    replicas: int = 2
    workers: int = 3
    partitions: int = 2


@dataclass
class Replica:
    """One process of a service. `suffers` is what is being done to it now."""

    service: str
    process: ManagedProcess
    link: str | None
    suffers: str | None = None

    @property
    def is_well(self) -> bool:
        """Whether something can be done to it."""
        return self.suffers is None and self.process.running

    @contextlib.contextmanager
    def suffering(self, kind: str) -> Iterator[None]:
        """Keep other faults away from it."""
        self.suffers = kind
        yield
        self.suffers = None

    async def leads(self) -> list[str]:
        """Return the shards that it says it leads; none if it does not answer."""
        told = await asyncio.to_thread(_health, self.process.port)
        return [each["shard"] for each in told.get("shards", ()) if each["role"] == "leading"]

    async def complaint(self) -> str | None:
        """Return why it is not ready, if it is not."""
        if not self.process.running:
            return f"{self.process.name} ended with status {self.process.exit_status}"
        told = await asyncio.to_thread(_health, self.process.port)
        if told.get("ready"):
            return None
        return f"{self.process.name} is not ready: {told.get('reasons', 'it does not answer')}"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if it lives."""
        if self.process.running and self.process.pid is not None:
            os.kill(self.process.pid, number)


def _health(port: int) -> Mapping[str, Any]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=ASK_WITHIN_S)
    try:
        connection.request("GET", READY_PATH)
        told: Mapping[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return told


@dataclass
class Platform:
    """Everything that runs."""

    folder: Path
    supervisor: Supervisor
    cluster: Cluster
    nats: NatsServer
    ledger: Ledger
    replicas: Sequence[Replica] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The bus, past all links."""
        return f"kafka://{self.cluster.address}?nats={self.nats.address}"

    def of(self, service: str) -> list[Replica]:
        """Return the processes of a service."""
        return [each for each in self.replicas if each.service == service]

    async def complaints(self, within_s: float) -> list[str]:
        """Return which processes are not ready, and still are not after a while."""
        patience = asyncio.get_running_loop().time() + within_s
        while True:
            told = await asyncio.gather(*(each.complaint() for each in self.replicas))
            unready = [each for each in told if each is not None]
            if not unready or asyncio.get_running_loop().time() > patience:
                return unready
            await asyncio.sleep(LOOK_EVERY_S)

    async def start_again(self, process: ManagedProcess) -> None:
        """Start what was killed."""
        await self.supervisor.start(process)


@contextlib.asynccontextmanager
async def running(
    folder: Path, size: Size, ledger: Ledger, *, fenced: bool
) -> AsyncIterator[Platform]:
    """Start everything, and stop it in the end."""
    links = [f"{service}-link" for service in SERVICES]
    ports = free_ports()
    cluster = Cluster.plan(folder, size.nodes, links, ports)
    supervisor = Supervisor(folder)
    platform = Platform(
        folder, supervisor, cluster, NatsServer(folder / "nats", next(ports)), ledger
    )
    platform.replicas = _replicas(platform, size, ports, fenced=fenced)
    await supervisor.open()
    try:
        for link in cluster.links.values():
            await link.start()
        await supervisor.start(platform.nats, *cluster.nodes)
        await cluster.complete()
        for wave in (SERVICES[:-1], [WORKER]):
            await supervisor.start(*(r.process for s in wave for r in platform.of(s)))
        yield platform
    finally:
        for replica in platform.replicas:
            replica.signal(signal.SIGCONT)
        supervisor.kill_all()  # what there is to see has been seen
        await supervisor.stop()
        for link in cluster.links.values():
            await link.stop()


def _replicas(
    platform: Platform, size: Size, ports: Iterator[int], *, fenced: bool
) -> list[Replica]:
    shared = environment(partitions=size.partitions, app=AGENTS, ttl_ms=TTL_MS, **SETTINGS) | {
        "CHAOS_LEDGER": f"{platform.ledger.path}",
        "CHAOS_FENCED": f"{int(fenced)}",
    }
    made = []
    for service in SERVICES:
        count = size.workers if service == WORKER else size.replicas
        for number in range(1, count + 1):
            link = f"{service}-link" if number == count else None
            process = _process(platform, service, number, link, next(ports), shared)
            made.append(Replica(service, process, link))
    return made


def _process(
    platform: Platform,
    service: str,
    number: int,
    link: str | None,
    port: int,
    shared: Mapping[str, str],
) -> ServiceProcess:
    name = f"{service}-{number}"
    kafka = platform.cluster.address_by(link) if link else platform.cluster.address
    settings = environment(
        bus=f"kafka://{kafka}?nats={platform.nats.address}",
        http_port=port,
        node=name,
        index_dir=platform.folder / "index" / name,
    )
    spec = ServiceSpec(name, (sys.executable, "-m", MODULES[service]), port, {**settings, **shared})
    process = ServiceProcess(spec, platform.folder / "logs" / f"{name}.log")
    process.cwd = ROOT
    return process
