"""A world: processes on one loop, the faults that strike them, and what is seen meanwhile.

A world goes through three times. In the first it works and faults strike it. Then all faults
cease, and every shard must have a leader soon (I7). Then it settles: everything that was
acknowledged is decided, and every effect has arrived. What it leaves behind is judged after that.

A kind of world (`relay.py` and the like make them) says which processes there are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

from folkmoot.bus.ports import Bus
from folkmoot.core.kernel.machine import Machine
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role, ShardName
from folkmoot.testing.simulation.broker import Broker
from folkmoot.testing.simulation.draw import Draw
from folkmoot.testing.simulation.evidence import (
    Done,
    Evidence,
    Observations,
    Sample,
    digest,
    examine,
)
from folkmoot.testing.simulation.gossip import SimulatedGossip, SimulatedNetwork
from folkmoot.testing.simulation.log import SimulatedLog
from folkmoot.testing.simulation.loop import SimulatedLoop
from folkmoot.testing.simulation.process import Process

SAMPLE_EVERY_S = 0.1
SKEW_MS = 3_000
OUTDATED_SHARE = 0.35
"""Of the incarnations, where versions are mixed."""

LOOK_EVERY_S = 0.02
LEADER_WITHIN_MS = 500
"""I7: beyond its ttl, how long a shard may be without a leader after faults have ceased."""

SETTLE_WITHIN_S = 120.0


@dataclass
class Seat:
    """A process that is started again when it has ended, each time as another incarnation."""

    name: str
    program: Callable[[Process, Bus], Coroutine[Any, Any, None]]
    may_crash: bool = True
    incarnation: int = 0
    process: Process | None = None
    log: SimulatedLog | None = None
    gossip: SimulatedGossip | None = None


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """A shard that the checkers look at, and how long after faults it may be without a leader."""

    name: ShardName
    machine: Callable[[], Machine[Any]]
    leader_within_ms: int


class Kind(Protocol):
    """What sort of world it is."""

    shards: list[ShardPlan]

    def populate(self, world: World) -> None:
        """Create topics and seats."""
        ...

    def settled(self, world: World) -> bool:
        """Return whether everything that was asked for is done."""
        ...

    def complaints(self, world: World) -> list[str]:
        """Return what is wrong that only this kind of world can tell."""
        ...


@dataclass
class World:
    """Everything there is."""

    draw: Draw
    random: Random
    kind: Kind
    loop: SimulatedLoop
    seen: Observations = field(default_factory=Observations)
    seats: dict[str, Seat] = field(default_factory=dict)
    story: list[tuple[float, str]] = field(default_factory=list)
    graveyard: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.broker = Broker(self.loop, self.random)
        self.network = SimulatedNetwork(self.loop, self.random)
        self.healed = False
        self.loop.set_exception_handler(self._overheard)

    def _overheard(self, _loop: object, context: Mapping[str, Any]) -> None:
        what = context.get("exception") or context["message"]
        self.trouble("I0", f"nobody took notice of {what!r}")

    def tell(self, what: str) -> None:
        """Put a line into the story."""
        self.story.append((self.loop.now, what))

    def trouble(self, invariant: str, detail: str) -> None:
        """Something was seen that must never happen."""
        self.tell(f"!! {invariant}: {detail}")
        self.seen.troubles.append(f"{invariant}: {detail}")

    # -- processes --------------------------------------------------------------------------

    def seat(self, name: str, program: Callable[[Process, Bus], Any], **fields: Any) -> None:
        """Add a process, and start it."""
        self.seats[name] = Seat(name, program, **fields)
        self.start(self.seats[name])

    def start(self, seat: Seat) -> None:
        """Start a seat's next incarnation."""
        seat.incarnation += 1
        name = f"{seat.name}.{seat.incarnation}"
        booted_s = self.random.uniform(0, 900)
        skew_ms = 0 if self.draw.clocks_agree else self.random.randint(-SKEW_MS, SKEW_MS)
        process = seat.process = Process(self.loop, name, booted_s, skew_ms)
        seat.log, seat.gossip = SimulatedLog(self.broker, process), self.network.join(process)
        process.outdated = self._draws_outdated(seat)
        self.graveyard.append(process)
        version = "an older version" if process.outdated else "this version"
        self.tell(f"{name} starts, of {version}, its clock wrong by {skew_ms} ms")
        process.begin(self._run(seat, process, Bus(seat.log, seat.gossip, "simulated:")))

    def _draws_outdated(self, seat: Seat) -> bool:
        may_be = self.draw.mixed and seat.may_crash and not self.healed
        return may_be and self.random.random() < OUTDATED_SHARE

    async def _run(self, seat: Seat, process: Process, bus: Bus) -> None:
        try:
            await seat.program(process, bus)
        except Exception as error:
            if process.dead or self.loop.over:
                return
            self.tell(f"{process.name} fails: {error!r}")
            raise

    def crash(self, seat: Seat) -> None:
        """Kill a process without a warning."""
        assert seat.process is not None
        seat.process.kill()
        self.network.leave(seat.process)
        self.tell(f"{seat.process.name} crashes")

    def alive(self) -> Iterator[Process]:
        """Yield the processes that have not ended."""
        for seat in self.seats.values():
            if seat.process is not None and seat.process.alive:
                yield seat.process

    def replicas(self, origin: str) -> Iterator[tuple[Process, Replica[Any]]]:
        """Yield the living replicas of a shard, but for those that halted."""
        for process in self.alive():
            for replica in process.replicas:
                if replica.name.origin == origin and replica.role is not Role.HALTED:
                    yield process, replica

    def watch(self, process: Process, replica: Replica[Any]) -> None:
        """Take note of what a replica of `process` does."""
        process.replicas.append(replica)

    def on_role(self, process: Process, origin: str) -> Callable[[Role], None]:
        """Return what is told of a replica's role."""

        def told(role: Role) -> None:
            if not self.loop.over:
                self.tell(f"{process.name} is {role.value} at {origin}")

        return told

    def on_local(self, process: Process, origin: str) -> Callable[[object], None]:
        """Return what is told of the local requests of a leader."""

        def told(request: object) -> None:
            self.seen.done[origin].append(Done(process.name, request))

        return told

    # -- what is seen -----------------------------------------------------------------------

    def sample(self) -> None:
        """Write down what every member knows, where it is exactly what it has read."""
        for process in self.alive():
            for replica in process.replicas:
                shard = replica.shard
                if replica.role is Role.HALTED and not self._may_halt(process, replica):
                    self.trouble("I7", f"{process.name} halted: {replica.last_error}")
                if shard.next_offset and not shard._decided:
                    self._sample(process, replica)

    def _may_halt(self, process: Process, replica: Replica[Any]) -> bool:
        """Whether its version is too old for its log, and it says so."""
        said = replica.last_error or ""
        return process.outdated and "does not know: upgrade it" in said

    def _sample(self, process: Process, replica: Replica[Any]) -> None:
        shard, lead = replica.shard, replica.shard.leadership
        samples = self.seen.samples[replica.name.origin]
        state = digest(shard.state)
        samples.append(
            Sample(process.name, shard.next_offset, lead.holder, lead.term, lead.last, state, ())
        )

    def leader(self, origin: str) -> Process | None:
        """Return the process that leads a shard, as its log has it too."""
        for process, replica in self.replicas(origin):
            if process.runs and replica.leads and replica.shard.leadership.holder == process.name:
                return process
        return None

    # -- the three times --------------------------------------------------------------------

    async def live(self, faults: Callable[[World], Coroutine[Any, Any, None]]) -> Evidence:
        """Run from beginning to end, and return what is left."""
        self.kind.populate(self)
        sampling = self.loop.create_task(self._keep_sampling())
        await faults(self)
        self.heal()
        await self._leaders_return()
        await self._settle()
        sampling.cancel()
        self.sample()
        self.loop.over = True
        return self.evidence()

    async def _keep_sampling(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_EVERY_S)
            self.sample()

    def heal(self) -> None:
        """Let every fault cease, start what had ended, and upgrade all but one that is outdated."""
        self.healed = True
        self.tell("all faults cease")
        for seat in self.seats.values():
            process, log = seat.process, seat.log
            assert process is not None
            assert log is not None
            log.link.up, log.link.read_delay_s, log.link.slow = True, 0.0, 1.0
            log.link.fates.clear()
            process.run_at(1.0)
            process.skew_ms = 0
            if process.paused:
                process.resume()
        self.network.heal()
        self.broker.heal()
        upgraded = [seat for seat in self.seats.values() if seat.process and seat.process.outdated]
        for seat in self.seats.values():
            process = seat.process
            assert process is not None
            if not process.alive or process.leaving or seat in upgraded[1:]:
                self._replace(seat)

    def _replace(self, seat: Seat) -> None:
        assert seat.process is not None
        if seat.process.alive:
            self.crash(seat)
        if seat.may_crash:
            self.start(seat)

    async def _leaders_return(self) -> None:
        if self.draw.poison:
            await self._digest_poison()
        healed_at = self.loop.now
        for plan in sorted(self.kind.shards, key=lambda plan: plan.leader_within_ms):
            deadline = healed_at + plan.leader_within_ms / 1000
            while self.leader(plan.name.origin) is None and self.loop.now <= deadline:
                await asyncio.sleep(LOOK_EVERY_S)
            leader = self.leader(plan.name.origin)
            if leader is None:
                late = f"{plan.name.origin} has no leader {plan.leader_within_ms} ms after faults"
                self.trouble("I7", late)

    async def _digest_poison(self) -> None:
        """Wait until what breaks leaders has been decided: till then it is a fault that goes on."""
        deadline = self.loop.now + SETTLE_WITHIN_S
        while self.loop.now < deadline and not self._has_settled():
            await asyncio.sleep(LOOK_EVERY_S)

    async def _settle(self) -> None:
        deadline = self.loop.now + SETTLE_WITHIN_S
        while not self._has_settled():
            if self.loop.now > deadline:
                self.trouble("I7", f"it has not settled {SETTLE_WITHIN_S:.0f} s after faults")
                break
            await asyncio.sleep(LOOK_EVERY_S)
        for complaint in self.kind.complaints(self):
            invariant, _, detail = complaint.partition(": ")
            self.trouble(invariant, detail)

    def _has_settled(self) -> bool:
        """Whether nobody asks for more, and every shard has decided, logged and told all."""
        return self.kind.settled(self) and all(
            self._is_at_rest(plan.name) for plan in self.kind.shards
        )

    def _is_at_rest(self, name: ShardName) -> bool:
        ends = {t: len(self.broker.partitions[t, name.partition].records) for t in name.inputs}
        at_rest = [
            not replica.shard.pending
            and not replica.shard._decided
            and all(replica.shard.consumed.get(t, 0) == end for t, end in ends.items())
            for _, replica in self.replicas(name.origin)
        ]
        return bool(at_rest) and all(at_rest)

    # -- the end ----------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        """Return what is there to judge."""
        topics = {place: tuple(p.records) for place, p in self.broker.partitions.items()}
        shards = {}
        for plan in self.kind.shards:
            name = plan.name
            records = topics[name.log, name.partition]
            wanted = [sample.offset for sample in self.seen.samples[name.origin]]
            shards[name.origin] = examine(name, plan.machine(), records, wanted)
        return Evidence(shards, topics, dict(self.broker.counts), self.seen)

    async def bury(self) -> None:
        """Let what is left of all processes end."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for process in self.graveyard:
            process.bury()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the product's log lines out of the way: the story says what happened."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
