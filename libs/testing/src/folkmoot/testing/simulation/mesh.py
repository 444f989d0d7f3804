"""The larger kind of world: the whole mesh, three processes of each service, and its users.

Every process is put together by its own `bootstrap`. Agents do things in a world outside, which
remembers them (`outside.py`); a client submits tasks, sometimes twice, and cancels some. The event
stores keep their indexes in files, which outlive most of their crashes.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import weakref
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from folkmoot.agent_worker.bootstrap import worker
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.breaker_proxy.bootstrap import service as breaker_proxy
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.bus.ports import Bus, BusError
from folkmoot.core.breaker import BreakerMachine, BreakerSettings
from folkmoot.core.election import ElectionMachine, ElectionSettings
from folkmoot.core.event_store import EventStoreMachine, EventStoreSettings
from folkmoot.core.messages import (
    Append,
    CancelSaga,
    NewEvent,
    PauseSaga,
    ResumeSaga,
    inbox,
    log,
)
from folkmoot.core.saga import SagaMachine, SagaSettings
from folkmoot.core.worker import WorkerMachine, WorkerSettings
from folkmoot.election.bootstrap import service as election
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.event_store.bootstrap import service as event_store
from folkmoot.event_store.index import FILE_NAME
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.postbox import Postbox
from folkmoot.runtime.seat import ShardName
from folkmoot.runtime.service import Service
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.shards import shard_name
from folkmoot.saga_orchestrator.bootstrap import service as saga_orchestrator
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.sdk.client import Client, Saga
from folkmoot.sdk.errors import ControlRefused, NoAnswer
from folkmoot.testing.simulation.draw import Draw
from folkmoot.testing.simulation.index_checks import content, positions
from folkmoot.testing.simulation.outside import AGENT, TEAM, Outside, limits_of
from folkmoot.testing.simulation.process import Process
from folkmoot.testing.simulation.world import LEADER_WITHIN_MS, ShardPlan, World

REPLICAS = 3
RETRY_S = 0.1
STREAM = "notes"
NEW_DISK_SHARE = 0.2
PAUSED_SHARE = 0.3
SNAPSHOT_RECORD_BYTES = 300
"""A log record, roughly: services count snapshots by bytes where there are few records."""

BREAKER = {"breaker_open_base_ms": 200, "breaker_open_cap_ms": 1_000}
"""Of the breaker-proxy; others take no notice. Short, so that a world settles soon."""

T = TypeVar("T")
S = TypeVar("S", bound=Settings)
Bootstrap = Callable[[Bus, Any, Process], Awaitable[Service]]


def _named(cls: type[S], **fields: Any) -> S:
    """Return settings whose member is called as the process is, so that a seed repeats itself."""

    class Named(cls):  # type: ignore[misc, valid-type]
        def member(self) -> str:
            return str(self.node)

    made: S = Named(**fields)
    return made


class MeshWorld:
    """See the module."""

    def __init__(self, draw: Draw) -> None:
        ttl_ms = draw.ttl_ms
        snapshot_bytes = max(1024, SNAPSHOT_RECORD_BYTES * draw.snapshot_every)
        self._fields = {
            "partitions": 1,
            "ttl_ms": ttl_ms,
            "bus": "simulated:",
            "snapshot_every_bytes": snapshot_bytes,
            "sagas_at_once": draw.sagas_at_once,
        }
        self._session_ttl_ms = ttl_ms
        self._draw = draw
        self._client_busy = True
        self._disk = Path(tempfile.mkdtemp(prefix="folkmoot-simulated-"))
        weakref.finalize(self, shutil.rmtree, self._disk, ignore_errors=True)
        self._disks: dict[str, Path] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self.shards = [*self._service_shards(ttl_ms), *self._team_shards(ttl_ms)]

    def _service_shards(self, ttl_ms: int) -> list[ShardPlan]:
        machines: dict[str, Callable[[], Any]] = {
            "election": lambda: ElectionMachine(ElectionSettings(orchestrator_partitions=1), 0),
            "event-store": lambda: EventStoreMachine(EventStoreSettings(), 0, lambda _: 0),
            "saga-orchestrator": lambda: SagaMachine(SagaSettings(), 0),
            "breaker-proxy": lambda: BreakerMachine(BreakerSettings(), 0),
        }
        within_ms = ttl_ms + LEADER_WITHIN_MS
        return [ShardPlan(shard_name(n, 0), made, within_ms) for n, made in machines.items()]

    def _team_shards(self, ttl_ms: int) -> list[ShardPlan]:
        """Return the shards whose leaders the election must first choose, or list as members."""
        within_ms = 2 * (ttl_ms + LEADER_WITHIN_MS) + 2 * self._session_ttl_ms
        plans = []
        for service, partition in [(f"team.{TEAM}", 0), (f"agent.{AGENT}", 0)]:
            name = ShardName(service, log(service), (inbox(service),), partition)
            made = partial(WorkerMachine, service, "reader", partition, WorkerSettings())
            plans.append(ShardPlan(name, made, within_ms))
        return plans

    def populate(self, world: World) -> None:
        """See `Kind`."""
        limits = limits_of(self._draw.at_once, self._draw.starts)
        acts = world.seen.acts
        self.outside = Outside(self._draw.seed, acts, self._draw.nested, limits)
        services: dict[str, tuple[Bootstrap, type[Settings]]] = {
            "election": (election, ElectionServiceSettings),
            "event-store": (event_store, EventStoreServiceSettings),
            "saga-orchestrator": (saga_orchestrator, SagaOrchestratorServiceSettings),
            "breaker-proxy": (breaker_proxy, BreakerProxyServiceSettings),
        }
        for name, (bootstrap, settings) in services.items():
            for number in range(REPLICAS):
                program = partial(self._service, world, bootstrap, settings)
                world.seat(f"{name}-{number + 1}", program)
        for number in range(REPLICAS):
            world.seat(f"worker-{number + 1}", partial(self._worker, world))
        world.seat("client", partial(self._client, world), may_crash=False)

    def settled(self, world: World) -> bool:
        """See `Kind`."""
        if self._client_busy:
            return False
        replicas = world.replicas(f"{log('saga-orchestrator')}/0")
        if any(replica.shard.state.sagas for _, replica in replicas):
            return False
        return self._is_indexed(world)

    def _is_indexed(self, world: World) -> bool:
        """Whether every index holds the logs as they were when all sagas had ended."""
        for plan in self.shards:
            place = (plan.name.log, plan.name.partition)
            self._ends.setdefault(place, len(world.broker.partitions[place].records))
        for disk in self._disks.values():
            found = positions(disk / FILE_NAME)
            if any(found.get(place, 0) < end for place, end in self._ends.items()):
                return False
        return True

    def complaints(self, world: World) -> list[str]:
        """See `Kind`. What the indexes hold is noted for the checker."""
        world.seen.indexes = {n: content(disk / FILE_NAME) for n, disk in self._disks.items()}
        return []

    # -- programs ---------------------------------------------------------------------------

    async def _service(
        self,
        world: World,
        bootstrap: Bootstrap,
        settings: type[Settings],
        process: Process,
        bus: Bus,
    ) -> None:
        disk = self._disk_of(world, process)
        chosen = _named(settings, node=process.name, index_dir=disk, **BREAKER, **self._fields)
        service = await _patiently(partial(bootstrap, bus, chosen, process))
        await self._run(world, process, service)

    def _disk_of(self, world: World, process: Process) -> Path | None:
        """Return the folder of an event store's index: mostly that of the incarnation before."""
        seat, _, _ = process.name.partition(".")
        if not seat.startswith("event-store"):
            return None
        if seat not in self._disks or world.random.random() < NEW_DISK_SHARE:
            self._disks[seat] = self._disk / process.name
        return self._disks[seat]

    async def _worker(self, world: World, process: Process, bus: Bus) -> None:
        chosen = _named(
            WorkerServiceSettings,
            node=process.name,
            session_ttl_ms=self._session_ttl_ms,
            **self._fields,
        )
        agent = self.outside.agent(world.loop, process.name)
        service = await _patiently(partial(worker, [agent], bus, chosen, process))
        await self._run(world, process, service)

    async def _run(self, world: World, process: Process, service: Service) -> None:
        for replica in service.replicas:
            world.watch(process, replica)
        process.stop = service.stop
        await service.run()

    async def _client(self, world: World, process: Process, bus: Bus) -> None:
        client = Client(bus, process)
        postbox = Postbox(bus, "notes", process)
        number = 0
        while not world.healed or not world.seen.tasks:
            await asyncio.sleep(world.random.uniform(0.1, 1.0))
            number += 1
            await self._submit(world, client, f"task-{number}")
            await self._append(world, postbox, f"note-{number}")
        self._client_busy = False

    async def _submit(self, world: World, client: Client, key: str) -> None:
        task = self.outside.task(key)
        repeats = 2 if world.random.random() < 0.2 else 1
        for _ in range(repeats):
            saga = await _patiently(partial(client.submit, TEAM, task, idempotency_key=key))
            world.seen.tasks[saga.saga_id] = task
        await self._pause(client, saga, key)
        if world.random.random() < 0.15:
            await asyncio.sleep(world.random.uniform(0, 0.5))
            with contextlib.suppress(ControlRefused, NoAnswer):
                request = CancelSaga(saga.saga_id, "client", request_id=f"cancel-{key}")
                await _patiently(partial(client.control, saga, request))

    async def _pause(self, client: Client, saga: Saga, key: str) -> None:
        """Pause some sagas for a while, and whatever runs below them."""
        random = self.outside.random(key, "pause")
        if not self._draw.nested or random.random() > PAUSED_SHARE:
            return
        for request in (PauseSaga, ResumeSaga):
            asked = request(saga.saga_id, "client", request_id=f"{request.__name__}-{key}")
            await asyncio.sleep(random.uniform(0, 0.5))
            with contextlib.suppress(ControlRefused, NoAnswer):
                await _patiently(partial(client.control, saga, asked))

    async def _append(self, world: World, postbox: Postbox, request: str) -> None:
        message = Append(STREAM, (NewEvent("note", request),), request)
        send = partial(postbox.send, inbox("event-store"), 0, message, STREAM, event_id=request)
        for _ in range(2 if world.random.random() < 0.2 else 1):
            await _patiently(send)
        world.seen.notes.append(request)


async def _patiently(do: Callable[[], Awaitable[T]]) -> T:
    """Do what may fail while the bus is out of reach, until it is done."""
    while True:
        try:
            return await do()
        except BusError:
            await asyncio.sleep(RETRY_S)
