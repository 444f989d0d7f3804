"""Several processes of one service: each follows all shards and leads some, whoever goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from folkmoot.bus.ports import Bus, Record
from folkmoot.contracts import subjects
from folkmoot.contracts.codec import decode_record
from folkmoot.contracts.envelope import encode_message
from folkmoot.core.kernel import DEAD_LETTERS, Entry, Leadership, Resign, Verdict
from folkmoot.core.messages import inbox, log
from folkmoot.runtime.candidacy import rendezvous
from folkmoot.runtime.presence import MEMBERS_MAX, Presence
from folkmoot.runtime.replica import GATHER_MS
from folkmoot.runtime.service import Service
from folkmoot.runtime.settings import Settings
from folkmoot.runtime.shards import shards
from folkmoot.runtime.timing import Timing
from folkmoot.testing.eventually import eventually
from folkmoot.testing.fakes import FakeHub
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import LoopClock

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_MS = 300
TTL_S = TTL_MS / 1000
STALL_MS_MAX = 200
PARTITIONS = 6
SETTINGS = Settings(partitions=PARTITIONS, ttl_ms=TTL_MS)


class Process:
    """One process of the service."""

    def __init__(self, town: Town) -> None:
        self.log = FaultyLog(town.storage)
        self.gossip = town.hub.connect()
        self.gossip.offline = town.silent
        bus = Bus(self.log, self.gossip, "town")
        made = shards("adder", lambda _: town.machine, bus, SETTINGS, LoopClock(), lambda _: None)
        self.presence, self.replicas = made.presence, made.replicas
        self.service = Service(
            "adder", bus, LoopClock(), made.replicas,
            jobs=(made.presence.run,), on_stop=made.presence.leave,
        )  # fmt: skip
        self.task = asyncio.create_task(self.service.run())

    @property
    def name(self) -> str:
        return self.presence.member

    def led(self) -> list[int]:
        if self.task.done():
            return []
        return [replica.name.partition for replica in self.replicas if replica.leads]

    async def stop(self) -> None:
        self.service.stop()
        await self.task

    async def crash(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


class Town:
    """A bus, and the processes of a service on it."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.silent = False
        self.storage = Storage(
            {inbox("adder"): PARTITIONS, log("adder"): PARTITIONS, "out": 2, DEAD_LETTERS: 1}
        )
        self.hub = FakeHub()
        self.processes: list[Process] = []
        self.sent = [0] * PARTITIONS
        self.decided_at: dict[tuple[int, int], float] = {}

    def start(self, count: int = 1) -> list[Process]:
        made = [Process(self) for _ in range(count)]
        self.processes += made
        return made

    def alive(self) -> list[Process]:
        return [process for process in self.processes if not process.task.done()]

    def send(self) -> None:
        """Send one input to each shard."""
        for partition in range(PARTITIONS):
            self.sent[partition] += 1
            add = self.machine.inputs["folkmoot.add.v1"](self.sent[partition])
            value, headers = encode_message(add, event_id="e", source="user", at=0)
            self.storage.land(inbox("adder"), partition, [Record(value, b"k", headers)])

    async def keep_sending(self, every_s: float) -> None:
        """Send to all shards all the time."""
        while True:
            self.send()
            await asyncio.sleep(every_s)

    async def work(self) -> None:
        """Send to all shards all the time, and note when each input was decided."""
        while True:
            self.send()
            for partition in range(PARTITIONS):
                for amount in self.decided(partition):
                    now = asyncio.get_running_loop().time()
                    self.decided_at.setdefault((partition, amount), now)
            await asyncio.sleep(0.01)

    def verdicts(self, partition: int) -> list[tuple[Any, Verdict]]:
        rule = Leadership()
        records = [
            decode_record(stored.value, stored.headers, self.machine.events)
            for stored in self.storage.partitions[log("adder"), partition]
        ]
        return [(record, rule.observe(o, record)) for o, record in enumerate(records)]

    def decided(self, partition: int) -> list[int]:
        entries = [r for r, v in self.verdicts(partition) if v.counts and isinstance(r, Entry)]
        return [event.amount for entry in entries for event in entry.events]  # type: ignore[attr-defined]

    async def settled(self) -> None:
        """Return when each shard is led by the member that it prefers."""

        def is_settled() -> bool:
            names = [process.name for process in self.alive()]
            return all(
                partition in process.led()
                for partition in range(PARTITIONS)
                for process in self.alive()
                if process.name == rendezvous(names, f"{log('adder')}/{partition}")[0]
            )

        await eventually(is_settled, 30)

    async def all_decided(self) -> None:
        expected = [list(range(1, count + 1)) for count in self.sent]
        await eventually(lambda: [self.decided(p) for p in range(PARTITIONS)] == expected, 30)

    async def end(self) -> None:
        for process in self.alive():
            await process.crash()


@pytest.fixture
async def town(world: World) -> AsyncIterator[Town]:
    made = Town(world.history().machine)
    yield made
    await made.end()


