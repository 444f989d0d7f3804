"""Whom a team wants as its leader: policies, tenure, labels, versions."""

from __future__ import annotations

from typing import Any

import pytest

from folkmoot.core.election import ElectionSettings, SuccessorNamed
from folkmoot.core.kernel import Led, Refused, Tick
from folkmoot.core.messages import BeatSession, ConfigureTeam, Leave, ResignLeadership
from tests.unit.core.election.moot import Moot

TENURE_MS = 300


def team(*members: tuple[str, dict[str, Any]], **rules: Any) -> Moot:
    """Return a shard with one team of these members, each on its own node, and its rules."""
    moot = Moot()
    for name, fields in members:
        moot.join(name, node=f"n-{name}", **fields)
    moot.hear(ConfigureTeam("news", **({"tenure_ms_min": TENURE_MS} | rules)))
    return moot


def successor(moot: Moot) -> str | None:
    return moot.state.teams["news"].successor


def test_a_higher_priority_is_named_when_the_leaders_tenure_is_over_and_not_before() -> None:
    moot = team(("a", {"priority": 1}), ("b", {"priority": 2}), policy="priority")
    assert moot.machine.due(moot.state) == moot.now + TENURE_MS
    assert moot.hear(Tick(), after_ms=TENURE_MS - 1) == []
    assert moot.hear(Tick(), after_ms=1) == [SuccessorNamed("news", "b")]
    assert moot.leader() == "a"
    assert [(r.leader, r.successor, r.epoch) for r in moot.records()] == [("a", "b", 1)]


