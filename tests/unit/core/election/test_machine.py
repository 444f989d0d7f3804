"""What an election shard says to each message, one behaviour at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from folkmoot.core.election import (
    ElectionMachine,
    ElectionSettings,
    LeaderElected,
    SessionRenewed,
    describe,
)
from folkmoot.core.kernel import Led, Local, Refused, Send, Tick
from folkmoot.core.messages import (
    LEADERS,
    Announce,
    BeatSession,
    Call,
    Join,
    Leader,
    Leave,
    ResignLeadership,
    TeamFormed,
)
from tests.unit.core.election.moot import START, TTL_MS, Moot, record


def test_the_first_member_founds_the_team_and_leads_it() -> None:
    moot = Moot(ElectionSettings(orchestrator_partitions=2))
    moot.join("a")
    (told,) = moot.records()
    assert told == record("a", 1, "first-member", "a")
    others = [e for e in moot.effects if isinstance(e, Send) and e.topic != LEADERS]
    assert others == [
        Send("folkmoot.saga-orchestrator.inbox", TeamFormed("news"), partition=partition)
        for partition in (0, 1)
    ]
    assert Local(Announce("folkmoot.announce.leaders.news", told)) in moot.effects


def test_a_second_member_is_listed_and_the_epoch_stays() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    assert moot.records() == [record("a", 1, "first-member", "a", "b", revision=2)]
    assert len(moot.effects) == 2


def test_joining_again_changes_nothing() -> None:
    moot = Moot()
    moot.join("a")
    assert moot.join("a") == []


def test_other_agents_or_another_priority_are_taken_over() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("a", agents=("writer",), priority=7)
    (member,) = moot.state.teams["news"].members.values()
    assert (member.agents, member.priority) == (("writer",), 7)
    assert moot.leader() == "a"


def test_a_silent_leader_is_replaced_when_its_ttl_is_over_and_not_before() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    moot.hear(BeatSession("b"), after_ms=TTL_MS // 2)
    assert moot.machine.due(moot.state) == START + TTL_MS
    assert moot.hear(Tick(), after_ms=TTL_MS // 2 - 1) == []
    moot.hear(Tick(), after_ms=1)
    assert moot.records() == [record("b", 4, "session-expired", "b", since=START + TTL_MS)]


def test_a_beat_that_comes_too_late_finds_no_session() -> None:
    moot = Moot()
    moot.join("a")
    moot.wait(TTL_MS)
    assert moot.refusals(BeatSession("a")) == ["no-session"]
    assert moot.leader() is None
    moot.join("a")
    assert moot.records()[0].leader == "a"


def test_a_beat_is_recorded_once_per_quarter_of_a_ttl() -> None:
    moot = Moot()
    moot.join("a")
    assert moot.hear(BeatSession("a"), after_ms=TTL_MS // 4 - 1) == []
    assert moot.hear(BeatSession("a"), after_ms=1) == [SessionRenewed("a")]
    assert moot.hear(BeatSession("a")) == []


def test_a_beat_serves_all_teams_of_the_member() -> None:
    moot = Moot()
    moot.join("a", "news")
    moot.join("a", "weather")
    moot.hear(BeatSession("a"), after_ms=TTL_MS - 1)
    assert moot.wait(TTL_MS - 1) == []
    moot.wait(1)
    assert [(r.team, r.leader) for r in moot.records()] == [("news", None), ("weather", None)]


def test_the_last_to_leave_leaves_the_team_without_a_leader_but_known() -> None:
    moot = Moot()
    moot.join("a")
    moot.hear(Leave("a"))
    assert moot.records() == [record(None, 2, "left")]
    moot.join("b")
    assert moot.records()[0].reason == "first-member"
    assert not [e for e in moot.effects if isinstance(e, Send) and e.topic != LEADERS]


def test_a_member_that_leaves_without_leading_is_only_unlisted() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    moot.hear(Leave("b"))
    assert moot.records() == [record("a", 1, "first-member", "a", revision=3)]


def test_all_who_expire_at_once_are_gone_before_one_leader_is_elected() -> None:
    moot = Moot()
    for member in "abc":
        moot.join(member)
    moot.hear(BeatSession("c"), after_ms=TTL_MS // 2)
    events = moot.hear(Tick(), after_ms=TTL_MS // 2)
    assert [e for e in events if isinstance(e, LeaderElected)] == [
        LeaderElected("news", "c", "session-expired", "a")
    ]
    assert [r.members for r in moot.records()] == [("c",)]


@pytest.mark.parametrize(
    ("joining", "expected"),
    [
        ([("b", 0, 0), ("c", 1, 9)], "b"),
        ([("b", 0, 0), ("c", 0, 1)], "c"),
        ([("b", 0, 1), ("c", 0, 1)], "b"),
    ],
    ids=["earliest", "priority-at-a-tie", "order-at-a-second-tie"],
)
def test_a_vacancy_goes_to(joining: list[tuple[str, int, int]], expected: str) -> None:
    moot = Moot()
    moot.join("a")
    for member, after_ms, priority in joining:
        moot.now += after_ms
        moot.join(member, priority=priority)
    moot.hear(Leave("a"))
    assert moot.leader() == expected


def test_a_leader_hands_over_to_whom_it_names() -> None:
    moot = Moot()
    for member in "abc":
        moot.join(member)
    moot.hear(ResignLeadership("news", "a", epoch=1, to="c"))
    assert moot.records() == [record("c", 4, "handed-over", "a", "b", "c")]


@pytest.mark.parametrize("to", [None, "stranger"])
def test_a_leader_that_resigns_is_followed_by_another(to: str | None) -> None:
    moot = Moot()
    for member in "abc":
        moot.join(member)
    moot.hear(ResignLeadership("news", "a", epoch=1, to=to))
    assert [(r.leader, r.reason) for r in moot.records()] == [("b", "resigned")]


@pytest.mark.parametrize(
    ("member", "epoch", "reason"),
    [
        ("a", 0, "old-epoch"),
        ("a", 2, "old-epoch"),
        ("b", 1, "not-the-leader"),
        ("stranger", 1, "not-the-leader"),
    ],
)
def test_a_resignation_that_is_not_the_leaders_own_changes_nothing(
    member: str, epoch: int, reason: str
) -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    assert moot.refusals(ResignLeadership("news", member, epoch)) == [reason]


def test_who_is_alone_cannot_resign() -> None:
    moot = Moot()
    moot.join("a")
    assert moot.refusals(ResignLeadership("news", "a", epoch=1)) == ["no-successor"]
    assert moot.refusals(ResignLeadership("news", "a", epoch=1, to="a")) == ["no-successor"]


def test_a_new_leader_of_the_shard_gives_every_session_a_ttl() -> None:
    moot = Moot()
    moot.join("a")
    moot.hear(Led("replica", 9), after_ms=10 * TTL_MS)
    assert moot.hear(Tick(), after_ms=TTL_MS - 1) == []
    assert moot.leader() == "a"
    moot.hear(Tick(), after_ms=1)
    assert moot.leader() is None


def test_a_new_leader_of_the_shard_records_the_next_beat_however_soon_it_comes() -> None:
    """A member counts from its own beats: the ttl that it was given tells it nothing."""
    moot = Moot()
    moot.join("a")
    moot.hear(Led("replica", 9), after_ms=TTL_MS // 2)
    assert moot.hear(BeatSession("a", 7)) == [SessionRenewed("a", 7)]


def test_a_new_leader_of_an_empty_shard_records_nothing() -> None:
    assert Moot().hear(Led("replica", 9)) == []


def test_another_ttl_replaces_the_first() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("a", "weather", session_ttl_ms=2 * TTL_MS)
    assert moot.machine.due(moot.state) == START + 2 * TTL_MS


def test_leaving_twice_is_leaving_once() -> None:
    moot = Moot()
    moot.join("a")
    moot.hear(Leave("a"))
    assert moot.hear(Leave("a")) == []
    assert moot.machine.due(moot.state) is None


def test_leaving_one_team_leaves_the_others_as_they_are() -> None:
    moot = Moot()
    for team in ("news", "weather"):
        moot.join("a", team)
        moot.join("b", team)
    moot.hear(Leave("a", "news"))
    assert [(r.team, r.leader, r.reason, r.members) for r in moot.records()] == [
        ("news", "b", "left", ("b",))
    ]
    assert moot.leader("weather") == "a"
    assert list(moot.state.sessions["a"].teams) == ["weather"]
    moot.hear(BeatSession("a"), after_ms=TTL_MS - 1)
    moot.hear(BeatSession("b"))
    assert moot.hear(Tick(), after_ms=1) == []


def test_who_leaves_a_team_without_leading_it_is_only_unlisted() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    moot.join("b", "weather")
    moot.hear(Leave("b", "news"))
    assert moot.records() == [record("a", 1, "first-member", "a", revision=4)]


def test_leaving_the_last_team_ends_the_session() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b")
    moot.hear(Leave("a", "news"))
    assert (list(moot.state.sessions), moot.leader()) == (["b"], "b")


def test_leaving_a_team_that_one_is_not_in_changes_nothing() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b", "weather")
    assert moot.hear(Leave("a", "weather")) == []
    with pytest.raises(Refused, match="unknown-team"):
        moot.hear(Leave("a", "sports"))


LIMITED = ElectionSettings(
    teams_max=2, members_per_team_max=2, sessions_max=3, agents_per_member_max=1
)


@pytest.mark.parametrize(
    ("join", "reason"),
    [
        (Join("News", "m", "n", TTL_MS), "invalid-team"),
        (Join("-news", "m", "n", TTL_MS), "invalid-team"),
        (Join("news.sports", "m", "n", TTL_MS), "invalid-team"),
        (Join("n" * 64, "m", "n", TTL_MS), "invalid-team"),
        (Join("news\n", "m", "n", TTL_MS), "invalid-team"),
        (Join("news", "", "n", TTL_MS), "invalid-member"),
        (Join("news", "m m", "n", TTL_MS), "invalid-member"),
        (Join("news", "m" * 129, "n", TTL_MS), "invalid-member"),
        (Join("news", "m", "", TTL_MS), "invalid-node"),
        (Join("news", "m", "n", 99), "invalid-ttl"),
        (Join("news", "m", "n", 600_001), "invalid-ttl"),
        (Join("news", "m", "n", TTL_MS, priority=10**7), "invalid-priority"),
        (Join("news", "m", "n", TTL_MS, agents=("Writer",)), "invalid-agent"),
        (Join("news", "m", "n", TTL_MS, agents=("a", "b")), "too-many-agents"),
        (Join("news", "a", "elsewhere", TTL_MS), "foreign-member"),
        (Join("news", "m", "n", TTL_MS), "too-many-members"),
        (Join("third", "a", "node", TTL_MS), "too-many-teams"),
    ],
)
def test_a_join_that_cannot_be_is_refused_with_a_sentence(join: Join, reason: str) -> None:
    moot = Moot(LIMITED)
    moot.join("a")
    moot.join("b")
    moot.join("a", "weather")
    before = describe(moot.state)
    with pytest.raises(Refused) as refused:
        moot.hear(join)
    assert refused.value.reason == reason
    assert ":" in refused.value.detail
    assert describe(moot.state) == before


def test_there_is_a_limit_to_sessions() -> None:
    moot = Moot(replace(LIMITED, sessions_max=1))
    moot.join("a")
    with pytest.raises(Refused, match="too-many-sessions"):
        moot.join("b")


def test_names_at_their_limits_are_taken() -> None:
    moot = Moot()
    moot.join("m" * 128, "n" * 63, session_ttl_ms=100)
    moot.join("host.example-1_x", "0", session_ttl_ms=600_000)
    assert set(moot.state.teams) == {"n" * 63, "0"}


def test_resigning_from_an_unknown_team_is_refused() -> None:
    with pytest.raises(Refused, match="unknown-team: nobody ever joined"):
        Moot().hear(ResignLeadership("news", "a", epoch=1))


def test_an_unknown_message_is_refused() -> None:
    with pytest.raises(Refused, match="unknown-message: an election takes no Leader"):
        Moot().hear(Leader("news", None, 0, (), 0, ""))
    assert Call not in ElectionMachine.inputs.values()


@pytest.mark.parametrize(
    "fields",
    [{"teams_max": 0}, {"orchestrator_partitions": 0}, {"session_ttl_ms_min": 700_000}],
)
def test_settings_that_contradict_themselves_are_errors(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        ElectionSettings(**fields)


def test_the_description_says_who_leads_since_when_and_why() -> None:
    moot = Moot()
    moot.join("a")
    moot.join("b", priority=2, agents=("writer",), labels={"zone": "a"}, version="1.2")
    moot.hear(Leave("a"), after_ms=5)
    assert describe(moot.state) == {
        "teams": {
            "news": {
                "leader": "b",
                "epoch": 3,
                "since": START + 5,
                "reason": "left",
                "changes": 2,
                "successor": None,
                "revision": 3,
                "rules": {"policy": "sticky", "preferred": (), "labels": {}, "version_min": "",
                          "tenure_ms_min": 10_000},
                "members": [
                    {"member": "b", "node": "node", "candidate": True, "priority": 2,
                     "agents": ["writer"], "labels": {"zone": "a"}, "version": "1.2",
                     "joined_at": START}
                ],
            }
        },
        "sessions": {
            "b": {"node": "node", "ttl_ms": TTL_MS, "renewed_at": START,
                  "expires_at": START + TTL_MS, "teams": ["news"]}
        },
    }  # fmt: skip


# -- departures from many teams ---------------------------------------------------------------


def crowded(teams: int, events_max: int) -> Moot:
    moot = Moot(ElectionSettings(events_per_decision_max=events_max))
    for number in range(teams):
        moot.join("a", f"t{number}")
        moot.join("b", f"t{number}")
    return moot


def settle(moot: Moot) -> list[int]:
    """Tick until nothing is due; the number of events of each entry."""
    sizes = []
    while (due := moot.machine.due(moot.state)) is not None and due <= moot.now:
        sizes.append(len(moot.hear(Tick())))
        assert sizes[-1] > 0
    return sizes


def test_leaving_many_teams_is_worked_off_in_bounded_entries() -> None:
    moot = crowded(teams=10, events_max=6)
    sizes = [len(moot.hear(Leave("a"))), *settle(moot)]
    assert max(sizes) <= 7
    assert sum(sizes) == 1 + 2 * 10
    assert {team.leader for team in moot.state.teams.values()} == {"b"}


def test_who_is_departing_is_elected_nowhere() -> None:
    moot = crowded(teams=10, events_max=6)
    moot.hear(Leave("a"))
    events = moot.hear(Leave("b"))
    assert [e.leader for e in events if isinstance(e, LeaderElected)] == [None, None]
    settle(moot)
    assert {team.leader for team in moot.state.teams.values()} == {None}
    assert moot.state.departures == {}


def test_a_leader_may_not_hand_over_to_one_who_is_departing() -> None:
    moot = crowded(teams=10, events_max=6)
    moot.hear(Leave("b"))
    epoch = moot.state.teams["t9"].epoch
    assert moot.refusals(ResignLeadership("t9", "a", epoch, to="b")) == ["no-successor"]


def test_who_is_departing_joins_again_only_after_that() -> None:
    moot = crowded(teams=10, events_max=6)
    moot.hear(Leave("a"))
    assert moot.join("a", "t9") == []
    settle(moot)
    moot.join("a", "t9")
    assert [(r.leader, r.members) for r in moot.records()] == [("b", ("b", "a"))]


def test_many_sessions_that_expire_together_end_in_bounded_entries() -> None:
    moot = Moot(ElectionSettings(expiries_per_tick_max=2))
    for number in range(5):
        moot.join(f"m{number}")
    moot.now += TTL_MS
    moot.join("witness", "elsewhere")
    assert settle(moot) == [5, 5, 3]
    assert moot.leader() is None
