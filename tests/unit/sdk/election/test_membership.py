"""A member's sessions: it joins, beats, hears who leads, and leaves for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from folkmoot.bus.inprocess import Hub, InProcessGossip
from folkmoot.bus.ports import Bus, Record, UnknownTopic
from folkmoot.contracts.envelope import decode_message, encode_message, origin_headers
from folkmoot.core.kernel import Mark
from folkmoot.core.messages import LEADERS, BeatSession, Join, Leader, Leave, ResignLeadership
from folkmoot.core.names import by_wire_name
from folkmoot.sdk.election.membership import (
    ELECTION,
    Candidature,
    Membership,
    partitions_of,
)
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultyLog, Storage
from folkmoot.testing.virtual_time import EPOCH_MS, LoopClock

TTL_MS = 900


class Town:
    """A member of two teams, and an election that a test plays."""

    def __init__(self) -> None:
        self.storage = Storage({ELECTION: 1, LEADERS: 1})
        self.log = FaultyLog(self.storage)
        bus = Bus(self.log, InProcessGossip(Hub()), "town")
        parts = [Candidature("t", ("a", "b"), 5), Candidature("u", ("c",), 5, {"z": "1"}, "2")]
        self.member = Membership(bus, LoopClock(), "m1", "node", TTL_MS, parts, obliging=True)
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
        types = by_wire_name(Join, BeatSession, Leave, ResignLeadership)
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

    def tell(
        self, team: str, leader: str | None, offset: int, *members: str, **fields: Any
    ) -> None:
        message = Leader(team, leader, offset, members, 0, "elected", **fields)
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
        Join("t", "m1", "node", TTL_MS, 5, ("a", "b"), {}, "", EPOCH_MS, 1),
        Join("u", "m1", "node", TTL_MS, 5, ("c",), {"z": "1"}, "2", EPOCH_MS, 1),
        BeatSession("m1", 2),
    ]
    assert town.joins() == ["t", "u"]
    beats = [message.beat for message in said if isinstance(message, BeatSession)]
    assert beats == list(range(2, 2 + len(beats)))
    assert len(beats) == pytest.approx(9, abs=1)


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


async def test_it_knows_who_hosts_an_agent(town: Town) -> None:
    town.tell("t", "m2", 7, "m1", "m2", hosts={"a": ("m1",), "b": ("m1", "m2")})
    await eventually(lambda: town.member.hosts("t", "a") == ("m1",))
    assert town.member.hosts("t", "b") == ("m1", "m2")
    assert town.member.hosts("t", "none") == town.member.hosts("u", "c") == ()


def resignations(town: Town) -> list[object]:
    return [message for message in town.said() if isinstance(message, ResignLeadership)]


async def test_it_hands_over_when_it_is_asked_to(town: Town) -> None:
    await town.list_it()
    town.tell("t", "m1", 5, "m1", "m2", successor="m2")
    await eventually(lambda: resignations(town) == [ResignLeadership("t", "m1", 5, "m2")])
    town.tell("t", "m2", 6, "m1", "m2")
    await asyncio.sleep(5 * TTL_MS / 1000)
    assert len(resignations(town)) == 1


async def test_a_request_to_hand_over_that_is_lost_is_made_again(town: Town) -> None:
    await town.list_it()
    town.tell("t", "m1", 5, "m1", "m2", successor="m2")
    await asyncio.sleep(2.5 * TTL_MS / 1000)
    assert len(resignations(town)) == 3


async def test_only_a_leader_can_be_asked_to_hand_over(town: Town) -> None:
    await town.list_it()
    town.tell("t", "m2", 5, "m1", "m2", successor="m1")
    await asyncio.sleep(TTL_MS / 1000)
    assert resignations(town) == []


async def test_one_team_is_left_and_the_other_is_not(town: Town) -> None:
    await town.list_it()
    await town.member.withdraw("t")
    town.tell("t", "m2", 8, "m2")
    await asyncio.sleep(3 * TTL_MS / 1000)
    assert [m for m in town.said() if isinstance(m, Leave)] == [Leave("m1", "t")]
    assert isinstance(town.said()[-1], BeatSession)
    town.member.enter(Candidature("t"))
    await eventually(lambda: town.joins() == ["t", "u", "t"])


async def test_a_join_under_way_is_taken_back_by_who_leaves(town: Town) -> None:
    held = town.log.fail(ELECTION, "held")
    await held.hit.wait()
    leaving = asyncio.create_task(town.member.withdraw("t"))
    await asyncio.sleep(0.01)
    held.gate.set()
    await leaving
    await eventually(lambda: town.said().count(Leave("m1", "t")) == 2)
    last = max(n for n, m in enumerate(town.said()) if m == Leave("m1", "t"))
    assert not any(isinstance(m, Join) and m.team == "t" for m in town.said()[last:])
