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
    ConfigureTeam,
    Join,
    Leader,
    Leave,
    Policy,
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
    gpu: bool
    version: int

    def rank(self) -> tuple[int, int, int]:
        return self.joined_at, -self.priority, self.order


@dataclass(frozen=True)
class Wish:
    """What a team asks of its leader."""

    policy: str = "sticky"
    preferred: tuple[str, ...] = ()
    gpu: bool = False
    version_min: int = 0
    tenure_ms: int = 10_000

    def fits(self, seat: Seat) -> bool:
        return (seat.gpu or not self.gpu) and seat.version >= self.version_min

    def before(self, one: Seat, other: Seat) -> bool:
        """Whether the policy itself, without regard to who joined first, wants `one` more."""
        if self.policy == "priority":
            return one.priority > other.priority
        places = [node_of(seat.member) for seat in (one, other)]
        first, second = (self.preferred.index(p) if p in self.preferred else 99 for p in places)
        return self.policy == "preferred" and first < second

    def best(self, seats: Sequence[Seat]) -> Seat | None:
        """Return the seat that nothing comes before: looked for by comparing all with all."""
        fitting = sorted((seat for seat in seats if self.fits(seat)), key=Seat.rank)
        for seat in fitting:
            if not any(self.before(other, seat) for other in fitting):
                return seat
        return None


