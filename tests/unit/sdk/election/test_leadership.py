"""Programs that stand for election in a real election service, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest

from folkmoot.contracts.keys import partition_of
from folkmoot.core.election import LeaderElected, SessionEnded
from folkmoot.core.messages import (
    LEADERS,
    ConfigureTeam,
    Leave,
    ResignLeadership,
    inbox,
    log,
)
from folkmoot.sdk.election.confirming import Ended
from folkmoot.sdk.election.lease import Lease
from folkmoot.sdk.errors import ElectionRefused, LeadershipLost
from folkmoot.testing.eventually import eventually
from tests.unit.sdk.election.town import PARTITIONS, TTL_MS, Program, Town

TTL_S = TTL_MS / 1000


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town()
    await made.start_service()
    yield made
    await made.end()


async def lead(program: Program, team: str = "news", **fields: object) -> Lease:
    async with asyncio.timeout(10):
        return await program.client.team(team, **fields).leadership()  # type: ignore[arg-type]


def stand(program: Program, team: str = "news", **fields: object) -> asyncio.Task[Lease]:
    return asyncio.create_task(lead(program, team, **fields))


async def listed(town: Town, *members: str, team: str = "news") -> None:
    await eventually(lambda: (t := town.leader(team)) is not None and set(t.members) == {*members})


async def test_who_is_alone_leads_and_its_lease_is_good_for_less_than_a_ttl(town: Town) -> None:
    lease = await lead(town.program("a"))
    told = town.leader("news")
    assert told is not None
    assert (lease.team, lease.epoch) == ("news", told.epoch)
    assert 0 < lease.remaining() <= 0.9 * TTL_S
    lease.check()


async def test_a_lease_lasts_as_long_as_its_member_beats(town: Town) -> None:
    lease = await lead(town.program("a"))
    for _ in range(50):
        await asyncio.sleep(TTL_S / 5)
        lease.check()
        assert lease.remaining() > TTL_S / 4
    assert town.events(SessionEnded) == []


async def test_the_next_leads_when_the_body_ends(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    async with a.client.team("news").leadership() as lease:
        waiting = stand(b)
        await listed(town, a.member, b.member)
        assert not waiting.done()
    second = await waiting
    assert second.epoch > lease.epoch
    assert lease.lost.is_set()
    await listed(town, b.member)
    assert [e.reason for _, e in town.events(LeaderElected)] == ["first-member", "left"]


async def test_a_killed_member_is_followed_within_its_ttl_and_half_a_second(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    teams = [f"team-{n}" for n in range(20)]
    leases = [await lead(a, team) for team in teams]
    waiting = [stand(b, team) for team in teams]
    for team in teams:
        await listed(town, a.member, b.member, team=team)
    started = asyncio.get_running_loop().time()
    a.crash()
    after = [await task for task in waiting]
    assert asyncio.get_running_loop().time() - started <= TTL_S + 0.5
    assert all(new.epoch > old.epoch for old, new in zip(leases, after, strict=True))


@pytest.mark.parametrize("phase", range(6))
async def test_the_old_lease_is_over_before_the_new_leader_is_elected(
    town: Town, phase: int
) -> None:
    a, b = town.program("a"), town.program("b")
    old = await lead(a)
    waiting = stand(b)
    await listed(town, a.member, b.member)
    await asyncio.sleep(TTL_S / 3 * phase / 6)
    a.crash()
    await waiting
    (elected_at,) = [at for at, e in town.events(LeaderElected) if e.reason == "session-expired"]
    assert old.until + 1_000_000 < elected_at


async def test_a_lease_counts_from_before_the_beat_was_sent(town: Town) -> None:
    a = town.program("a")
    held = a.log.fail(inbox("election"), "held")
    waiting = stand(a)
    await held.hit.wait()
    sent_by = asyncio.get_running_loop().time() * 1000
    await asyncio.sleep(0.2)
    held.gate.set()
    lease = await waiting
    assert lease.until <= sent_by + 0.9 * TTL_MS


@pytest.mark.parametrize("word", ["left", "resigned"])
async def test_what_the_log_says_is_heard_before_the_record_on_the_topic(
    town: Town, word: str
) -> None:
    """Whoever did it in its name: the lease is over when the log says so."""
    a, b = town.program("a"), town.program("b")
    lease, waiting = await lead(a), stand(b)
    await listed(town, a.member, b.member)
    held = town.services[0][2].fail(LEADERS, "held")
    resign = ResignLeadership("news", a.member, lease.epoch)
    town.send(Leave(a.member) if word == "left" else resign, "news")
    async with asyncio.timeout(0.1):
        await lease.lost
    assert not waiting.done()
    held.gate.set()
    await waiting


async def test_the_end_of_a_session_ends_every_lease_of_its_shard_and_no_other(town: Town) -> None:
    a = town.program("a")
    leases = [await lead(a, f"team-{n}") for n in range(6)]
    a.candidate._hear(Ended(0, leases[0].epoch + 1_000))
    lost = {lease.team for lease in leases if lease.lost.is_set()}
    assert lost == {lease.team for lease in leases if partition_of(lease.team, PARTITIONS) == 0}
    assert 0 < len(lost) < 6


async def test_a_program_cut_off_from_the_log_loses_its_lease_in_time(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    heard: list[str] = []
    lease = await a.client.team("news").leadership(on_lost=heard.append)
    waiting = stand(b)
    await listed(town, a.member, b.member)
    a.log.down = True
    await waiting
    with pytest.raises(LeadershipLost):
        lease.check()
    assert len(heard) == 1
    a.log.down = False


async def test_the_body_is_cancelled_when_the_lease_is_lost(town: Town) -> None:
    a, b = town.program("a"), town.program("b")

    async def work() -> None:
        async with a.client.team("news").leadership():
            stand(b)
            await listed(town, a.member, b.member)
            a.log.down = True
            try:
                while True:  # the watchdog's thread knows nothing of virtual time
                    await asyncio.sleep(1)
            finally:
                a.log.down = False

    working = asyncio.create_task(work())
    with pytest.raises(LeadershipLost, match="is lost"):
        await working
    assert not working.cancelled()


async def test_a_body_that_is_cancelled_from_outside_stays_cancelled(town: Town) -> None:
    a = town.program("a")
    led = asyncio.Event()

    async def work() -> None:
        async with a.client.team("news").leadership():
            led.set()
            await asyncio.sleep(60)

    working = asyncio.create_task(work())
    await led.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await eventually(lambda: (t := town.leader("news")) is not None and t.leader is None)


async def test_who_lost_a_lease_may_stand_again(town: Town) -> None:
    a = town.program("a")
    first = await lead(a)
    a.log.down = True
    await asyncio.sleep(2 * TTL_S)
    with pytest.raises(LeadershipLost):
        first.check()
    a.log.down = False
    second = await lead(a)
    assert second.epoch > first.epoch
    second.check()


async def test_who_gives_up_waiting_leaves_the_team(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    await lead(a)
    waiting = stand(b)
    await listed(town, a.member, b.member)
    waiting.cancel()
    await asyncio.wait([waiting])
    await listed(town, a.member)


async def test_one_session_serves_all_teams_and_outlives_each(town: Town) -> None:
    a = town.program("a")
    leases = [await lead(a, f"team-{n}") for n in range(30)]
    before = len(town.storage.partitions[inbox("election"), 0])
    await asyncio.sleep(3 * TTL_S)
    beats = len(town.storage.partitions[inbox("election"), 0]) - before
    assert beats <= 10
    await a.client.team("team-0").release(leases[0])
    await asyncio.sleep(3 * TTL_S)
    for lease in leases[1:]:
        lease.check()


async def test_leadership_is_handed_to_whom_the_leader_names(town: Town) -> None:
    a, b, c = (town.program(name) for name in "abc")
    lease = await lead(a)
    waiting_b = stand(b)
    await listed(town, a.member, b.member)
    waiting_c = stand(c)
    await listed(town, a.member, b.member, c.member)
    await a.client.team("news").hand_over(lease, to=c.member)
    assert (await waiting_c).epoch > lease.epoch
    assert not waiting_b.done()
    assert lease.lost.reason == "it was handed over"
    await listed(town, b.member, c.member)
    waiting_b.cancel()


async def test_nobody_hands_over_to_a_stranger(town: Town) -> None:
    a = town.program("a")
    lease = await lead(a)
    with pytest.raises(ElectionRefused, match="no-such-member"):
        await a.client.team("news").hand_over(lease, to="stranger")
    lease.check()


async def test_who_is_alone_hands_over_to_nobody_and_is_told(town: Town) -> None:
    a = town.program("a")
    lease = await lead(a)
    with pytest.raises(ElectionRefused, match="no-successor"):
        await a.client.team("news").hand_over(lease)
    with pytest.raises(LeadershipLost):
        lease.check()
    assert (await lead(a)).epoch > lease.epoch


async def test_a_leader_is_asked_to_make_way_and_may_choose_when(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    lease = await lead(a)
    waiting = stand(b, priority=5)
    await listed(town, a.member, b.member)
    town.send(ConfigureTeam("news", "priority", tenure_ms_min=100), "news")
    await eventually(lambda: lease.successor == b.member)
    lease.check()
    await a.client.team("news").hand_over(lease)
    assert (await waiting).epoch > lease.epoch
    told = town.leader("news")
    assert told is not None
    assert told.reason == "preferred-by-policy"


@pytest.mark.parametrize(
    ("team", "fields", "kind"),
    [
        ("No Such Name", {}, "invalid-team"),
        ("news", {"priority": 10**9}, "invalid-priority"),
        ("news", {"version": "latest"}, "invalid-version"),
        ("news", {"labels": {"zone": "a b"}}, "invalid-label"),
    ],
)
async def test_a_candidature_that_cannot_be_is_refused_with_a_sentence(
    town: Town, team: str, fields: dict[str, object], kind: str
) -> None:
    a = town.program("a")
    with pytest.raises(ElectionRefused, match=f"{kind}: .*: ") as refused:
        await lead(a, team, **fields)
    assert refused.value.kind == kind
    assert (await lead(a, "weather")).epoch > 0


async def test_a_clock_that_is_far_off_is_named(town: Town) -> None:
    a = town.program("a")
    a.candidate.membership._clock.skew_ms = 10**7  # type: ignore[attr-defined]
    with pytest.raises(ElectionRefused, match=r"clock-mismatch: .*set the clock of node 'a'"):
        await lead(a)


async def test_one_program_stands_once_in_a_team(town: Town) -> None:
    a = town.program("a")
    await lead(a)
    with pytest.raises(ElectionRefused, match="already-standing"):
        await lead(a)


async def test_a_failover_of_the_election_itself_costs_no_lease(town: Town) -> None:
    a = town.program("a")
    lease = await lead(a)
    await town.start_service("s2")
    await asyncio.sleep(0.5)
    town.services[0][1].cancel()
    for _ in range(40):
        await asyncio.sleep(0.1)
        lease.check()
    assert town.events(SessionEnded) == []


async def test_closing_a_client_says_farewell(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    lease, pending = await lead(a), stand(a, "weather")
    await pending
    waiting = stand(b)
    await listed(town, a.member, b.member)
    started = asyncio.get_running_loop().time()
    await a.client._stop()
    await waiting
    assert asyncio.get_running_loop().time() - started < TTL_S / 2
    assert lease.lost.is_set()


async def test_who_still_waits_when_the_client_is_closed_is_told(town: Town) -> None:
    a, b = town.program("a"), town.program("b")
    await lead(a)
    waiting = stand(b)
    await listed(town, a.member, b.member)
    await b.client._stop()
    with pytest.raises(ElectionRefused, match="closed"):
        await waiting


async def test_observers_see_every_change_in_order(town: Town) -> None:
    a, b, watcher = (town.program(name) for name in "abw")
    seen = []

    async def watch() -> None:
        async for leader in watcher.client.team("news").leaders():
            seen.append(leader)

    watching = asyncio.create_task(watch())
    lease = await lead(a)
    waiting = stand(b)
    await listed(town, a.member, b.member)
    await a.client.team("news").release(lease)
    await waiting
    await eventually(lambda: bool(seen) and seen[-1].leader == b.member)
    assert all(x.revision < y.revision and x.epoch <= y.epoch for x, y in pairwise(seen))
    now = await watcher.client.team("news").leader()
    assert now == seen[-1]
    assert await watcher.client.team("weather").leader() is None
    watching.cancel()


async def test_epochs_are_places_in_the_log(town: Town) -> None:
    a = town.program("a")
    lease = await lead(a)
    stored = town.storage.partitions[log("election"), partition_of("news", PARTITIONS)]
    assert b"leader-elected" in (stored[lease.epoch].value or b"")
