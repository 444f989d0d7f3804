"""The last record of a team on the compacted topic is a true one, whatever is written late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from folkmoot.bus.ports import Record, Stored
from folkmoot.core.election import LeaderConfirmed
from folkmoot.core.messages import LEADERS, Leader
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
