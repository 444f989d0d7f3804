"""Any sequence of inputs, against an election that looks at every member each time.

The reference has no sessions that end in pieces, no heap and no events: a list of members per
team and the time at which each was last heard. What it would publish is what must be published.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.core.election import (
    ElectionMachine,
    ElectionSettings,
    ElectionState,
    LeaderElected,
)
from folkmoot.core.kernel import Effect, Entry, Led, Position, Send, Tick
from folkmoot.core.messages import (
    LEADERS,
    BeatSession,
    Join,
    Leader,
    Leave,
    ResignLeadership,
    TeamFormed,
)

MEMBERS = ["a", "b", "c", "d"]
TEAMS = ["news", "sports", "weather"]
TTLS_MS = [100, 300]


@dataclass(frozen=True)
class Seat:
    """A member in a team; seats are ranked by time, then priority, then order of arrival."""

    member: str
    joined_at: int
    priority: int
    order: int

    def rank(self) -> tuple[int, int, int]:
        return self.joined_at, -self.priority, self.order


@dataclass
class Reference:
    """`told` collects the teams of whom something was published for the current input."""

    heard: dict[str, tuple[int, int]] = field(default_factory=dict)
    seats: dict[str, list[Seat]] = field(default_factory=dict)
    leader: dict[str, tuple[str | None, str, int]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    founded: list[str] = field(default_factory=list)
    arrivals: int = 0

    def members(self, team: str) -> list[str]:
        return [seat.member for seat in self.seats[team]]

    def hear(self, member: str, now: int) -> None:
        if member in self.heard:
            heard_at, ttl_ms = self.heard[member]
            if now - heard_at >= ttl_ms / 3:
                self.heard[member] = (now, ttl_ms)

    def join(self, join: Join, now: int) -> None:
        self.hear(join.member, now)
        if self.heard.get(join.member, (0, 0))[1] != join.session_ttl_ms:
            self.heard[join.member] = (now, join.session_ttl_ms)
        if join.team not in self.seats:
            self.seats[join.team] = []
            self.founded.append(join.team)
        seats = self.seats[join.team]
        if join.member in self.members(join.team):
            index = self.members(join.team).index(join.member)
            old = seats[index]
            seats[index] = Seat(old.member, old.joined_at, join.priority, old.order)
            return
        self.arrivals += 1
        seats.append(Seat(join.member, now, join.priority, self.arrivals))
        self.told.add(join.team)
        if len(seats) == 1:
            self.leader[join.team] = (join.member, "first-member", now)

    def end(self, members: Sequence[str], reason: str, now: int) -> None:
        for member in members:
            self.heard.pop(member, None)
        for team, seats in self.seats.items():
            rest = [seat for seat in seats if seat.member not in members]
            if len(rest) < len(seats):
                self.seats[team] = rest
                self.told.add(team)
            if self.leader[team][0] in members:
                heir = min(rest, key=Seat.rank).member if rest else None
                self.leader[team] = (heir, reason, now)

    def tick(self, now: int) -> None:
        silent = [m for m, (heard_at, ttl_ms) in self.heard.items() if now - heard_at >= ttl_ms]
        self.end(silent, "session-expired", now)

    def led(self, now: int) -> None:
        self.heard = {member: (now, ttl_ms) for member, (_, ttl_ms) in self.heard.items()}

    def resign(self, team: str, to: str | None, now: int) -> None:
        others = [s for s in self.seats[team] if s.member != self.leader[team][0]]
        if to in [seat.member for seat in others]:
            self.leader[team] = (to, "handed-over", now)
        elif others:
            self.leader[team] = (min(others, key=Seat.rank).member, "resigned", now)
        if others:
            self.told.add(team)


class Elections(RuleBasedStateMachine):
    """One shard, driven as the kernel drives it; a standby reads the encoded log."""

    def __init__(self) -> None:
        super().__init__()
        self.reference = Reference()
        self.state, self.standby = ElectionState(), ElectionState()
        self.clock = self.at = 1_000
        self.offset = 0
        self.records: dict[str, Leader] = {}
        self.formed: list[str] = []

    @initialize(events_max=st.sampled_from([1, 3, 1_000]), expiries_max=st.sampled_from([1, 500]))
    def configured(self, events_max: int, expiries_max: int) -> None:
        limits = ElectionSettings(
            events_per_decision_max=events_max, expiries_per_tick_max=expiries_max
        )
        self.at_once = expiries_max > 1
        self.machine = ElectionMachine(limits, partition=3)

    # -- driving --------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        self.at = max(self.at, self.clock)
        return self.at

    def decide(self, message: object) -> dict[str, Leader]:
        """Decide an input and all that is then unfinished; the records that were published."""
        published = self.entry(message)
        while self.state.departures:
            published |= self.entry(Tick())
        return published

    def entry(self, message: object) -> dict[str, Leader]:
        before = copy.deepcopy(self.state)
        events = list(self.machine.decide(self.state, message, self.now))
        assert self.state == before, "decide changed the state"
        elected = [event.team for event in events if isinstance(event, LeaderElected)]
        assert len(elected) == len(set(elected)), "elected twice in one entry"
        if not events:
            return {}
        self.offset += 1
        effects = [effect for event in events for effect in self.apply(self.state, event)]
        value, headers = encode_record(Entry(0, self.at, tuple(events)), "source", self.offset)
        record = decode_record(value, headers, self.machine.events)
        assert isinstance(record, Entry)
        for event in record.events:
            self.apply(self.standby, event)
        return self.receive(effects)

    def apply(self, state: ElectionState, event: object) -> Sequence[Effect]:
        return self.machine.apply(state, event, Position(self.offset, self.at))

    def receive(self, effects: Sequence[Effect]) -> dict[str, Leader]:
        sends = [effect for effect in effects if isinstance(effect, Send)]
        self.formed += [s.message.team for s in sends if isinstance(s.message, TeamFormed)]
        records = [s.message for s in sends if isinstance(s.message, Leader)]
        assert {s.topic for s in sends if isinstance(s.message, Leader)} <= {LEADERS}
        assert len({record.team for record in records}) == len(records), "published twice"
        for record in records:
            self.check_epoch(record)
            self.records[record.team] = record
        return {record.team: record for record in records}

    def check_epoch(self, record: Leader) -> None:
        """A new leader comes with a greater epoch, which is the offset; an old one keeps it."""
        before = self.records.get(record.team)
        if before is None or before.leader != record.leader:
            assert before is None or record.epoch > before.epoch
            assert record.epoch == self.offset
        elif record.epoch != before.epoch:
            assert record.epoch == self.offset > before.epoch
        assert record.leader in record.members or (record.leader, record.members) == (None, ())

    def compare(self, published: dict[str, Leader]) -> None:
        assert set(published) == self.reference.told
        for team, record in published.items():
            leader, reason, since = self.reference.leader[team]
            assert (record.leader, record.reason, record.since) == (leader, reason, since)
            assert list(record.members) == self.reference.members(team)
        self.reference.told = set()

    # -- inputs ---------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([0, 1, 10, 33, 34, 99, 100]))
    def time_passes(self, ms: int) -> None:
        self.clock += ms

    @rule(ms=st.integers(1, 200))
    def the_clock_is_set_back(self, ms: int) -> None:
        self.clock -= ms

    @rule(short_by_ms=st.sampled_from([0, 0, 1]))
    def time_passes_to_the_next_expiry(self, short_by_ms: int) -> None:
        due = self.machine.due(self.state)
        if due is not None:
            self.clock = max(self.clock, due - short_by_ms)
        self.tick()

    @rule()
    def tick(self) -> None:
        if self.at_once:
            self.reference.tick(self.now)
            self.compare(self.decide(Tick()))
        else:
            self.tick_by_tick()
        due = self.machine.due(self.state)
        assert due is None or due > self.at

    def tick_by_tick(self) -> None:
        """One session ends per entry: the reference ends them in the same order."""
        now = self.now
        while silent := self.state.expiries.due(now, 1):
            self.reference.end(silent, "session-expired", now)
            self.compare(self.decide(Tick()))
        before = copy.deepcopy(self.reference)
        self.reference.tick(now)
        assert self.reference == before

    @rule(
        member=st.sampled_from(MEMBERS),
        team=st.sampled_from(TEAMS),
        ttl_ms=st.sampled_from([100, 100, 100, 300]),
        priority=st.integers(0, 1),
    )
    def join(self, member: str, team: str, ttl_ms: int, priority: int) -> None:
        join = Join(team, member, "node", ttl_ms, priority)
        self.reference.join(join, self.now)
        self.compare(self.decide(join))

    @rule(members=st.permutations(MEMBERS), team=st.sampled_from(TEAMS))
    def all_join(self, members: list[str], team: str) -> None:
        for priority, member in enumerate(members):
            self.join(member, team, 100, priority % 2)

    @rule(members=st.sets(st.sampled_from(MEMBERS)))
    def beats(self, members: set[str]) -> None:
        for member in sorted(members):
            self.reference.hear(member, self.now)
            self.compare(self.decide(BeatSession(member)))

    @rule(member=st.sampled_from(MEMBERS))
    def leave(self, member: str) -> None:
        if member in self.reference.heard:
            self.reference.end([member], "left", self.now)
        self.compare(self.decide(Leave(member)))

    @rule(team=st.sampled_from(TEAMS), to=st.sampled_from([None, *MEMBERS, "stranger"]))
    def the_leader_resigns(self, team: str, to: str | None) -> None:
        record = self.records.get(team)
        if record is not None and record.leader is not None:
            self.reference.resign(team, to, self.now)
            self.compare(self.decide(ResignLeadership(team, record.leader, record.epoch, to)))

    @rule(team=st.sampled_from(TEAMS), member=st.sampled_from(MEMBERS), older=st.integers(0, 3))
    def somebody_resigns_what_it_does_not_hold(self, team: str, member: str, older: int) -> None:
        record = self.records.get(team)
        if record is not None and (member, older) != (record.leader, 0):
            self.compare(self.decide(ResignLeadership(team, member, record.epoch - older)))

    @rule()
    def another_replica_leads(self) -> None:
        self.reference.led(self.now)
        self.compare(self.decide(Led("other", self.offset)))

    # -- what always holds ----------------------------------------------------------------------

    @invariant()
    def sessions_are_those_that_were_heard(self) -> None:
        sessions = self.state.sessions.values()
        assert {s.member: (s.renewed_at, s.ttl_ms) for s in sessions} == self.reference.heard
        expected = {m: at + ttl_ms for m, (at, ttl_ms) in self.reference.heard.items()}
        assert {m: self.state.expiries.get(m) for m in self.state.expiries} == expected
        assert self.machine.due(self.state) == min(expected.values(), default=None)

    @invariant()
    def a_session_is_in_the_teams_that_list_it(self) -> None:
        for session in self.state.sessions.values():
            listed = {t for t in self.state.teams if session.member in self.state.teams[t].members}
            assert set(session.teams) == listed

    @invariant()
    def the_last_record_says_how_it_is(self) -> None:
        for team in self.state.teams.values():
            assert self.records[team.name] == team.record(3)

    @invariant()
    def teams_are_formed_once(self) -> None:
        assert self.formed == self.reference.founded

    @invariant()
    def a_standby_has_the_same_state(self) -> None:
        assert self.standby == self.state


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
