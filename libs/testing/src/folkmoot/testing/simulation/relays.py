"""The smaller kind of world: two shards of relays that pass items to each other's outboxes.

Three members follow both. `front` takes what clients put and passes it to `back`, which keeps it;
so one shard's effects are the other's inputs, and both logs say what was acted on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from folkmoot.bus.ports import Appender, AppendUncertain, Bus, BusError, Record
from folkmoot.contracts.envelope import encode_message, origin_headers
from folkmoot.core.kernel import DEAD_LETTERS, Mark
from folkmoot.core.messages import snapshots
from folkmoot.runtime.candidacy import OpenCandidacy, Pace
from folkmoot.runtime.presence import Presence
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import NotLeading, Role, ShardName
from folkmoot.runtime.timing import Timing
from folkmoot.testing.simulation.evidence import Sent
from folkmoot.testing.simulation.process import Process
from folkmoot.testing.simulation.relay import Items, Put, RelayMachine
from folkmoot.testing.simulation.world import LEADER_WITHIN_MS, ShardPlan, World

FRONT = ShardName("front", "front.log", ("front.in",), 0)
BACK = ShardName("back", "back.log", ("back.in",), 0)
TARGETS = {FRONT.origin: "back.in", BACK.origin: "out"}
OUTCOMES = ("kept",) * 12 + ("ignore", "refuse")
POISON_SHARE = 0.05
NOTED_SHARE = 0.1
"""Of the inputs where versions are mixed: few, so that outdated members live for a while."""

BURST_MAX = 4
MEMBERS = 3


def machine(name: ShardName, *, outdated: bool = False) -> RelayMachine:
    """Return the machine of one of the two shards."""
    return RelayMachine(name.service, name.origin, TARGETS[name.origin], outdated=outdated)


class RelayWorld:
    """See the module."""

    def __init__(self, world_ttl_ms: int) -> None:
        within_ms = world_ttl_ms + LEADER_WITHIN_MS
        self.shards = [ShardPlan(n, partial(machine, n), within_ms) for n in (FRONT, BACK)]
        self._clients: dict[str, bool] = {}

    def populate(self, world: World) -> None:
        """See `Kind`."""
        for topic, count in {"out": 2, DEAD_LETTERS: 1}.items():
            world.broker.create(topic, count)
        for name in (FRONT, BACK):
            world.broker.create(name.log, 1)
            world.broker.create(snapshots(name.log), 1)
            world.broker.create(name.inputs[0], 1)
        for number in range(MEMBERS):
            world.seat(f"member-{number + 1}", partial(self._member, world))
        world.seat("client", partial(self._client, world, FRONT), may_crash=False)
        world.seat("shard", partial(self._foreign_shard, world, BACK), may_crash=False)

    def settled(self, world: World) -> bool:
        """See `Kind`."""
        quiet = all(not self._clients[name] for name in self._clients)
        alarms = any(
            len(r.shard.state.alarms) for n in (FRONT, BACK) for _, r in world.replicas(n.origin)
        )
        return quiet and not alarms

    def complaints(self, world: World) -> list[str]:
        """See `Kind`."""
        return []

    # -- programs ---------------------------------------------------------------------------

    async def _member(self, world: World, process: Process, bus: Bus) -> None:
        draw = world.draw
        timing = Timing(
            ttl_ms=draw.ttl_ms,
            batch_inputs_max=draw.batch_inputs_max,
            pending_effects_max=draw.pending_effects_max,
            drain_ms=500,
            snapshot_every_records=draw.snapshot_every,
        )

        def following() -> list[int]:
            present = (Role.FOLLOWING, Role.LEADING)
            return [n for n, replica in enumerate(replicas) if replica.role in present]

        presence = Presence("relay", process.name, bus.gossip, process, timing, following)
        replicas: list[Replica[Items]] = []
        for number, name in enumerate((FRONT, BACK)):
            candidacy = self._candidacy(world, name, presence, number, timing)
            replicas.append(self._replica(world, process, bus, name, candidacy, timing))

        def stop() -> None:
            for replica in replicas:
                replica.stop()

        process.stop = stop
        beside = [asyncio.create_task(self._talk(world, process, replicas[0]))]
        if draw.acquainted:
            beside.append(asyncio.create_task(presence.run()))
        await asyncio.gather(*(replica.run() for replica in replicas))
        for task in beside:
            task.cancel()

    def _candidacy(
        self, world: World, name: ShardName, presence: Presence, number: int, timing: Timing
    ) -> OpenCandidacy:
        member = presence.member
        if not world.draw.acquainted:
            return OpenCandidacy(member, name.origin, timing, lambda: [member])

        def follows(other: str) -> bool:
            return presence.follows(other, number)

        pace = Pace(timing.ttl_ms)
        return OpenCandidacy(member, name.origin, timing, presence.members, follows, pace)

    def _replica(
        self,
        world: World,
        process: Process,
        bus: Bus,
        name: ShardName,
        candidacy: OpenCandidacy,
        timing: Timing,
    ) -> Replica[Items]:
        replica = Replica(
            machine(name, outdated=process.outdated),
            name,
            process.name,
            bus,
            candidacy,
            process,
            timing,
            on_local=world.on_local(process, name.origin),
            on_role=world.on_role(process, name.origin),
        )
        world.watch(process, replica)
        return replica

    async def _talk(self, world: World, process: Process, replica: Replica[Items]) -> None:
        """Submit inputs of the leader's own process."""
        number = 0
        while True:
            await asyncio.sleep(world.random.uniform(0.05, 0.5))
            if not replica.leads or world.healed:
                continue
            number += 1
            sent = self._send(world, FRONT, f"{process.name}/{number}", "kept")
            try:
                await replica.submit(Put(sent.item))
                sent.acknowledged = True
            except NotLeading:
                continue

    def _send(self, world: World, to: ShardName, item: str, outcome: str) -> Sent:
        sent = world.seen.sent[to.origin][item] = Sent(item, outcome)
        return sent

    async def _client(self, world: World, to: ShardName, process: Process, bus: Bus) -> None:
        """Put items, each once, and go on when one may be lost."""
        number = 0
        self._clients["client"] = True
        while not world.healed:
            await asyncio.sleep(world.random.expovariate(world.draw.inputs_per_s))
            appender = await _patiently(bus.log.appender)
            for _ in range(world.random.randint(1, BURST_MAX)):
                number += 1
                sent = self._send(world, to, f"c{number}", _outcome(world))
                try:
                    await appender.append(to.inputs[0], 0, [self._record(world, sent)])
                    sent.acknowledged = True
                except BusError:
                    break
        self._clients["client"] = False

    def _record(self, world: World, sent: Sent, mark: Mark | None = None) -> Record:
        random = world.random
        alarm_ms = random.randint(1, 1_500) if random.random() < 0.2 else None
        put = Put(sent.item, random.randint(0, 3), alarm_ms, sent.outcome)
        extra = () if mark is None else origin_headers("elsewhere.log/0", mark)
        value, headers = encode_message(put, event_id=sent.item, source="client", at=0, extra=extra)
        return Record(value, sent.item.encode(), headers)

    async def _foreign_shard(self, world: World, to: ShardName, process: Process, bus: Bus) -> None:
        """Put items as another shard does: each again until it is acknowledged."""
        number = 0
        self._clients["shard"] = True
        while not world.healed:
            await asyncio.sleep(world.random.expovariate(world.draw.inputs_per_s))
            number += 1
            sent = self._send(world, to, f"s{number}", _outcome(world))
            record = self._record(world, sent, Mark(number, 0))
            while not sent.acknowledged:
                appender = await _patiently(bus.log.appender)
                try:
                    repeats = 2 if world.random.random() < 0.1 else 1
                    for _ in range(repeats):
                        await appender.append(to.inputs[0], 0, [record])
                    sent.acknowledged = True
                except AppendUncertain:
                    continue
                except BusError:
                    await asyncio.sleep(0.05)
        self._clients["shard"] = False


def _outcome(world: World) -> str:
    if world.draw.poison and world.random.random() < POISON_SHARE:
        return "break"
    if world.draw.mixed and world.random.random() < NOTED_SHARE:
        return "noted"
    return world.random.choice(OUTCOMES)


async def _patiently(open_: Callable[[], Awaitable[Appender]]) -> Appender:
    """Return what can be opened once the broker is there."""
    while True:
        try:
            return await open_()
        except BusError:
            await asyncio.sleep(0.05)