def test_a_policy_takes_nothing_from_a_leader_that_does_not_heed_it() -> None:
    moot = team(("a", {"priority": 1}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Tick(), after_ms=TENURE_MS)
    for _ in range(20):
        moot.hear(BeatSession("a"), after_ms=TENURE_MS)
        moot.hear(BeatSession("b"))
        assert moot.hear(Tick()) == []
    assert moot.leader() == "a"


def test_a_leader_that_was_asked_hands_over_without_saying_to_whom() -> None:
    moot = team(("a", {}), ("c", {}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Tick(), after_ms=TENURE_MS)
    moot.hear(ResignLeadership("news", "a", epoch=1))
    assert [(r.leader, r.reason, r.successor) for r in moot.records()] == [
        ("b", "preferred-by-policy", None)
    ]


def test_the_new_leader_is_left_in_peace_for_its_tenure() -> None:
    moot = team(("a", {}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Tick(), after_ms=TENURE_MS)
    moot.hear(ResignLeadership("news", "a", epoch=1))
    moot.join("c", priority=3)
    assert moot.hear(Tick(), after_ms=TENURE_MS - 1) == []
    assert moot.hear(Tick(), after_ms=1) == [SuccessorNamed("news", "c")]


def test_equal_priorities_name_nobody() -> None:
    moot = team(("a", {"priority": 2}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Tick(), after_ms=TENURE_MS)
    assert successor(moot) is None


@pytest.mark.parametrize(
    ("policy", "expected"), [("sticky", "b"), ("priority", "c"), ("preferred", "d")]
)
def test_a_vacancy_goes_to_whom_the_policy_wants(policy: str, expected: str) -> None:
    moot = team(("a", {}), ("b", {}), policy=policy, preferred=("n-z", "n-d"))
    moot.now += 1
    moot.join("c", node="n-c", priority=5)
    moot.join("d", node="n-d")
    moot.hear(Leave("a"))
    assert moot.leader() == expected


def test_the_preferred_node_is_the_one_named_first() -> None:
    moot = team(("a", {}), ("b", {}), ("c", {}), policy="preferred", preferred=("n-c", "n-b"))
    moot.hear(Tick(), after_ms=TENURE_MS)
    assert successor(moot) == "c"
    moot.hear(Leave("c"))
    assert successor(moot) is None
    moot.hear(Tick())
    assert successor(moot) == "b"


def test_who_does_not_meet_the_rules_is_no_candidate() -> None:
    moot = team(
        ("a", {"labels": {"zone": "x", "gpu": "yes"}, "version": "1.10"}),
        ("b", {"labels": {"zone": "x"}, "version": "2"}),
        ("c", {"labels": {"zone": "x", "gpu": "yes"}, "version": "1.9.9"}),
        ("d", {"labels": {"zone": "x", "gpu": "yes"}, "version": "1.10.0"}),
        labels={"gpu": "yes"}, version_min="1.10",
    )  # fmt: skip
    assert moot.refusals(ResignLeadership("news", "b", 1)) == ["not-the-leader"]
    moot.hear(Leave("a"))
    assert moot.leader() == "d"
    assert moot.refusals(ResignLeadership("news", "d", moot.offset - 1)) == ["old-epoch"]
    moot.hear(Leave("d"))
    assert (moot.leader(), list(moot.state.teams["news"].members)) == (None, ["b", "c"])


def test_nobody_hands_over_to_who_is_no_candidate() -> None:
    moot = team(
        ("a", {"version": "2"}), ("b", {}), ("c", {"version": "2"}), version_min="2"
    )  # fmt: skip
    moot.hear(ResignLeadership("news", "a", 1, to="b"))
    assert [(r.leader, r.reason) for r in moot.records()] == [("c", "resigned")]


def test_a_leader_that_meets_the_rules_no_more_is_asked_to_go_at_once() -> None:
    moot = team(("a", {}), ("b", {"version": "2"}), version_min="2", tenure_ms_min=60_000)
    assert moot.leader() == "a"
    assert moot.hear(Tick()) == [SuccessorNamed("news", "b")]


def test_a_team_without_candidates_is_led_as_soon_as_there_is_one() -> None:
    moot = team(("a", {}), version_min="2")
    moot.hear(Leave("a"))
    moot.join("b")
    assert [(r.leader, r.members) for r in moot.records()] == [(None, ("b",))]
    moot.join("b", version="2")
    assert [(r.leader, r.reason) for r in moot.records()] == [("b", "first-candidate")]


def test_new_rules_fill_a_vacancy_that_old_ones_left() -> None:
    moot = team(("a", {}), version_min="2")
    moot.hear(Leave("a"))
    moot.join("b")
    moot.hear(ConfigureTeam("news"))
    assert [(r.leader, r.reason) for r in moot.records()] == [("b", "first-candidate")]


def test_the_same_rules_again_are_no_event() -> None:
    moot = team(("a", {}), policy="priority")
    assert moot.hear(ConfigureTeam("news", "priority", tenure_ms_min=TENURE_MS)) == []


def test_who_is_wanted_no_more_is_named_no_more() -> None:
    moot = team(("a", {}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Tick(), after_ms=TENURE_MS)
    assert successor(moot) == "b"
    moot.join("b", node="n-b", priority=0)
    assert [r.successor for r in moot.records()] == [None]
    assert moot.machine.due(moot.state) == min(
        session.renewed_at + session.ttl_ms for session in moot.state.sessions.values()
    )


def test_the_record_says_who_hosts_which_agent() -> None:
    moot = Moot()
    moot.join("a", agents=("writer",))
    moot.join("b", agents=("writer", "editor"))
    assert moot.records()[0].hosts == {"writer": ("a", "b"), "editor": ("b",)}
    moot.join("a", agents=("editor",))
    assert moot.records()[0].hosts == {"editor": ("a", "b"), "writer": ("b",)}


def test_a_new_leader_of_the_shard_names_whom_its_predecessor_would_have() -> None:
    moot = team(("a", {}), ("b", {"priority": 2}), policy="priority")
    moot.hear(Led("replica", 9), after_ms=TENURE_MS)
    assert moot.hear(Tick()) == [SuccessorNamed("news", "b")]


def test_many_tenures_that_end_together_are_named_in_bounded_entries() -> None:
    moot = Moot(ElectionSettings(events_per_decision_max=2))
    for number in range(5):
        moot.join("a", f"t{number}")
        moot.join("b", f"t{number}", priority=1)
        moot.hear(ConfigureTeam(f"t{number}", "priority", tenure_ms_min=0))
    assert [len(moot.hear(Tick())) for _ in range(4)] == [2, 2, 1, 0]


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        ({"team": "weather"}, "unknown-team"),
        ({"team": "No"}, "invalid-team"),
        ({"preferred": ("a b",)}, "invalid-node"),
        ({"preferred": ("n",) * 65}, "too-many-preferred"),
        ({"labels": {"": "x"}}, "invalid-label"),
        ({"labels": {"x": "-"}}, "invalid-label"),
        ({"labels": {f"l{n}": "x" for n in range(33)}}, "too-many-labels"),
        ({"version_min": "1.2-rc"}, "invalid-version"),
        ({"version_min": "1.2.3.4.5"}, "invalid-version"),
        ({"tenure_ms_min": -1}, "invalid-tenure"),
        ({"tenure_ms_min": 10**9}, "invalid-tenure"),
    ],
)
def test_rules_that_cannot_be_are_refused_with_a_sentence(
    rules: dict[str, Any], reason: str
) -> None:
    moot = team(("a", {}))
    with pytest.raises(Refused) as refused:
        moot.hear(ConfigureTeam(**({"team": "news"} | rules)))
    assert refused.value.reason == reason
    assert ": " in refused.value.detail


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"clock_at": 1_000_000 - 300_001}, "clock-mismatch"),
        ({"clock_at": 1_000_000 + 300_001}, "clock-mismatch"),
        ({"protocol": 2}, "unsupported-protocol"),
        ({"protocol": 0}, "unsupported-protocol"),
        ({"version": "latest"}, "invalid-version"),
        ({"labels": {"zone": "a b"}}, "invalid-label"),
    ],
)
def test_a_member_that_does_not_fit_is_refused_with_a_sentence(
    fields: dict[str, Any], reason: str
) -> None:
    moot = Moot()
    with pytest.raises(Refused) as refused:
        moot.join("a", **fields)
    assert refused.value.reason == reason
    assert moot.state == moot.machine.initial()


@pytest.mark.parametrize("skew_ms", [-300_000, 300_000])
def test_a_clock_may_be_wrong_within_reason(skew_ms: int) -> None:
    moot = Moot()
    moot.join("a", clock_at=moot.now + skew_ms)
    assert moot.leader() == "a"


def test_the_agents_of_a_team_fit_its_record() -> None:
    moot = Moot(ElectionSettings(agents_per_team_max=3))
    moot.join("a", agents=("x", "y"))
    moot.join("b", agents=("x",))
    moot.join("b", agents=("z",))
    with pytest.raises(Refused, match="too-many-agents"):
        moot.join("c", agents=("x",))
    moot.join("c")
    assert moot.state.teams["news"].hosts() == {"x": ("a",), "y": ("a",), "z": ("b",)}
