"""The schedule follows from the seed, and leaves nothing and nobody out."""

from __future__ import annotations

from tests.chaos.schedule import LASTS_S, SERVICES, deck, schedule

LONG_S, EVERY_S = 600.0, 2.0


def test_a_seed_gives_the_same_faults_again_and_another_seed_others() -> None:
    assert schedule(1, LONG_S, 3, EVERY_S) == schedule(1, LONG_S, 3, EVERY_S)
    assert schedule(1, LONG_S, 3, EVERY_S) != schedule(2, LONG_S, 3, EVERY_S)


def test_every_kind_comes_and_hits_leaders_and_standbys_of_every_service() -> None:
    faults = schedule(1, LONG_S, 3, EVERY_S)
    assert {(fault.kind, fault.whom, fault.role) for fault in faults} == set(deck(3))
    assert {fault.kind for fault in faults} == set(LASTS_S)
    for kind in ("kill", "pause"):
        for role in ("leader", "standby"):
            hit = {f.whom for f in faults if (f.kind, f.role) == (kind, role)}
            assert hit == set(SERVICES)


def test_faults_come_in_order_within_the_time_and_last_as_long_as_their_kind() -> None:
    faults = schedule(3, LONG_S, 1, EVERY_S)
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    assert faults[-1].at_s < LONG_S
    assert len(faults) > LONG_S / EVERY_S * 0.8
    for fault in faults:
        shortest, longest = LASTS_S[fault.kind]
        assert shortest <= fault.lasts_s <= longest


def test_the_only_node_is_killed_as_all_nodes() -> None:
    assert {fault.kind for fault in schedule(1, LONG_S, 1, EVERY_S)} == set(LASTS_S) - {"kill-node"}
