"""One leads, others follow; whoever goes, everything is decided once and told once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.kernel import Beat, Claim, Mark, Resign, Verdict
from folkmoot.runtime.replica import GATHER_MS
from folkmoot.runtime.seat import NotLeading, Role
from folkmoot.testing.eventually import eventually

if TYPE_CHECKING:
    from tests.unit.runtime.conftest import World

TTL_S = 0.3
A_FEW_APPENDS_S = 0.02
"""What taking over may cost beyond waiting: less than a poll, because nobody polls."""

UNHEARD_S = GATHER_MS / 1000
"""How long a record may stand in the log before a standby hears that its leader lived then."""


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_one_leads_and_all_are_equal(world: World) -> None:
    members = world.start("a", "b", "c")
    leader = await world.leader()
    world.send(1, 2, 3)
    await world.told(1, 3, 6)
    end = len(world.storage.partitions["log", 0])
    await eventually(lambda: all(m.replica.shard.next_offset >= end for m in members))
    assert [m.replica.role for m in members].count(Role.LEADING) == 1
    for member in members:
        assert member.replica.shard.state == world.history().state
        assert member.replica.shard.leadership.holder == leader.name
    assert [amount for amount, _ in leader.performed] == [1, 2, 3]
    assert [m.performed for m in members if m is not leader] == [[], []]


async def test_what_came_before_anybody_led_is_decided_in_order(world: World) -> None:
    world.send(*range(1, 1_200))
    world.start("a")
    await world.decided(*range(1, 1_200))
    await eventually(lambda: len(world.received()) == 1_199)
    assert world.received() == [sum(range(1, n + 1)) for n in range(1, 1_200)]


async def test_a_leader_that_crashed_is_followed_within_its_ttl(world: World) -> None:
    world.start("a", "b", "c")
    leader = await world.leader()
    world.send(1, 2)
    await world.told(1, 3)
    await leader.crash()
    crashed_at = now()
    world.send(3)
    await world.leader(leader)
    assert now() - crashed_at <= TTL_S + UNHEARD_S + A_FEW_APPENDS_S
    world.send(4)
    await world.decided(1, 2, 3, 4)
    await world.told(1, 3, 6, 10)
    assert len(world.terms()) == 2


async def test_leader_after_leader_crashes_and_nothing_is_lost_or_doubled(world: World) -> None:
    amounts: list[int] = []
    for turn in range(8):
        world.start(f"m{turn}")
        leader = await world.leader()
        sent = list(range(len(amounts) + 1, len(amounts) + 30))
        amounts += sent
        world.send(*sent)
        await asyncio.sleep(turn / 1000)
        world.start(f"n{turn}")
        await leader.crash()
    world.start("last")
    await world.decided(*amounts)
    await world.told(*(sum(amounts[: n + 1]) for n in range(len(amounts))))


async def test_what_another_shard_sends_twice_is_decided_once_whoever_leads(world: World) -> None:
    (a,) = world.start("a")
    world.send_from_shard(1, Mark(4, 0))
    world.send_from_shard(2, Mark(4, 1))
    world.send_from_shard(1, Mark(4, 0))
    await world.told(1, 3)
    await a.crash()
    world.start("b")
    world.send_from_shard(2, Mark(4, 1))
    world.send_from_shard(3, Mark(5, 0))
    await world.told(1, 3, 6)


async def test_a_leader_that_stops_hands_over_without_waiting(world: World) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    follower = b if leader is a else a
    world.send(1)
    await world.told(1)
    stopped_at = now()
    await leader.stop()
    assert await world.leader(leader) is follower
    assert now() - stopped_at < follower.timing.stagger_ms / 1000 + A_FEW_APPENDS_S
    assert leader.replica.role is Role.STOPPED
    world.send(2)
    await world.told(1, 3)
    assert [v for r, v in world.verdicts() if isinstance(r, Resign)] == [Verdict.ACCEPTED]


async def test_who_resigns_answers_nobody_while_its_resignation_is_on_its_way(
    world: World,
) -> None:
    (a,) = world.start("a")
    await world.leader()
    await a.replica.read()
    unanswered = a.log.fail("log", "unanswered")
    a.replica.stop()
    await unanswered.hit.wait()
    assert isinstance(world.records()[-1], Resign)
    assert not a.leads
    with pytest.raises(NotLeading):
        await a.replica.read()
    unanswered.gate.set()
    await a.task


async def test_who_takes_over_opens_nothing_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    follower = b if leader is a else a
    await eventually(lambda: follower.replica.role is Role.FOLLOWING)
    for way in ("appender", "tail"):
        monkeypatch.setattr(follower.log, way, None)
    await leader.stop()
    world.send(1)
    await world.decided(1)
    assert world.leaders() == [follower]
    monkeypatch.undo()


async def test_a_leader_that_stops_lets_its_effects_out_first(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    held = a.log.fail("out", "held")
    world.send(1, 2)
    await held.hit.wait()
    a.replica.stop()
    await asyncio.sleep(0.2)
    assert not a.task.done()
    held.gate.set()
    await a.task
    assert world.received() == [1, 3]
    assert not world.history().pending


async def test_a_leader_stops_though_its_effects_do_not_go_out(world: World) -> None:
    (a,) = world.start("a", timing={"drain_ms": 100})
    await world.leader()
    held = a.log.fail("out", "held")
    world.send(1)
    await held.hit.wait()
    await a.stop()
    (b,) = world.start("b")
    await world.told(1)
    assert b.leads


async def test_all_stop_at_once(world: World) -> None:
    members = world.start("a", "b", "c")
    await world.leader()
    for member in members:
        member.replica.stop()
    await asyncio.gather(*(member.task for member in members))
    assert [m.replica.role for m in members] == [Role.STOPPED] * 3


async def test_a_replica_stops_before_it_ever_led(world: World) -> None:
    (a,) = world.start("a")
    await a.stop()
    assert a.replica.role is Role.STOPPED
    assert not any(isinstance(r, Claim) for r in world.records())


async def test_an_idle_leader_beats_and_keeps_its_term(world: World) -> None:
    world.start("a", "b", "c")
    await world.leader()
    await asyncio.sleep(20 * TTL_S)
    assert len(world.terms()) == 1
    beats = [r for r in world.records() if isinstance(r, Beat)]
    assert len(beats) == pytest.approx(60, abs=3)


async def test_followers_that_claim_together_do_not_disturb_the_winner(world: World) -> None:
    world.start("a")
    leader = await world.leader()
    world.start("b", "c", "d", timing={"stagger_ms": 0})
    world.send(1)
    await world.told(1)
    await eventually(lambda: len(world.members["d"].replica.shard.state.amounts) == 1)
    await leader.crash()
    world.send(2)
    await world.told(1, 3)
    await asyncio.sleep(TTL_S)
    claims = [v for r, v in world.verdicts() if isinstance(r, Claim)]
    assert claims.count(Verdict.LOST) >= 1
    assert claims.count(Verdict.WON) == 2


async def test_the_preferred_member_takes_over_from_one_that_came_before(world: World) -> None:
    for name in ("a", "b", "c", "d"):
        world.start(name)
        await world.leader()
        await asyncio.sleep(2 * TTL_S)
    settled = len(world.terms())
    assert settled == len({*world.terms()}) > 1
    await asyncio.sleep(10 * TTL_S)
    assert len(world.terms()) == settled
    world.send(1)
    await world.told(1)
    roles = [member.replica.role for member in world.members.values()]
    assert sorted(roles, key=str) == [Role.FOLLOWING] * 3 + [Role.LEADING]
    members = world.members.values()
    await eventually(lambda: all(m.replica.shard.state.amounts == [1] for m in members))


async def test_an_heir_that_never_comes_costs_one_outage_and_not_one_after_another(
    world: World,
) -> None:
    class Absent:
        """Says that another member should lead, which does not run."""

        def silence_ms(self, leadership: object) -> int:
            return 500

        def epoch(self) -> int:
            return 0

        def heir(self, leadership: object) -> str:
            return "absent"

    world.start("a", candidacy=Absent())
    await world.leader()
    await asyncio.sleep(30 * TTL_S)
    assert len(world.terms()) <= 3


async def test_consumption_that_cannot_be_shown_disturbs_nobody(world: World) -> None:
    (a,) = world.start("a", timing={"commit_every_ms": 10})
    await world.leader()
    a.log.commits_fail = True
    world.send(1)
    await world.told(1)
    await asyncio.sleep(1)
    world.send(2)
    await world.told(1, 3)
    assert len(world.terms()) == 1


async def test_roles_are_told_in_order(world: World) -> None:
    (a,) = world.start("a")
    await world.leader()
    await a.stop()
    assert a.roles == [Role.FOLLOWING, Role.LEADING, Role.FOLLOWING, Role.STOPPED]


async def test_local_requests_are_made_by_who_committed_them_only(world: World) -> None:
    a, b = world.start("a", "b")
    leader = await world.leader()
    world.send(1)
    await world.told(1)
    await leader.crash()
    other = await world.leader(leader)
    world.send(2)
    await world.told(1, 3)
    performed = {m.name: [amount for amount, _ in m.performed] for m in (a, b)}
    assert performed == {leader.name: [1], other.name: [2]}
    offsets = [offset for m in (a, b) for _, offset in m.performed]
    entries = [o for o, (r, _) in enumerate(world.verdicts()) if getattr(r, "events", ())]
    assert sorted(offsets) == entries
