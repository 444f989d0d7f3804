"""Effects reach their targets once and in order, or are put aside; they never stop a shard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Verdict
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultKind

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_S = 0.3
UNCERTAIN: list[FaultKind] = ["lost", "landed", "late"]


def won(world: World) -> list[int]:
    return [o for o, (_, verdict) in enumerate(world.verdicts()) if verdict is Verdict.WON]


# -- telling --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", UNCERTAIN)
async def test_an_effect_of_unknown_outcome_is_told_again_in_order(
    world: World, kind: FaultKind
) -> None:
    (a,) = world.start("a", timing={"batch_inputs_max": 1})
    await world.leader()
    fault = a.log.fail("out", kind)
    world.send(1, 2)
    await fault.hit.wait()
    world.send(3, 4)
    await world.told(1, 3, 6, 10)
    fault.gate.set()
    world.send(5)
    await world.told(1, 3, 6, 10, 15)
    assert len(won(world)) == 2


async def test_one_place_that_cannot_be_told_holds_up_what_follows_and_loses_nothing(
    world: World,
) -> None:
    (a,) = world.start("a")
    await world.leader()
    faults = [a.log.fail("out", "lost") for _ in range(3)]
    world.send(1, partition=0)
    world.send(2, partition=1)
    world.send(4, partition=0)
    await eventually(lambda: all(fault.hit.is_set() for fault in faults))
    await eventually(lambda: sorted(world.received()) == [1, 3, 7])
    by_partition = [world.distinct(world.storage.partitions["out", p]) for p in (0, 1)]
    assert by_partition == [[1, 7], [3]]


@pytest.mark.parametrize(
    ("fields", "reason", "detail"),
    [
        ({"to": "nowhere"}, "unknown-topic", "there is no topic 'nowhere'"),
        ({"partition": 7}, "unknown-topic", "topic 'out' has 2 partitions, and no number 7"),
        ({"partition": -1}, "unknown-topic", "topic 'out' has 2 partitions, and no number -1"),
        ({"padding": 600_000}, "too-large", "is over the limit of 524,288"),
    ],
)
async def test_an_effect_that_no_topic_takes_is_put_aside_and_the_shard_goes_on(
    world: World, fields: dict[str, object], reason: str, detail: str
) -> None:
    world.start("a")
    await world.leader()
    world.send(1)
    world.send(2, **fields)
    world.send(3)
    await world.told(1, 6)
    (letter,) = await eventually(world.letters)
    assert (letter.topic, letter.reason) == (fields.get("to", "out"), reason)
    assert detail in letter.detail
    assert letter.type == "folkmoot.total.v1"
    assert len(won(world)) == 1


async def test_a_topic_that_is_made_just_now_is_waited_for(world: World) -> None:
    world.start("a")
    await world.leader()
    world.send(1, to="new")
    await asyncio.sleep(0.3)
    world.storage.partitions["new", 0] = []
    await eventually(lambda: world.received("new") == [1])
    assert world.letters() == []


async def test_a_topic_found_absent_once_is_found_when_it_is_made(world: World) -> None:
    world.start("a")
    await world.leader()
    world.send(1, to="new")
    await eventually(world.letters)
    world.storage.partitions["new", 0] = []
    world.send(2, to="new")
    await eventually(lambda: world.received("new") == [3])


async def test_a_leader_whose_effects_are_slow_beats_and_takes_no_more(world: World) -> None:
    (a, b) = world.start("a", "b", timing={"pending_effects_max": 10, "batch_inputs_max": 5})
    leader = await world.leader()
    leader.log.slow_s["out"] = 4 * TTL_S
    world.send(*range(1, 61))
    pending: set[int] = set()
    while len(world.received()) < 60:
        await asyncio.sleep(TTL_S / 10)
        pending.add(len(leader.replica.shard.pending))
    assert world.received() == [sum(range(1, n + 1)) for n in range(1, 61)]
    assert max(pending) <= 10 + 5
    assert len(won(world)) == 1
    assert a.leads or b.leads
