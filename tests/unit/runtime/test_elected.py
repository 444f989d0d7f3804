"""A shard that only the elected may lead: election says who should, the shard's log who does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Claim, Verdict
from folkmoot.runtime.candidacy import ElectedCandidacy
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import Member, World

TTL_S = 0.3


@dataclass
class Election:
    """What members hear of who was elected; some hear it late."""

    elected: str | None = None
    epoch: int = 0

    def grant(self, member: str | None) -> None:
        self.elected, self.epoch = member, self.epoch + 1

    def granted(self) -> tuple[str | None, int]:
        return self.elected, self.epoch


def start(world: World, election: Election, *names: str) -> list[Member]:
    return [
        world.start(name, candidacy=ElectedCandidacy(name, election.granted))[0] for name in names
    ]


async def test_nobody_leads_before_an_election(world: World) -> None:
    start(world, Election(), "a", "b")
    await asyncio.sleep(5 * TTL_S)
    assert world.terms() == []


async def test_the_elected_leads_with_its_epoch(world: World) -> None:
    election = Election("b", 7)
    _, b = start(world, election, "a", "b")
    assert await world.leader() is b
    assert b.replica.shard.leadership.epoch == 7


@pytest.mark.parametrize("busy", [False, True])
async def test_a_newer_grant_takes_over_from_a_live_leader(world: World, busy: bool) -> None:
    election = Election("a", 1)
    a, b = start(world, election, "a", "b")
    await world.leader()
    amounts = []
    election.grant("b")
    for n in range(1, 100):
        if busy:
            amounts.append(n)
            world.send(n)
        await asyncio.sleep(0.01)
    assert await world.leader(a) is b
    amounts.append(100)
    world.send(100)
    await world.decided(*amounts)
    await eventually(lambda: len(world.received()) == len(amounts))
    assert world.history().leadership.epoch == 2
    assert not a.leads


async def test_who_still_believes_in_an_older_grant_does_not_come_back(world: World) -> None:
    late, current = Election("a", 1), Election("a", 1)
    (a,) = start(world, late, "a")
    await world.leader()
    current.grant("b")
    (b,) = start(world, current, "b")
    await world.leader(a)
    await b.crash()
    await asyncio.sleep(5 * TTL_S)
    assert world.terms() == ["a", "b"]
    assert len([r for r in world.records() if isinstance(r, Claim)]) == 2
    assert not a.leads


async def test_a_claim_with_an_older_grant_loses_in_the_log(world: World) -> None:
    late, current = Election("a", 1), Election("b", 2)
    (a,) = start(world, late, "a")
    held = a.log.fail("log", "held")
    await held.hit.wait()
    (b,) = start(world, current, "b")
    await world.leader(a)
    held.gate.set()
    await asyncio.sleep(5 * TTL_S)
    claims = [(r.member, v) for r, v in world.verdicts() if isinstance(r, Claim)]
    assert ("a", Verdict.LOST) in claims
    assert world.history().leadership.holder == "b"
    world.send(1)
    await world.told(1)
    assert b.leads


async def test_who_is_no_longer_elected_leads_until_somebody_is(world: World) -> None:
    election = Election("a", 1)
    (a,) = start(world, election, "a")
    await world.leader()
    election.grant(None)
    await asyncio.sleep(5 * TTL_S)
    world.send(1)
    await world.told(1)
    assert a.leads


async def test_the_elected_claims_again_after_a_failure_with_the_same_grant(world: World) -> None:
    (a,) = start(world, Election("a", 3), "a")
    await world.leader()
    a.log.fail("log", "lost")
    world.send(1)
    await world.told(1)
    assert world.terms() == ["a", "a"]


async def test_an_elected_leader_that_stops_resigns(world: World) -> None:
    election = Election("a", 1)
    a, b = start(world, election, "a", "b")
    await world.leader()
    await a.stop()
    election.grant("b")
    assert await world.leader(a, timeout_s=TTL_S) is b
