"""What others write between a leader's records: harmless if it lost, the end of the term if not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from folkmoot.core.kernel import Mark
from folkmoot.runtime.seat import Role
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import Member, World

TTL_S = 0.3


async def leading(world: World) -> Member:
    world.start("a")
    leader = await world.leader()
    world.send(1)
    await world.told(1)
    return leader


def entry_offsets(world: World) -> list[int]:
    return [o for o, r in enumerate(world.records()) if getattr(r, "events", ())]


async def test_a_claim_that_lost_costs_its_leader_nothing(world: World) -> None:
    a = await leading(world)
    world.claim_in_vain()
    world.send(2, 3)
    await world.told(1, 3, 6)
    await world.decided(1, 2, 3)
    assert len(world.terms()) == 1
    assert a.roles == [Role.FOLLOWING, Role.LEADING]
    assert a.replica.fenced == 0
    assert a.replica.shard.state == world.history().state


async def test_what_was_applied_as_if_elsewhere_is_requested_as_it_stands(world: World) -> None:
    a = await leading(world)
    world.claim_in_vain()
    world.claim_in_vain("another")
    world.send(2, 3)
    await world.told(1, 3, 6)
    world.send(4)
    await world.told(1, 3, 6, 10)
    assert [amount for amount, _ in a.performed] == [1, 2, 3, 4]
    assert [offset for _, offset in a.performed] == entry_offsets(world)


async def test_an_idle_leader_beats_on_over_claims_that_lost(world: World) -> None:
    a = await leading(world)
    state = a.replica.shard
    for _ in range(5):
        world.claim_in_vain()
        await asyncio.sleep(TTL_S)
    assert len(world.terms()) == 1
    assert a.replica.shard is state, "nothing was decided, so that nothing need be made anew"
    assert a.performed == [(1, entry_offsets(world)[0])]


async def test_a_claim_that_won_in_between_ends_the_term(world: World) -> None:
    a = await leading(world)
    world.claim_against(world.history().leadership)
    world.send(2, 3)
    await eventually(lambda: a.replica.fenced == 1)
    assert a.performed == [(1, entry_offsets(world)[0])]
    await world.told(1, 3, 6)
    assert world.terms() == ["a", "stranger", "a"]
    assert [amount for amount, _ in a.performed] == [1, 2, 3]


async def test_effects_on_their_way_are_neither_lost_nor_sent_again(world: World) -> None:
    a = await leading(world)
    held = a.log.fail("out", "held")
    world.send(2)
    await held.hit.wait()
    world.claim_in_vain()
    world.send(3)
    await world.decided(1, 2, 3)
    held.gate.set()
    await world.told(1, 3, 6)
    await eventually(lambda: not a.replica.shard.pending)
    raw = world.storage.partitions["out", 0] + world.storage.partitions["out", 1]
    assert len(raw) == 3


async def test_what_was_only_consumed_is_not_forgotten(world: World) -> None:
    a = await leading(world)
    world.send_from_shard(2, Mark(7, 0))
    await world.told(1, 3)
    world.claim_in_vain()
    world.send(3)
    world.send_from_shard(0, Mark(8, 0))
    await world.decided(1, 2, 3)
    await eventually(lambda: a.replica.shard.marks == {"other.log/0": Mark(8, 0)})
    await eventually(lambda: world.history().marks == {"other.log/0": Mark(8, 0)})
    assert world.history().consumed == {"in": 4}


async def test_own_words_are_confirmed_though_a_claim_came_between(world: World) -> None:
    a = await leading(world)
    world.claim_in_vain()
    await a.replica.submit(a.replica.shard.machine.inputs["folkmoot.add.v1"](5))
    assert world.history().state.amounts == [1, 5]
    assert len(world.terms()) == 1


async def test_entries_that_cannot_be_read_back_end_the_term(world: World) -> None:
    a = await leading(world)
    held = a.log.fail("log", "held")
    world.claim_in_vain()
    world.send(2)
    await held.hit.wait()
    a.log.down = True
    held.gate.set()
    await eventually(lambda: a.replica.last_error is not None)
    a.log.down = False
    await world.told(1, 3)
    assert len(world.terms()) == 2
    assert [amount for amount, _ in a.performed] == [1]


async def test_what_is_acknowledged_during_an_append_is_not_sent_again(world: World) -> None:
    a = await leading(world)
    telling = a.log.fail("out", "held")
    world.send(2)
    await telling.hit.wait()
    appending = a.log.fail("log", "held")
    world.claim_in_vain()
    world.send(3)
    await appending.hit.wait()
    telling.gate.set()
    await eventually(lambda: not a.replica.shard.pending)
    appending.gate.set()
    await world.told(1, 3, 6)
    await eventually(lambda: not a.replica.shard.pending)
    raw = world.storage.partitions["out", 0] + world.storage.partitions["out", 1]
    assert len(raw) == 3
