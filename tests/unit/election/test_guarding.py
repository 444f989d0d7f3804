"""The last record of a team on the compacted topic is a true one, whatever is written late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from folkmoot.bus.ports import Record, Stored
from folkmoot.contracts.envelope import encode_message, origin_headers
from folkmoot.core.election import ElectionMachine, ElectionSettings, LeaderConfirmed, Republish
from folkmoot.core.election.state import Team
from folkmoot.core.kernel import Mark, Shard
from folkmoot.core.messages import LEADERS, Leader
from folkmoot.election import guarding
from folkmoot.runtime.seat import ShardName
from folkmoot.runtime.shards import shard_name
from folkmoot.sdk.election.leaders import read_leaders
from folkmoot.testing.eventually import eventually
from tests.unit.sdk.election.town import Town


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town()
    await made.start_service()
    yield made
    await made.end()


def records(town: Town) -> list[Stored]:
    return town.storage.partitions[LEADERS, 0]


def compact(town: Town) -> None:
    """Keep the last record of each key, as a broker may at any time; offsets close ranks here."""
    last = {record.key: record for record in records(town)}
    kept = [Record(r.value, r.key, r.headers) for r in last.values()]
    town.storage.partitions[LEADERS, 0] = []
    town.storage.land(LEADERS, 0, kept)


async def two_terms(town: Town) -> tuple[Record, str]:
    """Let one program lead "news" after another; the first one's record, and who leads now."""
    a, b = town.program("a"), town.program("b")
    lease = await a.client.team("news").leadership()
    old = records(town)[-1]
    waiting = asyncio.ensure_future(b.client.team("news").leadership())
    await eventually(lambda: town.told("news")[-1].members == (a.member, b.member))
    await a.client.team("news").release(lease)
    await waiting
    return Record(old.value, old.key, old.headers), b.member


def last(town: Town) -> Leader:
    return town.told("news")[-1]


@pytest.mark.parametrize("value", ["old", "junk", "tombstone"])
async def test_what_a_zombie_or_an_outsider_wrote_last_is_written_over(
    town: Town, value: str
) -> None:
    old, leads = await two_terms(town)
    late = {"old": old, "junk": Record(b"{}", b"news"), "tombstone": Record(None, b"news")}[value]
    town.storage.land(LEADERS, 0, [late])
    await eventually(lambda: last(town).leader == leads and records(town)[-1].value != late.value)
    compact(town)
    assert (await read_leaders(town.bus()[0]))["news"].leader == leads


async def test_a_record_that_was_compacted_away_is_written_again_by_the_next_leader(
    town: Town,
) -> None:
    old, leads = await two_terms(town)
    town.services[0][1].cancel()
    await asyncio.wait([town.services[0][1]])
    town.storage.land(LEADERS, 0, [old])
    compact(town)
    assert (await read_leaders(town.bus()[0]))["news"].leader != leads
    await town.start_service("s2")
    await eventually(lambda: last(town).leader == leads)


async def test_what_is_in_order_is_not_said_again(town: Town) -> None:
    await two_terms(town)
    confirmed = len(town.events(LeaderConfirmed))
    await town.start_service("s2")
    await asyncio.sleep(1)
    town.services[0][1].cancel()
    await asyncio.sleep(5)
    assert len(town.events(LeaderConfirmed)) == confirmed


async def test_what_a_zombie_wrote_last_is_told_once(town: Town) -> None:
    old, _ = await two_terms(town)
    confirmed = len(town.events(LeaderConfirmed))
    town.storage.land(LEADERS, 0, [old])
    await asyncio.sleep(5)
    assert len(town.events(LeaderConfirmed)) == confirmed + 1


async def test_what_is_still_to_be_sent_is_not_said_again(town: Town) -> None:
    """A new leader of the shard finds an old record on the topic, and has the new one in hand."""
    a, b = town.program("a"), town.program("b")
    await a.client.team("news").leadership()
    unsent = town.services[0][2].fail(LEADERS, "held")
    waiting = asyncio.ensure_future(b.client.team("news").leadership())
    await unsent.hit.wait()
    town.services[0][1].cancel()
    await asyncio.wait([town.services[0][1]])
    await town.start_service("s2")
    held = town.services[1][2].fail(LEADERS, "held")
    await held.hit.wait()
    await asyncio.sleep(2)
    held.gate.set()
    await eventually(lambda: last(town).members == (a.member, b.member))
    await asyncio.sleep(2)
    assert len(town.events(LeaderConfirmed)) == 1
    waiting.cancel()


@dataclass
class Leading:
    """A replica that leads and has sent all that it has decided of one team."""

    revision: int
    submitted: list[object] = field(default_factory=list)
    leads: bool = True
    name: ShardName = field(default_factory=lambda: shard_name("election", 0))

    def __post_init__(self) -> None:
        machine = ElectionMachine(ElectionSettings(), 0)
        self.shard = Shard(machine, "s")
        self.shard.state.teams["news"] = Team("news", revision=self.revision)
        self.shard.emitted = self.revision

    def submit(self, message: object) -> None:
        self.submitted.append(message)


@pytest.mark.parametrize(("newest", "submitted"), [(9, []), (8, [Republish("news")])])
async def test_a_record_is_found_wanting_only_when_all_were_read(
    town: Town, newest: int, submitted: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "READ_RECORDS_MAX", 1)
    for offset in (3, 4, newest):
        extra = origin_headers("folkmoot.election.log/0", Mark(offset, 0))
        value, headers = encode_message(
            Leader("news", None, 3, (), 0, ""), event_id="e", source="s", at=0, extra=extra
        )
        town.storage.land(LEADERS, 0, [Record(value, b"news", headers)])
    replica = Leading(9)
    guard = asyncio.create_task(guarding.Guard(town.bus()[0], [replica]).run())  # type: ignore[list-item]
    await asyncio.sleep(0.3)
    guard.cancel()
    assert replica.submitted[:1] == submitted