@dataclass
class Reference:
    """`told` collects the teams of whom something was published for the current input."""

    heard: dict[str, tuple[int, int]] = field(default_factory=dict)
    beaten: dict[str, int] = field(default_factory=dict)
    last_beat: int = 0
    last_mercy: int = 0
    seats: dict[str, list[Seat]] = field(default_factory=dict)
    wishes: dict[str, Wish] = field(default_factory=dict)
    leader: dict[str, tuple[str | None, str, int]] = field(default_factory=dict)
    successor: dict[str, str | None] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    founded: list[str] = field(default_factory=list)
    arrivals: int = 0

    def members(self, team: str) -> list[str]:
        return [seat.member for seat in self.seats[team]]

    def elect(self, team: str, leader: str | None, reason: str, now: int) -> None:
        self.leader[team], self.successor[team] = (leader, reason, now), None
        self.told.add(team)

    def hear(self, member: str, now: int) -> None:
        if member in self.heard:
            ttl_ms = self.heard[member][1]
            if now - self.beaten[member] >= ttl_ms / 4:
                self.heard[member] = (now, ttl_ms)
                self.beaten[member] = self.last_beat = now

    def join(self, join: Join, now: int) -> None:
        self.hear(join.member, now)
        if self.heard.get(join.member, (0, 0))[1] != join.session_ttl_ms:
            self.heard[join.member] = (now, join.session_ttl_ms)
            self.beaten[join.member] = self.last_beat = now
        if join.team not in self.seats:
            self.seats[join.team], self.wishes[join.team] = [], Wish()
            self.leader[join.team], self.successor[join.team] = (None, "", 0), None
            self.founded.append(join.team)
        seats = self.seats[join.team]
        reason = "first-candidate" if seats else "first-member"
        said = (bool(join.labels), int(join.version or 0))
        if join.member in self.members(join.team):
            index = self.members(join.team).index(join.member)
            old = seats[index]
            seats[index] = Seat(old.member, old.joined_at, join.priority, old.order, *said)
            if seats[index] != old:
                self.told.add(join.team)
        else:
            self.arrivals += 1
            seats.append(Seat(join.member, now, join.priority, self.arrivals, *said))
            self.told.add(join.team)
        self.fill(join.team, reason, now)

    def fill(self, team: str, reason: str, now: int) -> None:
        best = self.wishes[team].best(self.seats[team])
        if self.leader[team][0] is None and best is not None:
            self.elect(team, best.member, reason, now)
        self.forget(team)

    def configure(self, team: str, wish: Wish, now: int) -> None:
        if wish != self.wishes[team]:
            self.wishes[team] = wish
            self.told.add(team)
            self.fill(team, "first-candidate", now)

    def wanted(self, team: str) -> str | None:
        """Return who should lead instead of the leader."""
        wish = self.wishes[team]
        best = wish.best(self.seats[team])
        leading = [seat for seat in self.seats[team] if seat.member == self.leader[team][0]]
        if best is None or not leading or best == leading[0]:
            return None
        unfit = not wish.fits(leading[0])
        return best.member if unfit or wish.before(best, leading[0]) else None

    def forget(self, team: str) -> None:
        if self.wanted(team) is None or self.successor[team] not in self.members(team):
            self.successor[team] = None

    def name(self, now: int) -> None:
        for team, wish in self.wishes.items():
            wanted = self.wanted(team)
            if wanted is None or wanted == self.successor[team]:
                continue
            (leading,) = (s for s in self.seats[team] if s.member == self.leader[team][0])
            tenure_ms = wish.tenure_ms if wish.fits(leading) else 0
            if now >= self.leader[team][2] + tenure_ms:
                self.successor[team] = wanted
                self.told.add(team)

    def end(self, members: Sequence[str], reason: str, now: int) -> None:
        for member in members:
            self.heard.pop(member, None)
        for team, seats in self.seats.items():
            rest = [seat for seat in seats if seat.member not in members]
            if len(rest) < len(seats):
                self.seats[team] = rest
                self.told.add(team)
            if self.leader[team][0] in members:
                best = self.wishes[team].best(rest)
                self.elect(team, best.member if best else None, reason, now)
            self.forget(team)

    def withdraw(self, member: str, team: str, now: int) -> None:
        self.seats[team] = [seat for seat in self.seats[team] if seat.member != member]
        self.told.add(team)
        if self.leader[team][0] == member:
            best = self.wishes[team].best(self.seats[team])
            self.elect(team, best.member if best else None, "left", now)
        self.forget(team)
        if not any(member in self.members(each) for each in self.seats):
            del self.heard[member]

    def silent(self, now: int) -> list[str]:
        return [m for m, (heard_at, ttl_ms) in self.heard.items() if now - heard_at >= ttl_ms]

    def is_deaf(self, now: int) -> bool:
        """Whether nobody has been heard for two thirds of the ttl of who has been silent longest.

        Then all are spared, but only once in three of its ttls.
        """
        first = min(self.silent(now), key=lambda m: (sum(self.heard[m]), m))
        ttl_ms = self.heard[first][1]
        unheard = 3 * (now - self.last_beat) >= 2 * ttl_ms
        return unheard and now - self.last_mercy >= 3 * ttl_ms

    def led(self, now: int) -> None:
        if self.heard:
            self.last_mercy = now
        self.heard = {member: (now, ttl_ms) for member, (_, ttl_ms) in self.heard.items()}

    def resign(self, team: str, to: str | None, now: int) -> None:
        others = [s for s in self.seats[team] if s.member != self.leader[team][0]]
        fitting = [s.member for s in others if self.wishes[team].fits(s)]
        if to in (None, self.successor[team]) and self.successor[team] in fitting:
            self.elect(team, self.successor[team], "preferred-by-policy", now)
        elif to in fitting:
            self.elect(team, to, "handed-over", now)
        elif (best := self.wishes[team].best(others)) is not None:
            self.elect(team, best.member, "resigned", now)


