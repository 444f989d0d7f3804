"""The state of an election shard: its teams, and the sessions of their members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from folkmoot.core.deadlines import Deadlines
from folkmoot.core.election.events import EndReason
from folkmoot.core.election.policy import Member, Rules, challenger
from folkmoot.core.messages import Leader


@dataclass(slots=True)
class Team:
    """A team, its members in the order in which they joined."""

    name: str
    members: dict[str, Member] = field(default_factory=dict)
    leader: str | None = None
    epoch: int = 0
    since: int = 0
    reason: str = ""
    changes: int = 0
    rules: Rules = field(default_factory=Rules)
    successor: str | None = None
    revision: int = 0

    def record(self, partition: int) -> Leader:
        """Return what everybody may know of the team."""
        return Leader(
            self.name,
            self.leader,
            self.epoch,
            tuple(self.members),
            self.since,
            self.reason,
            partition,
            self.revision,
            self.successor,
            self.hosts(),
        )

    def hosts(self) -> dict[str, tuple[str, ...]]:
        """Return the members that host each agent."""
        hosts: dict[str, tuple[str, ...]] = {}
        for member in self.members.values():
            for agent in member.agents:
                hosts[agent] = (*hosts.get(agent, ()), member.name)
        return hosts


@dataclass(slots=True)
class Session:
    """A member as far as it is alive. `teams` is a set in the order of joining.

    It lives for its ttl from `renewed_at`, which is later than the last recorded beat, at
    `beaten_at`, if the shard has got a new leader since.
    """

    member: str
    node: str
    ttl_ms: int
    renewed_at: int
    beaten_at: int = 0
    teams: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Departure:
    """A member whose session ended, and the teams it is still to be removed from."""

    member: str
    reason: EndReason
    ended_at: int
    teams: dict[str, None]


@dataclass(slots=True)
class ElectionState:
    """All teams ever founded, all live sessions, and the departures not yet worked off.

    `tenures` says when a successor is to be named: of a team whose rules want another leader.
    `heard_at` is when a beat of anybody was last recorded, `extended_at` when all sessions were
    last given a ttl unheard.
    """

    teams: dict[str, Team] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    departures: dict[str, Departure] = field(default_factory=dict)
    expiries: Deadlines = field(default_factory=Deadlines)
    tenures: Deadlines = field(default_factory=Deadlines)
    heard_at: int = 0
    extended_at: int = 0

    def beat(self, session: Session, at: int) -> None:
        """Record a beat at `at`."""
        session.beaten_at = self.heard_at = at
        self._extend(session, at)

    def extend_all(self, at: int) -> None:
        """Let every session live for its ttl from `at`."""
        self.extended_at = at
        for session in self.sessions.values():
            self._extend(session, at)

    def _extend(self, session: Session, at: int) -> None:
        session.renewed_at = max(session.renewed_at, at)
        self.expiries.set(session.member, session.renewed_at + session.ttl_ms)

    def end(self, member: str, reason: EndReason, at: int) -> None:
        """Close a member's session and note where it is to be removed."""
        session = self.sessions.pop(member)
        self.expiries.drop(member)
        if session.teams:
            self.departures[member] = Departure(member, reason, at, session.teams)

    def remove(self, team: str, member: str) -> None:
        """Work off one team of a departure."""
        del self.teams[team].members[member]
        departure = self.departures[member]
        del departure.teams[team]
        if not departure.teams:
            del self.departures[member]

    def challenger(self, team: Team) -> str | None:
        """Return who should lead `team` by its rules instead of its leader, if anybody."""
        return challenger(team.members, team.rules, team.leader, without=self.departures)

    def reconsider(self, team: Team) -> None:
        """Note when somebody else is to be named for leader, after a change of what decides it.

        Who does not meet the rules is asked at once, others not before the end of their tenure.
        """
        wanted = self.challenger(team)
        if wanted is None:
            team.successor = None
        if wanted == team.successor:
            self.tenures.drop(team.name)
            return
        leader = team.members[team.leader or ""]
        tenure_ms = team.rules.tenure_ms_min if team.rules.admit(leader) else 0
        self.tenures.set(team.name, team.since + tenure_ms)

    def in_departing_order(self) -> Iterator[str]:
        """Yield the teams that somebody is to be removed from, some of them repeatedly."""
        for departure in self.departures.values():
            yield from departure.teams


def describe(state: ElectionState) -> dict[str, object]:
    """Return teams and sessions as JSON values, for queries."""
    return {
        "teams": {name: describe_team(state, team) for name, team in state.teams.items()},
        "sessions": {
            name: {
                "node": session.node,
                "ttl_ms": session.ttl_ms,
                "renewed_at": session.renewed_at,
                "expires_at": state.expiries.get(name),
                "teams": list(session.teams),
            }
            for name, session in state.sessions.items()
        },
    }


def describe_team(state: ElectionState, team: Team) -> dict[str, object]:
    """Return one team and its members as JSON values."""
    return {
        "leader": team.leader,
        "epoch": team.epoch,
        "since": team.since,
        "reason": team.reason,
        "changes": team.changes,
        "successor": team.successor,
        "revision": team.revision,
        "rules": asdict(team.rules),
        "members": [_describe_member(state, team.rules, m) for m in team.members.values()],
    }


def _describe_member(state: ElectionState, rules: Rules, member: Member) -> dict[str, object]:
    session = state.sessions.get(member.name)
    return {
        "member": member.name,
        "node": session.node if session else None,
        "candidate": session is not None and rules.admit(member),
        "priority": member.priority,
        "agents": list(member.agents),
        "labels": dict(member.labels),
        "version": member.version,
        "joined_at": member.joined_at,
    }
