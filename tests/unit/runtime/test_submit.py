"""Words of the own process: decided like all inputs, and whoever waits is always answered."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest

from folkmoot.core.kernel import Refused
from folkmoot.runtime.seat import NotLeading
from folkmoot.testing.eventually import eventually
from folkmoot.testing.faulty_log import FaultKind

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import Member, World


@pytest.fixture
def add(world: World) -> Any:
    """Return the message type that the conftest's machine takes."""
    return world.history().machine.inputs["folkmoot.add.v1"]


async def test_a_submission_is_done_when_its_decision_is_in_the_log(world: World, add: Any) -> None:
    (a,) = world.start("a")
    await world.leader()
    await a.replica.submit(add(1))
    assert world.history().state.amounts == [1]
    assert [amount for amount, _ in a.performed] == [1]


async def test_a_submission_that_changes_nothing_is_done_too(world: World, add: Any) -> None:
    (a,) = world.start("a")
    await world.leader()
    await a.replica.submit(add(0))


async def test_submissions_and_inbox_are_decided_in_order_of_arrival(
    world: World, add: Any
) -> None:
    (a,) = world.start("a")
    await world.leader()
    await asyncio.gather(*(a.replica.submit(add(n)) for n in range(1, 1_201)))
    assert world.history().state.amounts == list(range(1, 1_201))


async def test_a_submission_that_is_refused_says_so_and_ends_no_term(
    world: World, add: Any
) -> None:
    (a,) = world.start("a")
    await world.leader()
    first, bad, last = (a.replica.submit(add(n)) for n in (1, -1, 2))
    with pytest.raises(Refused, match="-1 is below zero"):
        await bad
    await asyncio.gather(first, last)
    assert world.history().state.amounts == [1, 2]
    assert len(world.terms()) == 1


async def test_who_does_not_lead_takes_nothing(world: World, add: Any) -> None:
    a, b = world.start("a", "b")
    early = a.replica.submit(add(1))
    with pytest.raises(NotLeading):
        await early
    leader = await world.leader()
    with pytest.raises(NotLeading, match="log/0 is not led here"):
        await (b if leader is a else a).replica.submit(add(1))


async def held_submissions(world: World, add: Any) -> tuple[Member, list[asyncio.Future[None]]]:
    """Return a leader in the midst of an append, one submission in it and one behind it."""
    (a,) = world.start("a")
    await world.leader()
    held = a.log.fail("log", "held")
    first = a.replica.submit(add(1))
    await held.hit.wait()
    return a, [first, a.replica.submit(add(2))]


async def assert_all_fail(submissions: list[asyncio.Future[None]]) -> None:
    outcomes = await asyncio.wait_for(asyncio.gather(*submissions, return_exceptions=True), 5)
    assert [type(outcome) for outcome in outcomes] == [NotLeading] * len(submissions)


async def test_a_crash_fails_all_who_wait(world: World, add: Any) -> None:
    a, submissions = await held_submissions(world, add)
    await a.crash()
    await assert_all_fail(submissions)


async def test_lost_leadership_fails_all_who_wait(world: World, add: Any) -> None:
    a, submissions = await held_submissions(world, add)
    world.start("b")
    await world.leader(a)
    a.log.hit[0].gate.set()
    await assert_all_fail(submissions)
    world.send(5)
    await world.decided(5)


@pytest.mark.parametrize("kind", ["lost", "landed"])
async def test_an_append_of_unknown_outcome_fails_who_waits(
    world: World, add: Any, kind: FaultKind
) -> None:
    (a,) = world.start("a")
    await world.leader()
    a.log.fail("log", kind)
    with pytest.raises(NotLeading):
        await a.replica.submit(add(1))
    world.send(2)
    await world.decided(*([1, 2] if kind == "landed" else [2]))


async def test_a_defect_fails_who_waits_and_the_shard_goes_on(world: World, add: Any) -> None:
    (a,) = world.start("a")
    await world.leader()
    with pytest.raises(NotLeading):
        await a.replica.submit(add(1_000_000))
    world.send(2)
    await world.decided(2)


async def test_stopping_fails_what_was_not_taken_and_commits_what_was(
    world: World, add: Any
) -> None:
    (a,) = world.start("a")
    await world.leader()
    held = a.log.fail("log", "held")
    first = a.replica.submit(add(1))
    await held.hit.wait()
    second = a.replica.submit(add(2))
    a.replica.stop()
    third = a.replica.submit(add(3))
    held.gate.set()
    await first
    await assert_all_fail([second, third])
    await a.task
    assert world.history().state.amounts == [1]


async def test_a_failure_that_nobody_waits_for_is_nobodys_error(
    world: World, add: Any, caplog: pytest.LogCaptureFixture
) -> None:
    a, submissions = await held_submissions(world, add)
    a.replica.submit(add(3))
    submissions.clear()
    await a.crash()
    a.replica.submit(add(4))
    gc.collect()
    await asyncio.sleep(0)
    assert "never retrieved" not in caplog.text


async def test_who_gave_up_waiting_is_still_decided(world: World, add: Any) -> None:
    (a,) = world.start("a")
    await world.leader()
    held = a.log.fail("log", "held")
    first, second = a.replica.submit(add(1)), None
    await held.hit.wait()
    second = a.replica.submit(add(2))
    first.cancel()
    second.cancel()
    held.gate.set()
    await eventually(lambda: world.history().state.amounts == [1, 2])
