"""Clocks that disagree by hours: log time goes on at the pace of a second a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Entry, Leadership
from folkmoot.runtime.candidacy import OpenCandidacy
from folkmoot.runtime.timing import Timing
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_S = 0.3
HOUR_MS = 3_600_000


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, 0, HOUR_MS])
async def test_a_timer_rings_in_time_whatever_the_next_leaders_clock_says(
    world: World, skew_ms: int
) -> None:
    (a,) = world.start("a")
    world.set_alarm(1_000)
    await eventually(lambda: world.history().state.alarm_at)
    world.start("b", skew_ms=skew_ms)
    await a.crash()
    b = await world.leader(a)
    world.set_alarm(500)
    world.set_alarm(400)
    await eventually(lambda: b.replica.shard.state.rang, timeout_s=2)
    ats = [record.at for record in world.records() if isinstance(record, Entry)]
    assert ats == sorted(ats)


async def test_a_clock_that_is_set_back_stops_no_timer(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    a.clock.skew_ms = -HOUR_MS
    world.set_alarm(1_000)
    await eventually(lambda: world.history().state.rang, timeout_s=2)


async def test_timers_ring_at_their_time_and_not_before(world: World) -> None:
    world.start("a")
    await world.leader()
    world.set_alarm(1_000)
    set_at = asyncio.get_running_loop().time()
    await eventually(lambda: world.history().state.rang)
    assert asyncio.get_running_loop().time() - set_at == pytest.approx(1.0, abs=0.02)


async def test_a_timer_that_came_due_in_an_interregnum_rings_at_once(world: World) -> None:
    (a,) = world.start("a")
    world.set_alarm(100)
    await eventually(lambda: world.history().state.alarm_at)
    await a.crash()
    await asyncio.sleep(5)
    world.start("b")
    await eventually(lambda: world.history().state.rang, timeout_s=2 * TTL_S)


class TowardsDead(OpenCandidacy):
    """Hands over to a member that has just died."""

    def heir(self, leadership: Leadership) -> str:
        return "dead"


async def test_the_courtesy_to_a_dead_heir_ends_though_the_resigned_was_hours_ahead(
    world: World,
) -> None:
    timing = Timing(ttl_ms=300)
    towards_dead = TowardsDead("a", "log/0", timing, lambda: ["a"])
    (a,) = world.start("a", skew_ms=HOUR_MS, candidacy=towards_dead)
    await world.leader()
    world.start("b")
    await a.stop()
    b = await world.leader(a, timeout_s=0.5 + TTL_S)
    assert b.name == "b"


async def test_who_comes_after_the_courtesy_does_not_wait_for_it_again(world: World) -> None:
    timing = Timing(ttl_ms=300)
    (a,) = world.start("a", candidacy=TowardsDead("a", "log/0", timing, lambda: ["a"]))
    await world.leader()
    await a.stop()
    await asyncio.sleep(0.6)
    began_at = asyncio.get_running_loop().time()
    world.start("b")
    await world.leader(a)
    assert asyncio.get_running_loop().time() - began_at < 0.2


async def test_a_tick_that_does_nothing_is_no_busy_loop(world: World) -> None:
    class Forgetful:
        """Wants to be woken always, and does nothing then."""

        calls = 0

        def __init__(self) -> None:
            self.inner = world.history().machine

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def due(self, state: object) -> int:
            return 0

        def decide(self, state: object, message: object, now: int) -> list[object]:
            Forgetful.calls += 1
            return []

    world.start("a", machine=Forgetful())
    await world.leader()
    await asyncio.sleep(1)
    assert Forgetful.calls < 3_000
