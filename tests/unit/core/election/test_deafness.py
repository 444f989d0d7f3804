"""A shard that hears nobody doubts itself first: it may have been paused, cut off or misled."""

from __future__ import annotations

import pytest

from folkmoot.core.election import SessionsExtended
from folkmoot.core.kernel import Tick
from folkmoot.core.messages import BeatSession
from tests.unit.core.election.moot import TTL_MS, Moot


def test_who_hears_nobody_at_all_gives_everybody_one_more_ttl() -> None:
    """It may have been paused, or cut off from its inbox: the beats may still be there."""
    moot = Moot()
    moot.join("a")
    moot.join("b")
    assert moot.hear(Tick(), after_ms=TTL_MS) == [SessionsExtended()]
    moot.hear(BeatSession("a"), after_ms=10)
    assert moot.hear(Tick(), after_ms=TTL_MS - 11) == []
    moot.hear(BeatSession("a"))
    moot.hear(Tick(), after_ms=1)
    assert [(r.leader, r.members) for r in moot.records()] == [("a", ("a",))]


def test_nobody_gets_two_ttls_more() -> None:
    moot = Moot()
    moot.join("a")
    assert moot.hear(Tick(), after_ms=TTL_MS) == [SessionsExtended()]
    moot.hear(Tick(), after_ms=TTL_MS)
    assert moot.leader() is None


def test_however_often_all_stall_together_who_is_dead_is_found_out() -> None:
    moot = Moot()
    moot.join("dead")
    moot.join("b")
    for _ in range(4):
        moot.hear(Tick(), after_ms=7 * TTL_MS // 10)
        moot.hear(BeatSession("b"))
    assert list(moot.state.sessions) == ["b"]


def test_one_voice_is_enough_to_know_that_others_are_silent() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    moot.hear(BeatSession("b"), after_ms=TTL_MS // 3 + 1)
    moot.hear(Tick(), after_ms=TTL_MS * 2 // 3 - 1)
    assert moot.leader() == "b"


@pytest.mark.parametrize(("unheard_ms", "leader"), [(66, "b"), (67, "a")])
def test_two_thirds_of_a_ttl_are_not_rounded(unheard_ms: int, leader: str) -> None:
    """Of 100 ms they are more than 66: with that, somebody was heard lately enough."""
    moot = Moot()
    moot.join("a", session_ttl_ms=100)
    moot.join("b", session_ttl_ms=100)
    moot.hear(BeatSession("b"), after_ms=100 - unheard_ms)
    moot.hear(Tick(), after_ms=unheard_ms)
    assert moot.leader() == leader


@pytest.mark.parametrize("age_ms", range(0, TTL_MS // 3 + 1, 50))
@pytest.mark.parametrize("jump_ms", [*range(0, 2 * TTL_MS, 100), 3_600_000])
def test_a_clock_that_is_set_forward_ends_no_session_that_is_in_order(
    age_ms: int, jump_ms: int
) -> None:
    moot = Moot()
    for member in "abc":
        moot.join(member)
    moot.hear(BeatSession("a"), after_ms=TTL_MS // 3)
    moot.hear(BeatSession("b"))
    moot.hear(BeatSession("c"))
    moot.hear(Tick(), after_ms=age_ms)
    moot.hear(Tick(), after_ms=jump_ms)
    assert len(moot.state.sessions) == 3