async def test_shards_go_to_those_they_prefer_one_in_a_ttl(town: Town) -> None:
    town.start()
    await town.settled()
    town.start(2)
    await asyncio.sleep(TTL_S)
    town.send()
    await town.settled()
    assert sum(len(process.led()) for process in town.processes) == PARTITIONS
    resigned_at = sorted(
        record.at
        for partition in range(PARTITIONS)
        for record, verdict in town.verdicts(partition)
        if isinstance(record, Resign) and verdict.counts
    )
    assert len(resigned_at) >= 2
    assert all(after - before >= TTL_S * 1000 - 10 for before, after in pairwise(resigned_at))
    await town.all_decided()


async def test_a_rolling_restart_stalls_no_shard_and_loses_nothing(town: Town) -> None:
    town.start(3)
    await town.settled()
    working = asyncio.create_task(town.work())
    for old in list(town.processes):
        await asyncio.sleep(2 * TTL_S)
        await old.stop()
        town.start()
        await town.settled()
    await asyncio.sleep(TTL_S)
    working.cancel()
    await town.all_decided()
    for partition in range(PARTITIONS):
        moments = sorted(at for (p, _), at in town.decided_at.items() if p == partition)
        longest_ms = max(after - before for before, after in pairwise(moments)) * 1000
        assert longest_ms <= STALL_MS_MAX


async def test_who_says_that_it_leaves_is_followed_without_letting_records_gather(
    town: Town,
) -> None:
    town.start(3)
    await town.settled()
    for process in town.processes[:2]:
        working = asyncio.create_task(town.keep_sending(every_s=0.001))
        await asyncio.sleep(2 * TTL_S)
        await process.stop()
        await asyncio.sleep(0.1)
        working.cancel()
        await asyncio.wait([working])
    for partition in range(PARTITIONS):
        entries = [r.at for r, v in town.verdicts(partition) if v.counts and isinstance(r, Entry)]
        gaps = [after - before for before, after in pairwise(entries) if after - before < TTL_MS]
        assert max(gaps) < GATHER_MS / 2


@pytest.mark.parametrize("silent", [False, True])
async def test_a_crash_costs_a_ttl_whether_they_hear_each_other_or_not(
    town: Town, silent: bool
) -> None:
    town.silent = silent
    town.start(3)
    await eventually(lambda: sum(len(p.led()) for p in town.alive()) == PARTITIONS)
    await asyncio.sleep(4 * TTL_S)
    victim = max(town.processes, key=lambda process: len(process.led()))
    town.send()
    await victim.crash()
    crashed_at = asyncio.get_running_loop().time()
    town.send()
    await eventually(lambda: sum(len(p.led()) for p in town.alive()) == PARTITIONS)
    assert asyncio.get_running_loop().time() - crashed_at <= TTL_S + 0.25
    await town.all_decided()


# -- what they say of themselves ------------------------------------------------------------------


def presence(hub: FakeHub, member: str, following: set[int]) -> Presence:
    timing = Timing(ttl_ms=300)
    return Presence("adder", member, hub.connect(), LoopClock(), timing, lambda: following)


async def test_who_is_silent_for_two_ttls_is_forgotten_and_who_leaves_at_once() -> None:
    hub = FakeHub()
    following: set[int] = set()
    a, b, c = (presence(hub, name, following) for name in "abc")
    running = [asyncio.create_task(each.run()) for each in (a, b, c)]
    await eventually(lambda: sorted(a.members()) == ["a", "b", "c"])
    assert not a.follows("b", 1)
    following.add(1)
    await eventually(lambda: a.follows("b", 1) and not a.follows("b", 2))
    assert not a.follows("a", 1), "nobody hands over to himself"
    await b.leave()
    await eventually(lambda: sorted(a.members()) == ["a", "c"])
    await asyncio.sleep(1)
    assert sorted(a.members()) == ["a", "c"]
    assert a.follows("c", 1)
    running[2].cancel()
    await eventually(lambda: not a.follows("c", 1), 1)
    assert sorted(a.members()) == ["a", "c"], "it is not handed a shard, and may still claim one"
    await eventually(lambda: list(a.members()) == ["a"], 1)
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def test_words_that_are_none_are_passed_over_and_names_without_end_forgotten() -> None:
    hub = FakeHub()
    a = presence(hub, "a", set())
    running = asyncio.create_task(a.run())
    await asyncio.sleep(0.01)
    stranger = hub.connect()
    subject = subjects.presence("adder")
    for bad in (b"", b"[]", b"{}", b'{"member":"x"}', b'{"member":"x","following":[{}]}', b"\xff"):
        await stranger.publish(subject, bad)
    for n in range(MEMBERS_MAX + 5):
        await stranger.publish(subject, orjson.dumps({"member": f"m{n}", "following": [1]}))
    await eventually(lambda: len(a.members()) > 1)
    assert len(a.members()) == 1 + MEMBERS_MAX
    assert "x" not in a.members()
    await eventually(lambda: list(a.members()) == ["a"], 2)
    running.cancel()
    await asyncio.wait([running])
