"""Who claims when: those whom a shard prefers first, and nobody who should not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from folkmoot.core.kernel import COURTESY_MS, Leadership
from folkmoot.runtime.candidacy import (
    ORDERLY_MS,
    Absentees,
    ElectedCandidacy,
    OpenCandidacy,
    Pace,
    rendezvous,
)
from folkmoot.runtime.timing import Timing

TIMING = Timing(ttl_ms=1_000, stagger_ms=50)
SHARD = "log/3"
NAMES = st.lists(st.text("abcdefgh", min_size=1, max_size=4), unique=True, min_size=1, max_size=9)


@given(NAMES, st.text(max_size=6), st.data())
def test_without_a_member_only_its_shards_move(
    members: list[str], shard: str, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(members))
    before = rendezvous(members, shard)
    after = rendezvous([member for member in members if member != gone], shard)
    assert after == [member for member in before if member != gone]


@given(NAMES, st.text(max_size=6), st.data())
def test_the_order_of_members_does_not_matter(
    members: list[str], shard: str, data: st.DataObject
) -> None:
    assert rendezvous(data.draw(st.permutations(members)), shard) == rendezvous(members, shard)


def test_shards_spread_over_members() -> None:
    members = [f"m{n}" for n in range(4)]
    first = [rendezvous(members, f"log/{shard}")[0] for shard in range(400)]
    assert all(60 < first.count(member) < 140 for member in members)


RANKED = rendezvous(["a", "b", "c"], SHARD)
"""The members, by preference."""


def candidacy(member: str) -> OpenCandidacy:
    return OpenCandidacy(member, SHARD, TIMING, lambda: ["a", "b", "c"])


def held_by(holder: str) -> Leadership:
    return Leadership(term=4, holder=holder, last=9)


def resigned_to(heir: str | None) -> Leadership:
    return Leadership(term=4, last=9, heir=heir, resigned_at=100)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_a_members_patience(rank: int) -> None:
    member, other = RANKED[rank], RANKED[rank - 1]
    silence = candidacy(member).silence_ms
    delay = rank * TIMING.stagger_ms
    assert silence(Leadership()) == delay
    assert silence(held_by("unheard")) == TIMING.ttl_ms + delay
    assert silence(held_by(member)) == 0
    assert silence(resigned_to(None)) == delay
    assert silence(resigned_to(member)) == 0
    assert silence(resigned_to(other)) == COURTESY_MS + delay


def test_who_is_not_listed_does_not_claim() -> None:
    stranger = OpenCandidacy("z", SHARD, TIMING, lambda: ["a", "b", "c"])
    lonely = OpenCandidacy("a", SHARD, TIMING, list)
    for leadership in (Leadership(), held_by("a"), resigned_to("z")):
        assert stranger.silence_ms(leadership) is None
        assert lonely.silence_ms(leadership) is None
    assert lonely.heir(held_by("a")) is None


def test_nobody_waits_for_the_holder_who_is_silent() -> None:
    first, second, third = RANKED
    for place, member in enumerate((second, third)):
        silence_ms = candidacy(member).silence_ms(held_by(first))
        assert silence_ms == TIMING.ttl_ms + place * TIMING.stagger_ms


def test_a_shard_goes_to_the_preferred_member_only_when_it_follows() -> None:
    first, second, _ = RANKED
    following: set[str] = set()
    leader = OpenCandidacy(second, SHARD, TIMING, lambda: RANKED, following.__contains__)
    assert leader.heir(held_by(second)) is None
    following.add(first)
    assert leader.heir(held_by(second)) == first


def test_shards_of_a_process_move_one_in_a_ttl() -> None:
    pace = Pace(TIMING.ttl_ms)
    one, other = (OpenCandidacy("a", s, TIMING, lambda: ["a"], pace=pace) for s in ("1", "2"))
    assert one.may_hand_over(0)
    assert not other.may_hand_over(0)
    assert not one.may_hand_over(TIMING.ttl_ms - 1)
    assert other.may_hand_over(TIMING.ttl_ms)
    assert not one.may_hand_over(TIMING.ttl_ms)


def test_a_leader_hands_over_to_the_preferred_unless_busy() -> None:
    first, second, _ = RANKED
    assert candidacy(first).heir(held_by(first)) is None
    leader = candidacy(second)
    assert leader.heir(held_by(second)) == first
    leader.busy = lambda: True
    assert leader.heir(held_by(second)) is None
    assert leader.epoch() == 0


def test_only_the_elected_claims_and_lets_who_led_finish() -> None:
    elected = ElectedCandidacy("a", lambda: ("a", 7))
    other = ElectedCandidacy("b", lambda: ("a", 7))
    newer = Leadership(term=4, holder="b", last=9, epoch=8)
    older = Leadership(term=4, holder="b", last=9, epoch=6)
    vacant = Leadership(term=4, last=9, epoch=6, resigned_at=100)
    assert (elected.silence_ms(older), elected.epoch()) == (ORDERLY_MS, 7)
    assert elected.silence_ms(vacant) == 0
    assert elected.silence_ms(newer) is None
    assert other.silence_ms(older) is None
    assert ElectedCandidacy("a", lambda: (None, 0)).silence_ms(Leadership()) is None


def test_a_leader_hands_over_to_who_was_elected_since() -> None:
    leads = Leadership(term=4, holder="b", last=9, epoch=6)
    assert ElectedCandidacy("b", lambda: ("a", 7)).heir(leads) == "a"
    assert ElectedCandidacy("b", lambda: ("b", 7)).heir(leads) is None
    assert ElectedCandidacy("b", lambda: ("a", 6)).heir(leads) is None
    assert ElectedCandidacy("b", lambda: (None, 7)).heir(leads) is None


def test_who_did_not_come_is_asked_ever_more_rarely() -> None:
    absentees = Absentees(100)
    assert not absentees.excuse("a", 0)
    absentees.note("a", 0)
    assert absentees.excuse("a", 99)
    assert not absentees.excuse("a", 100)
    assert not absentees.excuse("b", 99)
    absentees.note("a", 150)
    assert absentees.excuse("a", 349)
    assert not absentees.excuse("a", 350)
