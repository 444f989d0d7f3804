"""The same replicas on the embedded log, in real time: a real file, a real writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from folkmoot.bus import Bus, Record, Topic, connect
from folkmoot.contracts.envelope import encode_message
from folkmoot.core.kernel import DEAD_LETTERS
from folkmoot.runtime.observer import observe
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.seat import Role
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TOPICS = [Topic(name, 2 if name == "out" else 1) for name in ("in", "log", "out", DEAD_LETTERS)]


class Town:
    """Replicas of one shard on one file."""

    def __init__(self, bus: Bus, make: Callable[[str, Any], Replica[Any]], add: Any) -> None:
        self.bus, self._make, self._add = bus, make, add
        self.replicas: dict[str, Replica[Any]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, *names: str) -> None:
        for name in names:
            self.replicas[name] = self._make(name, self.bus.log)
            self.tasks[name] = asyncio.create_task(self.replicas[name].run())

    async def leader(self, *but: str) -> str:
        def leading() -> list[str]:
            return [n for n, r in self.replicas.items() if r.leads and n not in but]

        return (await eventually(leading))[0]

    async def send(self, *amounts: int) -> None:
        appender = await self.bus.log.appender()
        records = []
        for amount in amounts:
            value, headers = encode_message(self._add(amount), event_id="e", source="u", at=0)
            records.append(Record(value, b"k", headers))
        await appender.append("in", 0, records)
        await appender.close()

    async def decided(self, *amounts: int) -> None:
        """Wait until every living replica has decided or followed exactly these."""
        alive = [r for n, r in self.replicas.items() if not self.tasks[n].done()]
        await eventually(lambda: all(r.shard.state.amounts == [*amounts] for r in alive))

    async def crash(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.wait([self.tasks[name]])

    async def end(self) -> None:
        for name in self.tasks:
            await self.crash(name)


@pytest.fixture
async def town(tmp_path: Path, new_world: Callable[[], World]) -> AsyncIterator[Town]:
    bus = await connect(f"embedded:{tmp_path / 'town.db'}")
    await bus.log.create_topics(TOPICS)
    world = new_world()
    add = world.history().machine.inputs["folkmoot.add.v1"]
    made = Town(bus, world.replica, add)
    yield made
    await made.end()
    await bus.close()


async def test_one_leads_and_the_others_follow(town: Town) -> None:
    town.start("a", "b", "c")
    await town.leader()
    await town.send(1, 2, 3)
    await town.decided(1, 2, 3)
    await eventually(lambda: sum(replica.leads for replica in town.replicas.values()) == 1)


async def test_leaders_crash_and_nothing_is_lost_or_doubled(town: Town) -> None:
    town.start("a", "b", "c")
    sent: list[int] = []
    for turn in range(3):
        leader = await town.leader()
        amounts = list(range(turn * 100 + 1, turn * 100 + 51))
        sent += amounts
        await town.send(*amounts)
        await town.crash(leader)
        town.start(f"again-{turn}")
        await town.leader(leader)
    await town.send(1_000)
    await town.decided(*sent, 1_000)


async def test_a_stopping_leader_hands_over(town: Town) -> None:
    town.start("a", "b")
    leader = await town.leader()
    await town.send(1)
    await town.decided(1)
    town.replicas[leader].stop()
    await asyncio.wait_for(town.tasks[leader], 5)
    assert town.replicas[leader].role is Role.STOPPED
    await town.leader(leader)
    await town.send(2)
    await town.decided(1, 2)


async def test_what_a_file_holds_is_the_same_after_everybody_has_gone(
    town: Town, new_world: Callable[[], World]
) -> None:
    town.start("a")
    await town.leader()
    await town.send(*range(1, 201))
    await town.decided(*range(1, 201))
    first = town.replicas["a"]
    first.stop()
    await town.tasks["a"]
    shard = await observe(town.bus, new_world().history().machine, first.name)
    assert shard.state == first.shard.state
    town.start("later")
    await town.leader()
    await town.decided(*range(1, 201))
