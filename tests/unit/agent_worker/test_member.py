"""A member's sessions: it joins, beats, hears who leads, and leaves for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from folkmoot.agent_worker.member import ELECTION, Membership, partitions_of
from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus, Record, UnknownTopic
from folkmoot.contracts.envelope import decode_message, encode_message, origin_headers
from folkmoot.core.kernel import Mark
from folkmoot.core.messages import LEADERS, BeatSession, Join, Leader, Leave
from folkmoot.core.names import by_wire_name
from folkmoot.sdk.agent import Agent, teams
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import LoopClock

TTL_MS = 900


class Town:
    """A member of two teams, and an election that a test plays."""

    def __init__(self) -> None:
        self.storage = Storage({ELECTION: 1, LEADERS: 1})
        self.log = FaultyLog(self.storage)
        bus = Bus(self.log, InProcessGossip(Hub()), "town")
        agents = [Agent("a", team="t"), Agent("b", team="t"), Agent("c", team="u")]
        self.member = Membership(bus, LoopClock(), "m1", "node", teams(agents), TTL_MS, 5)
        self.tasks = [
            asyncio.create_task(self.member.listen()),
            asyncio.create_task(self.member.keep_session()),
        ]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        assert self.log.open <= 1

    def said(self) -> list[object]:
        types = by_wire_name(Join, BeatSession, Leave)
        stored = self.storage.partitions[ELECTION, 0]
        return [decode_message(r.value, r.headers, types).message for r in stored]

    def joins(self) -> list[str]:
        return [message.team for message in self.said() if isinstance(message, Join)]

    async def list_it(self) -> None:
        """Let it join, and be listed."""
        await eventually(lambda: self.joins() == ["t", "u"])
        self.tell("t", "m1", 3, "m1")
        self.tell("u", "m2", 4, "m1", "m2")
        await asyncio.wait_for(self.member.joined(), 1)

    def tell(self, team: str, leader: str | None, offset: int, *members: str) -> None:
        message = Leader(team, leader, offset, members, 0, "elected")
        extra = origin_headers("folkmoot.election.log/0", Mark(offset, 0))
        value, headers = encode_message(message, event_id="e", source="s", at=0, extra=extra)
        self.storage.land(LEADERS, 0, [Record(value, team.encode(), headers)])


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town()
    yield made
    await made.end()


async def test_it_joins_its_teams_and_beats_three_times_a_ttl(town: Town) -> None:
    await town.list_it()
    await asyncio.sleep(3 * TTL_MS / 1000)
    said = town.said()
    assert said[:3] == [
        Join("t", "m1", "node", TTL_MS, 5, ("a", "b")),
        Join("u", "m1", "node", TTL_MS, 5, ("c",)),
        BeatSession("m1"),
    ]
    assert town.joins() == ["t", "u"]
    assert said.count(BeatSession("m1")) == pytest.approx(9, abs=1)


async def test_it_knows_who_leads_and_who_is_there(town: Town) -> None:
    assert town.member.granted("t") == (None, 0)
    assert town.member.members("t") == ()
    town.tell("t", "m2", 7, "m1", "m2")
    await eventually(lambda: town.member.granted("t") == ("m2", 7))
    assert town.member.members("t") == ("m1", "m2")
    assert town.member.granted("u") == (None, 0)


async def test_what_a_deposed_election_leader_tells_late_is_old_news(town: Town) -> None:
    town.tell("t", "m1", 9, "m1", "m2")
    town.tell("t", "m2", 7, "m2")
    town.tell("u", "m1", 8, "m1")
    await eventually(lambda: town.member.granted("u") == ("m1", 8))
    assert town.member.granted("t") == ("m1", 9)
    assert town.member.members("t") == ("m1", "m2")


async def test_what_is_no_word_of_the_election_changes_nothing(town: Town) -> None:
    unsigned, headers = encode_message(
        Leader("t", "thief", 99, ("thief",), 0, ""), event_id="e", source="s", at=0
    )
    records = [Record(b"not json"), Record(None, b"t"), Record(unsigned, b"t", headers)]
    town.storage.land(LEADERS, 0, records)
    town.tell("t", "m1", 1, "m1")
    await eventually(lambda: town.member.granted("t") == ("m1", 1))


async def test_it_joins_again_when_it_is_no_longer_listed(town: Town) -> None:
    await town.list_it()
    await asyncio.sleep(2 * TTL_MS / 1000)
    town.tell("t", "m2", 5, "m2")
    await eventually(lambda: town.joins() == ["t", "u", "t"])
    await asyncio.sleep(TTL_MS / 2000)
    assert town.joins() == ["t", "u", "t"]


async def test_who_is_not_heard_asks_again_once_a_ttl(town: Town) -> None:
    await asyncio.sleep(3.5 * TTL_MS / 1000)
    assert town.joins() == ["t", "u"] * 4


async def test_who_leaves_says_nothing_more(town: Town) -> None:
    await town.list_it()
    await town.member.leave()
    town.tell("t", None, 8)
    town.tell("u", None, 9)
    await asyncio.sleep(5 * TTL_MS / 1000)
    assert town.said()[-1] == Leave("m1")
    assert town.said().count(Leave("m1")) == 1


async def test_who_leaves_in_the_midst_of_a_beat_says_nothing_more(town: Town) -> None:
    held = town.log.fail(ELECTION, "held")
    await held.hit.wait()
    leaving = asyncio.create_task(town.member.leave())
    held.gate.set()
    await leaving
    await asyncio.sleep(TTL_MS / 1000)
    assert town.said().index(Leave("m1")) == len(town.said()) - 1


async def test_an_outage_is_survived_and_ended_with_a_new_join(town: Town) -> None:
    await town.list_it()
    town.log.down = True
    await asyncio.sleep(3)
    town.log.down = False
    town.tell("t", None, 5)
    await eventually(lambda: town.joins()[2:] == ["t"])
    assert not any(task.done() for task in town.tasks)


async def test_a_farewell_in_an_outage_is_not_said_and_no_error(town: Town) -> None:
    town.log.down = True
    await town.member.leave()


async def test_without_services_it_says_what_to_start() -> None:
    bus = Bus(FaultyLog(Storage({})), InProcessGossip(Hub()), "kafka://k:9092")
    with pytest.raises(UnknownTopic, match="on kafka://k:9092: start Folkmoot's services first"):
        await partitions_of(bus, ELECTION)
