"""A whole mesh in a test: every service, some members that host your agents, and one client.

    @simulated
    async def test_the_hotel_is_cancelled() -> None:
        async with TestMesh(agent) as mesh:
            mesh.fail("table", times=3)
            saga = await mesh.submit("trips", Trip(city="Oslo"))
            assert (await saga.outcome()).state == "compensated"
            mesh.history(saga).assert_compensated("hotel", "flight")

Time is virtual: it passes when everybody waits, and leaps where nothing happens. The same seed
gives the same run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from random import Random
from typing import Any, TypeVar

from folkmoot.agent_worker.bootstrap import worker
from folkmoot.agent_worker.settings import WorkerServiceSettings
from folkmoot.breaker_proxy.bootstrap import service as breaker_proxy
from folkmoot.breaker_proxy.settings import BreakerProxyServiceSettings
from folkmoot.bus.ports import Bus, BusError
from folkmoot.election.bootstrap import service as election
from folkmoot.election.settings import ElectionServiceSettings
from folkmoot.event_store.bootstrap import service as event_store
from folkmoot.event_store.settings import EventStoreServiceSettings
from folkmoot.runtime.service import Service
from folkmoot.runtime.settings import Settings
from folkmoot.saga_orchestrator.bootstrap import service as saga_orchestrator
from folkmoot.saga_orchestrator.settings import SagaOrchestratorServiceSettings
from folkmoot.sdk.agent import Agent
from folkmoot.sdk.client import Client, Saga
from folkmoot.sdk.steps import Budget
from folkmoot.testing.kit.crashing import CrashPoint, CrashPoints
from folkmoot.testing.kit.history import History
from folkmoot.testing.kit.loop import PatientLoop
from folkmoot.testing.kit.resting import Pacer
from folkmoot.testing.kit.script import Act, Cue, Script
from folkmoot.testing.simulation.draw import Draw
from folkmoot.testing.simulation.log import SimulatedLog
from folkmoot.testing.simulation.process import Process
from folkmoot.testing.simulation.world import Seat, ShardPlan, World
from folkmoot.testing.virtual_time import EPOCH_MS

TTL_MS = 1_000
READY_WITHIN_S = 30.0
LOOK_S = 0.02
RETRY_S = 0.1

S = TypeVar("S", bound=Settings)

_SERVICES: dict[str, tuple[Callable[..., Any], type[Settings]]] = {
    "election": (election, ElectionServiceSettings),
    "event-store": (event_store, EventStoreServiceSettings),
    "saga-orchestrator": (saga_orchestrator, SagaOrchestratorServiceSettings),
    "breaker-proxy": (breaker_proxy, BreakerProxyServiceSettings),
}


class ScriptedFailure(Exception):
    """What `TestMesh.fail` lets a handler raise if the test does not say."""


class NotSimulated(Exception):
    """A test mesh was begun on an ordinary event loop."""


class TestMesh:
    """See the module.

    Args:
        agents: what each member hosts, as it stands: nothing is patched.
        members: how many members there are, `worker-1` and so on.
        replicas: processes of each service, `saga-orchestrator-1` and so on.
        seed: draws how long each message takes.
        leaps_max: how often time may leap before the test is told to be without end.
    """

    __test__ = False  # for pytest, which takes every class called Test… for one of its own

    def __init__(
        self,
        *agents: Agent,
        members: int = 2,
        replicas: int = 1,
        seed: int = 0,
        leaps_max: int = 1_000,
    ) -> None:
        self._agents, self._members, self._replicas = agents, members, replicas
        self._leaps_max = leaps_max
        self._seed, self._submitted = seed, 0
        self._script = Script()
        self._services: dict[str, Service] = {}

    async def __aenter__(self) -> TestMesh:
        """Start everything, and return when it is ready."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, PatientLoop):
            raise NotSimulated(
                "a TestMesh needs virtual time: decorate the test with @simulated, or run it with "
                "simulate(…); both are in folkmoot.testing"
            )
        random = Random(self._seed)  # noqa: S311, nothing here is secret
        self._loop, self._world = loop, World(_calm(self._seed), random, _Empty(), loop)
        self._crash_points = CrashPoints(self._world.broker)
        process = Process(loop, "client", 0.0, 0)
        log = SimulatedLog(self._world.broker, process)
        bus = Bus(log, self._world.network.join(process), "simulated:")
        self._open = contextlib.AsyncExitStack()
        self._open.push_async_callback(self._end)
        try:
            await self._start()
            self.client = await self._open.enter_async_context(Client.on(bus, clock=process))
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def _start(self) -> None:
        for name in _SERVICES:
            for number in range(1, self._replicas + 1):
                self._world.seat(f"{name}-{number}", partial(self._service, name))
        await self._ready()
        for number in range(1, self._members + 1):
            self._world.seat(f"worker-{number}", self._worker)
        await self._ready()
        pacer = self._loop.create_task(Pacer(self._loop, self._world, self._leaps_max).run())
        self._open.callback(pacer.cancel)

    async def __aexit__(self, error: type[BaseException] | None, *_rest: object) -> None:
        """End everything without a word.

        Raises:
            AssertionError: something broke that a test should not miss.
        """
        await self._open.aclose()
        if error is None:
            self._raise_failures()
            assert not self._world.seen.troubles, "; ".join(self._world.seen.troubles)

    async def _end(self) -> None:
        self._loop.over = True
        for process in self._world.graveyard:
            process.bury()
        tasks = self._loop.tasks_of_processes()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loop.over = False

    # -- work -------------------------------------------------------------------------------

    async def submit(
        self,
        team: str,
        task: object,
        *,
        idempotency_key: str | None = None,
        budget: Budget | None = None,
    ) -> Saga:
        """Submit a task; see `Client.submit`. Without a key it has one of its own."""
        self._submitted += 1
        key = idempotency_key or f"task-{self._submitted}"
        return await self.client.submit(team, task, idempotency_key=key, budget=budget)

    def history(self, saga: Saga) -> History:
        """Return what has happened to a saga so far."""
        partitions = self._world.broker.partitions.items()
        topics = {place: partition.records for place, partition in partitions}
        return History.of_records(topics, saga.saga_id)

    @property
    def now(self) -> int:
        """The time, in milliseconds since the epoch, as every process has it."""
        return EPOCH_MS + round(self._loop.now * 1000)

    async def until(self, check: Callable[[], object], within_s: float = 60.0) -> None:
        """Let time pass until `check` is true.

        Raises:
            TimeoutError: it was still false after `within_s` of virtual time.
        """
        async with asyncio.timeout(within_s):
            while not check():
                await asyncio.sleep(LOOK_S)

    # -- what is to go wrong ----------------------------------------------------------------

    def fail(
        self,
        step: str,
        error: Exception | None = None,
        *,
        times: int = 1,
        undo: bool = False,
        after: bool = False,
    ) -> None:
        """Let the next runs of a step raise; `plan` and `aggregate` are the leader's hooks.

        `undo`: of its compensation. `after`: when the handler has done its work.
        """
        raised = error or ScriptedFailure(f"scripted failure of {step}")

        def act(_member: str) -> None:
            raise raised

        self._cue(step, act, times=times, undo=undo, after=after)

    def hang(self, step: str, *, times: int = 1, undo: bool = False, after: bool = False) -> None:
        """Let the next runs of a step never end, so that they time out."""
        self._cue(step, lambda _member: None, times=times, undo=undo, after=after)

    def kill(
        self,
        name: str | None = None,
        *,
        during: str | None = None,
        undo: bool = False,
        after: bool = False,
        restart_s: float | None = None,
    ) -> None:
        """Kill a process as `kill -9` does; with `during`, when it next runs that step.

        Without a `name` it is whichever member runs the step. It stays dead unless it is to be
        started again, after `restart_s`.
        """
        if during is None:
            self._crash(self._seat(name), restart_s)
            return
        member = None if name is None else self._seat(name).name
        act: Act = lambda who: self._crash(self._world.seats[who], restart_s)  # noqa: E731
        self._cue(during, act, undo=undo, after=after, member=member)

    def kill_at_entry(
        self, log: str, entry: int, *, before: bool = False, restart_s: float | None = None
    ) -> None:
        """Kill the process that writes the `entry`-th entry of a log, counted from 1.

        It dies when the entry is there and it has not heard so; or, with `before`, when its entry
        is on the way and never arrives. `entries` says how many there are.
        """

        def crash(writer: str) -> None:
            self._crash(self._world.seats[writer.rpartition(".")[0]], restart_s)

        self._crash_points.points.append(CrashPoint(log, entry, before, crash))

    @property
    def entries(self) -> Mapping[str, int]:
        """How many entries each log has, by topic."""
        return dict(self._crash_points.entries)

    def _cue(self, step: str, act: Act, **when: Any) -> None:
        known = {name for agent in self._agents for name in agent.steps} | {"plan", "aggregate"}
        assert step in known, f"no agent has a step {step!r}; there are: {', '.join(sorted(known))}"
        self._script.cues.append(Cue(step, act, **when))

    def _crash(self, seat: Seat, restart_s: float | None) -> None:
        self._world.crash(seat)
        if restart_s is not None:
            self._loop.later(restart_s, self._world.start, seat)

    def restart(self, name: str) -> None:
        """Start a process that was killed."""
        self._world.start(self._seat(name))

    def partition(self, *names: str) -> None:
        """Cut processes off from both buses, until `heal`."""
        for name in names:
            seat = self._seat(name)
            assert seat.log is not None
            assert seat.process is not None
            seat.log.link.up = False
            self._world.network.islands.add(seat.process.name)
        self._world.broker.stir()

    def heal(self) -> None:
        """Let all processes reach both buses again."""
        for seat in self._world.seats.values():
            assert seat.log is not None
            seat.log.link.up = True
        self._world.network.islands.clear()
        self._world.broker.stir()

    def pause(self, name: str) -> None:
        """Stop a process in its tracks, as SIGSTOP does, until `resume`: its clock goes on."""
        process = self._seat(name).process
        assert process is not None
        process.pause()

    def resume(self, name: str) -> None:
        """Let a paused process go on as if nothing had happened."""
        process = self._seat(name).process
        assert process is not None
        process.resume()

    def leader(self, team: str) -> str:
        """Return the member that leads a team now."""
        return self._leader_of(f"folkmoot.team.{team}.log/0")

    def _leader_of(self, origin: str) -> str:
        leader = self._world.leader(origin)
        assert leader is not None, f"nobody leads {origin} now"
        return leader.name.rpartition(".")[0]

    def _seat(self, name: str | None) -> Seat:
        seats = self._world.seats
        if name in _SERVICES:
            name = self._leader_of(f"folkmoot.{name}.log/0")
        assert name in seats, f"there is no process {name!r}; there are: {', '.join(seats)}"
        return seats[name]

    # -- processes --------------------------------------------------------------------------

    async def _service(self, name: str, process: Process, bus: Bus) -> None:
        bootstrap, settings = _SERVICES[name]
        await self._run(partial(bootstrap, bus, _named(settings, process), process), process)

    async def _worker(self, process: Process, bus: Bus) -> None:
        member = process.name.rpartition(".")[0]
        agents = [self._script.hosted(agent, member) for agent in self._agents]
        settings = _named(WorkerServiceSettings, process, session_ttl_ms=TTL_MS)
        await self._run(partial(worker, agents, bus, settings, process), process)

    async def _run(self, bootstrap: Callable[[], Awaitable[Service]], process: Process) -> None:
        service = await _reached(bootstrap)
        for replica in service.replicas:
            self._world.watch(process, replica)
        self._services[process.name] = service
        process.stop = service.stop
        await service.run()

    async def _ready(self) -> None:
        deadline = self._loop.now + READY_WITHIN_S
        while reasons := [*self._not_ready()]:
            self._raise_failures()
            if self._loop.now > deadline:
                raise AssertionError(f"not ready in time: {'; '.join(reasons)}")
            await asyncio.sleep(LOOK_S)

    def _not_ready(self) -> Iterator[str]:
        for process in self._world.alive():
            service = self._services.get(process.name)
            yield from service.health().reasons if service else (f"{process.name} begins",)

    def _raise_failures(self) -> None:
        for process in self._world.graveyard:
            main = process.main
            if main is not None and main.done() and not main.cancelled():
                error = main.exception()
                if error is not None:
                    raise error