def node_of(member: str) -> str:
    return f"n-{member}"


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
        assert record.leader is None or record.leader in record.members
        assert record.revision == self.offset

    def compare(self, published: dict[str, Leader]) -> None:
        assert set(published) == self.reference.told
        for team, record in published.items():
            leader, reason, since = self.reference.leader[team]
            assert (record.leader, record.reason, record.since) == (leader, reason, since)
            assert list(record.members) == self.reference.members(team)
            assert record.successor == self.reference.successor[team]
        self.reference.told = set()

    # -- inputs ---------------------------------------------------------------------------------

    @rule(ms=st.sampled_from([0, 1, 10, 24, 25, 99, 100]))
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
        if self.reference.silent(self.now) and self.reference.is_deaf(self.now):
            self.reference.led(self.now)
            self.compare(self.decide(Tick()))
        elif not self.at_once:
            self.tick_by_tick()
        elif silent := self.reference.silent(self.now):
            self.reference.end(silent, "session-expired", self.now)
            self.compare(self.decide(Tick()))
        self.reference.name(self.now)
        published: dict[str, Leader] = {}
        while (due := self.machine.due(self.state)) is not None and due <= self.at:
            named = self.decide(Tick())
            assert named, "a timer is due and nothing comes of it"
            published |= named
        self.compare(published)

    def tick_by_tick(self) -> None:
        """One session ends per entry: the reference ends them in the same order.

        Before each it is asked anew whether anybody is heard, by the ttl of who would be next.
        """
        now = self.now
        while silent := self.state.expiries.due(now, 1):
            if self.reference.is_deaf(now):
                self.reference.led(now)
            else:
                self.reference.end(silent, "session-expired", now)
            self.compare(self.decide(Tick()))
        assert self.reference.silent(now) == []

    @rule(
        member=st.sampled_from(MEMBERS),
        team=st.sampled_from(TEAMS),
        ttl_ms=st.sampled_from([100, 100, 100, 300]),
        priority=st.integers(0, 1),
        gpu=st.booleans(),
        version=st.sampled_from(["", "9", "10"]),
    )
    def join(
        self, member: str, team: str, ttl_ms: int, priority: int, gpu: bool, version: str
    ) -> None:
        labels = {"gpu": "yes"} if gpu else {}
        node = node_of(member)
        join = Join(team, member, node, ttl_ms, priority, (), labels, version)
        self.reference.join(join, self.now)
        self.compare(self.decide(join))

    @rule(
        team=st.sampled_from(TEAMS),
        policy=st.sampled_from(["sticky", "priority", "preferred"]),
        preferred=st.lists(st.sampled_from([*MEMBERS, "z"]), unique=True, max_size=3),
        gpu=st.booleans(),
        version_min=st.sampled_from([0, 0, 10]),
        tenure_ms=st.sampled_from([0, 50, 200]),
    )
    def configure(
        self,
        team: str,
        policy: Policy,
        preferred: list[str],
        gpu: bool,
        version_min: int,
        tenure_ms: int,
    ) -> None:
        if team not in self.reference.seats:
            return
        wish = Wish(policy, tuple(map(node_of, preferred)), gpu, version_min, tenure_ms)
        labels = {"gpu": "yes"} if gpu else {}
        version = str(version_min or "")
        self.reference.configure(team, wish, self.now)
        message = ConfigureTeam(team, policy, wish.preferred, labels, version, tenure_ms)
        self.compare(self.decide(message))

    @rule(members=st.permutations(MEMBERS), team=st.sampled_from(TEAMS))
    def all_join(self, members: list[str], team: str) -> None:
        for priority, member in enumerate(members):
            self.join(member, team, 100, priority % 2, priority > 1, "")

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

    @rule(member=st.sampled_from(MEMBERS), team=st.sampled_from(TEAMS))
    def leave_one_team(self, member: str, team: str) -> None:
        if team not in self.reference.seats:
            return
        if member in self.reference.heard and member in self.reference.members(team):
            self.reference.withdraw(member, team, self.now)
        self.compare(self.decide(Leave(member, team)))

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
        due = [*expected.values(), *filter(None, map(self.state.tenures.get, TEAMS))]
        assert self.machine.due(self.state) == min(due, default=None)

    @invariant()
    def a_leader_is_missing_only_where_nobody_may_lead(self) -> None:
        for team, (leader, _, _) in self.reference.leader.items():
            seats, wish = self.reference.seats[team], self.reference.wishes[team]
            assert (self.state.teams[team].leader is None) == (leader is None)
            assert leader is not None or not any(wish.fits(seat) for seat in seats)

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
