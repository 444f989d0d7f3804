"""What goes wrong between a replica and its log, and that nothing is lost or done twice by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Beat, Claim, Entry, Verdict
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultKind

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_S = 0.3
UNCERTAIN: list[FaultKind] = ["lost", "landed", "late"]


def won(world: World) -> list[int]:
    return [o for o, (_, verdict) in enumerate(world.verdicts()) if verdict is Verdict.WON]


def assert_one_term_for_each_claim(world: World) -> None:
    terms = [r.term for r, v in world.verdicts() if not isinstance(r, Claim) and v.counts]
    assert terms == sorted(terms)
    assert set(terms) <= set(won(world))


# -- appends of unknown outcome -------------------------------------------------------------------


@pytest.mark.parametrize("kind", UNCERTAIN)
async def test_an_entry_of_unknown_outcome_ends_the_term_and_is_decided_once(
    world: World, kind: FaultKind
) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    world.send(1)
    await world.told(1)
    fault = leader.log.fail("log", kind)
    world.send(2)
    await fault.hit.wait()
    await eventually(lambda: len(won(world)) == 2)
    fault.gate.set()
    world.send(3)
    await world.decided(1, 2, 3)
    await world.told(1, 3, 6)
    await eventually(lambda: a.replica.shard.state == b.replica.shard.state)
    assert_one_term_for_each_claim(world)


async def test_an_entry_that_lands_before_its_leader_claims_again_counts(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    fault = a.log.fail("log", "late")
    held = a.log.fail("log", "held")
    world.send(1)
    await held.hit.wait()
    fault.gate.set()
    await eventually(lambda: len(world.entries()) == 1)
    held.gate.set()
    world.send(2)
    await world.told(1, 3)
    lost = [r for r, v in world.verdicts() if v is Verdict.LOST]
    assert [type(record) for record in lost] == [Claim]
    assert_one_term_for_each_claim(world)


@pytest.mark.parametrize("kind", UNCERTAIN)
async def test_a_claim_of_unknown_outcome_makes_no_two_leaders(
    world: World, kind: FaultKind
) -> None:
    (a,) = world.start("a")
    first = a.log.fail("log", kind)
    await first.hit.wait()
    world.send(1)
    (b,) = world.start("b")
    await world.told(1)
    first.gate.set()
    await asyncio.sleep(3 * TTL_S)
    world.send(2)
    await world.told(1, 3)
    assert [a.leads, b.leads].count(True) == 1
    assert_one_term_for_each_claim(world)


@pytest.mark.parametrize("kind", UNCERTAIN)
async def test_a_beat_of_unknown_outcome_ends_the_term(world: World, kind: FaultKind) -> None:
    (a,) = world.start("a")
    await world.leader()
    fault = a.log.fail("log", kind)
    await fault.hit.wait()
    await eventually(lambda: len(won(world)) == 2)
    fault.gate.set()
    world.send(1)
    await world.told(1)
    assert_one_term_for_each_claim(world)


@pytest.mark.parametrize("kind", UNCERTAIN)
async def test_a_farewell_of_unknown_outcome_does_not_keep_a_replica_from_ending(
    world: World, kind: FaultKind
) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    world.send(1)
    await world.told(1)
    fault = leader.log.fail("log", kind)
    await leader.stop()
    follower = await world.leader(leader)
    fault.gate.set()
    world.send(2)
    await world.told(1, 3)
    assert follower in (a, b)
    assert_one_term_for_each_claim(world)


# -- fencing --------------------------------------------------------------------------------------


async def test_a_leader_held_up_in_an_append_finds_itself_deposed(world: World) -> None:
    world.start("a", "b")
    leader = await world.leader()
    world.send(1)
    await world.told(1)
    held = leader.log.fail("log", "held")
    world.send(2)
    await held.hit.wait()
    other = await world.leader(leader)
    await world.told(1, 3)
    held.gate.set()
    await eventually(lambda: leader.replica.fenced == 1)
    world.send(3)
    await world.told(1, 3, 6)
    await world.decided(1, 2, 3)
    fenced = [r for r, v in world.verdicts() if v is Verdict.FENCED]
    assert len(fenced) == 1
    assert other.leads
    assert [amount for amount, _ in leader.performed] == [1]


async def test_a_leader_held_up_after_its_append_tells_again_what_its_successor_told(
    world: World,
) -> None:
    world.start("a", "b")
    leader = await world.leader()
    unanswered = leader.log.fail("log", "unanswered")
    world.send(1, 2)
    await unanswered.hit.wait()
    await world.leader(leader)
    world.send(3)
    await world.told(1, 3, 6)
    unanswered.gate.set()
    await eventually(lambda: leader.replica.shard.next_offset == len(world.records()))
    await world.told(1, 3, 6)
    await world.decided(1, 2, 3)


async def test_a_leader_held_up_in_telling_is_repeated_by_its_successor(world: World) -> None:
    world.start("a", "b")
    leader = await world.leader()
    held = leader.log.fail("out", "held")
    stuck = leader.log.fail("log", "held")
    world.send(1, 2)
    world.storage.land("in", 0, [])
    await stuck.hit.wait() if not held.hit.is_set() else None
    stuck.gate.set()
    await held.hit.wait()
    beat = leader.log.fail("log", "held")
    await beat.hit.wait()
    await world.leader(leader)
    world.send(3)
    await world.told(1, 3, 6)
    held.gate.set()
    beat.gate.set()
    await asyncio.sleep(TTL_S)
    assert world.received() == [1, 3, 6]
    raw = world.storage.partitions["out", 0] + world.storage.partitions["out", 1]
    assert len(raw) > 3


# -- killed at the worst moment -------------------------------------------------------------------


@pytest.mark.parametrize("topic", ["log", "out"])
@pytest.mark.parametrize("kind", ["held", "unanswered"])
async def test_killed_within_an_append(world: World, topic: str, kind: FaultKind) -> None:
    world.start("a", "b")
    leader = await world.leader()
    held = leader.log.fail(topic, kind)
    world.send(1, 2, 3)
    await held.hit.wait()
    await leader.crash()
    world.send(4)
    await world.told(1, 3, 6, 10)
    await world.decided(1, 2, 3, 4)


async def test_killed_while_it_waits_to_start_over(world: World) -> None:
    (a,) = world.start("a", timing={"retry_ms": 1_000})
    await world.leader()
    a.log.down = True
    await eventually(lambda: a.replica.last_error is not None)
    await a.crash()


async def test_killed_together_with_a_failure(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    a.log.close_fails = True
    await a.crash()


async def test_a_client_that_is_cancelled_by_itself_does_not_end_the_replica(world: World) -> None:
    (a,) = world.start("a")
    leader = await world.leader()
    leader.log.close_cancels = True
    leader.log.fail("log", "lost")
    world.send(1)
    await world.decided(1)
    assert not leader.log.close_cancels
    assert a.replica.leads


async def test_beats_say_how_far_effects_are_acknowledged(world: World) -> None:
    world.start("a")
    await world.leader()
    world.send(1)
    await world.told(1)
    await eventually(lambda: not world.history().pending)
    last = [r for r in world.records() if isinstance(r, Beat | Entry)][-1]
    assert isinstance(last, Beat)