def _calm(seed: int) -> Draw:
    """Return the draw of a world in which nothing goes wrong by itself."""
    return Draw(
        seed=seed,
        scope="mesh",
        ttl_ms=TTL_MS,
        duration_s=0.0,
        faults=0,
        acquainted=True,
        batch_inputs_max=500,
        pending_effects_max=20_000,
        inputs_per_s=0.0,
        clocks_agree=True,
        poison=False,
        snapshot_every=25_000,
        mixed=False,
    )


def _named(cls: type[S], process: Process, **fields: Any) -> S:
    """Return settings whose member is called as the process is, so that a run repeats itself."""

    class Named(cls):  # type: ignore[misc, valid-type]
        def member(self) -> str:
            return str(self.node)

    made: S = Named(bus="simulated:", node=process.name, partitions=1, ttl_ms=TTL_MS, **fields)
    return made


async def _reached(bootstrap: Callable[[], Awaitable[Service]]) -> Service:
    """Put a service together as soon as its bus can be reached."""
    while True:
        try:
            return await bootstrap()
        except BusError:
            await asyncio.sleep(RETRY_S)


class _Empty:
    """A kind of world with nothing in it."""

    shards: list[ShardPlan]

    def __init__(self) -> None:
        self.shards = []

    def populate(self, world: World) -> None:
        """See `Kind`."""

    def settled(self, world: World) -> bool:
        """See `Kind`."""
        return True

    def complaints(self, world: World) -> list[str]:
        """See `Kind`."""
        return []
