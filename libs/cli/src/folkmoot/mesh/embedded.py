"""Runs the whole of Folkmoot in this process, over an embedded bus or any other.

The services are the same objects that run as processes of their own; only their tasks share an
event loop. A member that is killed here is cancelled without a word, as a crash would end it: no
hand-over, no farewell, its handlers gone in mid-step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from folkmoot.agent_worker.bootstrap import worker
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.breaker_proxy.bootstrap import service as breaker_proxy
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus
from folkmoot.election.bootstrap import service as election
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.event_store.bootstrap import service as event_store
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.clock import Clock, SystemClock
from folkmoot.runtime.service import Service
from folkmoot.saga_orchestrator.bootstrap import service as saga_orchestrator
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.sdk.agent import Agent

READY_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class MeshOptions:
    """How the mesh in one process is set up.

    One process has no network to be slow, so silence means death sooner than between machines:
    only a stalled event loop is to be told from a crash.
    """

    partitions: int = 2
    ttl_ms: int = 900
    session_ttl_ms: int = 900
    breaker_open_base_ms: int = 2_000
    breaker_open_cap_ms: int = 30_000
    ready_timeout_s: float = 20.0


@dataclass
class Member:
    """One member of the teams, as the mesh runs it."""

    name: str
    member_id: str
    service: Service
    task: asyncio.Task[None]

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self.task.done()


class Mesh:
    """A running mesh."""

    def __init__(self, bus: Bus, options: MeshOptions, clock: Clock) -> None:
        self.bus, self.options = bus, options
        self._clock = clock
        self.services: dict[str, Service] = {}
        self.members: dict[str, Member] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        address: str,
        agents: Sequence[Agent] = (),
        members: Sequence[str] = ("member-1", "member-2", "member-3"),
        options: MeshOptions | None = None,
    ) -> AsyncIterator[Mesh]:
        """Start the services and members that host `agents`, and stop them in the end.

        The mesh is ready when it is yielded.

        Raises:
            BusError: the bus cannot be used; the message says what to do.
            TimeoutError: something was not ready in time; the message says what.
        """
        bus = await connect(address)
        mesh = cls(bus, options or MeshOptions(), SystemClock())
        try:
            await mesh._start_services()
            if agents:
                await asyncio.gather(*(mesh.add_member(name, agents) for name in members))
            await mesh.ready()
            yield mesh
        finally:
            try:
                await mesh._stop()
            finally:
                await bus.close()

    async def _start_services(self) -> None:
        await self._start_service("election", election, ElectionServiceSettings)
        await self._start_service("event-store", event_store, EventStoreServiceSettings)
        await self._start_service(
            "saga-orchestrator", saga_orchestrator, SagaOrchestratorServiceSettings
        )
        await self._start_service("breaker-proxy", breaker_proxy, self._breaker_settings)

    async def _start_service(
        self,
        name: str,
        bootstrap: Callable[[Bus, Any, Clock], Awaitable[Service]],
        settings: Callable[..., Any],
    ) -> None:
        self.services[name] = await bootstrap(self.bus, self._settings(settings), self._clock)
        self._tasks[name] = asyncio.create_task(self.services[name].run(), name=name)

    def _breaker_settings(self, **fields: Any) -> BreakerProxyServiceSettings:
        return BreakerProxyServiceSettings(
            breaker_open_base_ms=self.options.breaker_open_base_ms,
            breaker_open_cap_ms=self.options.breaker_open_cap_ms,
            **fields,
        )

    def _settings(self, cls: Callable[..., Any], node: str = "mesh") -> Any:
        return cls(
            bus=self.bus.address,
            partitions=self.options.partitions,
            ttl_ms=self.options.ttl_ms,
            node=node,
        )

    async def add_member(self, name: str, agents: Sequence[Agent]) -> Member:
        """Start a member that hosts `agents`. A name may be used again after a kill."""

        def settings(**fields: Any) -> WorkerServiceSettings:
            return WorkerServiceSettings(session_ttl_ms=self.options.session_ttl_ms, **fields)

        service = await worker(agents, self.bus, self._settings(settings, name), self._clock)
        task = asyncio.create_task(service.run(), name=name)
        member = Member(name, service.replicas[0].member, service, task)
        self.members[name] = member
        return member

    def kill(self, name: str) -> Member:
        """Crash a member: everything it does stops now, and nobody is told."""
        member = self.members[name]
        member.task.cancel()
        return member

    def member_called(self, member_id: str) -> Member | None:
        """Return the live member with that id, as it stands in the log."""
        for member in self.members.values():
            if member.member_id == member_id and member.alive:
                return member
        return None

    async def ready(self) -> None:
        """Wait until every service and member is ready.

        Raises:
            TimeoutError: with the reasons of those that are not.
        """
        deadline = self._clock.monotonic() + self.options.ready_timeout_s * 1000
        while reasons := self._reasons():
            if self._clock.monotonic() > deadline:
                raise TimeoutError(f"not ready in time: {'; '.join(reasons)}")
            self._raise_failures()
            await asyncio.sleep(READY_POLL_S)

    def _reasons(self) -> list[str]:
        running = [*self.services.values(), *(m.service for m in self.members.values() if m.alive)]
        return [reason for service in running for reason in service.health().reasons]

    def _raise_failures(self) -> None:
        for task in [*self._tasks.values(), *(member.task for member in self.members.values())]:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _stop(self) -> None:
        """Stop members first, so that their last words are still decided upon."""
        try:
            await _finish([(m.service, m.task) for m in self.members.values()])
        finally:
            await _finish([(self.services[name], task) for name, task in self._tasks.items()])


async def _finish(running: Sequence[tuple[Service, asyncio.Task[None]]]) -> None:
    for service, _ in running:
        service.stop()
    tasks = [task for _, task in running]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
