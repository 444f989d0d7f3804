"""The election's machine: who leads each team, by session and epoch.

Invariants:

- A team has at most one leader, and it is one of the members; it has none only if it has no
  members.
- A team's epoch is the offset of the entry that elected the leader: it strictly increases, and
  one entry elects at most once per team.
- A session ends only by an event: when no beat of it was recorded for its ttl of log time, or
  when its member leaves. A member whose session ended leads nothing from then on but the teams it
  is still to be removed from, and is never elected.
- The orchestrator is told of a team exactly once, at its first member ever.
- No decision grows with the number of teams: what one end of a session changes is worked off in
  bounded pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from folkmoot.core.election.events import (
    EVENTS,
    EndReason,
    LeaderConfirmed,
    LeaderElected,
    MemberJoined,
    MemberRemoved,
    MemberUpdated,
    SessionEnded,
    SessionOpened,
    SessionRenewed,
    SessionsExtended,
    SessionTtlChanged,
    TeamFounded,
)
from folkmoot.core.election.folding import fold
from folkmoot.core.election.limits import RENEWALS_PER_TTL, ElectionSettings, check_join
from folkmoot.core.election.policy import heir
from folkmoot.core.election.state import ElectionState, Session, Team
from folkmoot.core.kernel import Effect, Led, Position, Refused, Tick
from folkmoot.core.messages import (
    BeatSession,
    Join,
    Leader,
    Leave,
    ResignLeadership,
    TeamFormed,
)
from folkmoot.core.names import by_wire_name

INPUTS = by_wire_name(Join, BeatSession, Leave, ResignLeadership)
OUTPUTS = by_wire_name(Leader, TeamFormed)

Events = Sequence[object]


class ElectionMachine:
    """The machine of one partition of teams."""

    name = "election"
    inputs: Mapping[str, type] = INPUTS
    events: Mapping[str, type] = EVENTS
    outputs: Mapping[str, type] = OUTPUTS

    def __init__(self, settings: ElectionSettings, partition: int) -> None:
        self._settings = settings
        self._partition = partition
        self._deciders: dict[type, Callable[[ElectionState, Any, int], Events]] = {
            Join: self._decide_join,
            BeatSession: self._decide_beat,
            Leave: self._decide_leave,
            ResignLeadership: self._decide_resign,
            Tick: self._decide_tick,
            Led: self._decide_led,
        }

    def initial(self) -> ElectionState:
        """Return a shard without teams."""
        return ElectionState()

    def due(self, state: ElectionState) -> int | None:
        """Return when the next session expires, or at once if departures are unfinished."""
        unfinished = next(iter(state.departures.values()), None)
        return state.expiries.earliest() if unfinished is None else unfinished.ended_at

    def apply(self, state: ElectionState, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        return fold(state, event, position, self._partition)

    def decide(self, state: ElectionState, message: object, now: int) -> Events:
        """Return what `message` brings about; see `folkmoot.core.kernel.Machine`."""
        decider = self._deciders.get(type(message))
        if decider is None:
            raise Refused("unknown-message", f"an election takes no {type(message).__name__}")
        return decider(state, message, now)

    # -- joining ----------------------------------------------------------------------------

    def _decide_join(self, state: ElectionState, join: Join, now: int) -> Events:
        """A member in the middle of its departure is ignored: no longer listed, it joins again."""
        check_join(join, self._settings)
        if join.member in state.departures:
            return ()
        return (*self._open(state, join, now), *self._enter(state, join))

    def _open(self, state: ElectionState, join: Join, now: int) -> Events:
        session = state.sessions.get(join.member)
        if session is None:
            self._check_room("sessions", len(state.sessions), self._settings.sessions_max)
            return (SessionOpened(join.member, join.node, join.session_ttl_ms),)
        if session.node != join.node:
            raise Refused(
                "foreign-member",
                f"{join.member!r} is a member on node {session.node!r}, this is {join.node!r}: "
                "give every process a member name of its own",
            )
        if session.ttl_ms != join.session_ttl_ms:
            return (SessionTtlChanged(join.member, join.session_ttl_ms),)
        return self._renew(session, now)

    def _enter(self, state: ElectionState, join: Join) -> Events:
        team = state.teams.get(join.team)
        if team is not None and join.member in team.members:
            return self._update(team, join)
        founded = () if team is not None else self._found(state, join.team)
        team = team or Team(join.team)
        self._check_room("members", len(team.members), self._settings.members_per_team_max)
        joined = MemberJoined(join.team, join.member, join.priority, join.agents)
        if team.leader is not None:
            return (*founded, joined, LeaderConfirmed(join.team))
        return (*founded, joined, LeaderElected(join.team, join.member, "first-member"))

    def _update(self, team: Team, join: Join) -> Events:
        known = team.members[join.member]
        if (known.priority, known.agents) == (join.priority, join.agents):
            return ()
        return (MemberUpdated(join.team, join.member, join.priority, join.agents),)

    def _found(self, state: ElectionState, team: str) -> Events:
        self._check_room("teams", len(state.teams), self._settings.teams_max)
        return (TeamFounded(team, self._settings.orchestrator_partitions),)

    def _check_room(self, what: str, count: int, limit: int) -> None:
        if count >= limit:
            raise Refused(
                f"too-many-{what}",
                f"there are {count:,} {what} already, the limit: use those, or raise the limit "
                "and give the service the memory",
            )

    # -- sessions ---------------------------------------------------------------------------

    def _decide_beat(self, state: ElectionState, beat: BeatSession, now: int) -> Events:
        session = state.sessions.get(beat.member)
        return () if session is None else self._renew(session, now)

    def _renew(self, session: Session, now: int) -> Events:
        if (now - session.renewed_at) * RENEWALS_PER_TTL < session.ttl_ms:
            return ()
        return (SessionRenewed(session.member),)

    def _decide_led(self, state: ElectionState, _led: Led, _now: int) -> Events:
        return (SessionsExtended(),) if state.sessions else ()

    def _decide_tick(self, state: ElectionState, _tick: Tick, now: int) -> Events:
        """End what has expired, but first finish with those whose session ended before."""
        limit = 0 if state.departures else self._settings.expiries_per_tick_max
        return self._end(state, state.expiries.due(now, limit), "session-expired")

    def _decide_leave(self, state: ElectionState, leave: Leave, _now: int) -> Events:
        if leave.member not in state.sessions:
            return ()
        return self._end(state, [leave.member], "left")

    # -- changes of leadership --------------------------------------------------------------

    def _end(self, state: ElectionState, members: Sequence[str], reason: EndReason) -> Events:
        """End sessions, and remove from teams as many departing members as one entry takes."""
        events: list[object] = [SessionEnded(member, reason) for member in members]
        departing = {name: departure.reason for name, departure in state.departures.items()}
        departing |= dict.fromkeys(members, reason)
        teams = dict.fromkeys(state.in_departing_order())
        teams |= {team: None for member in members for team in state.sessions[member].teams}
        for team in teams:
            if len(events) >= self._settings.events_per_decision_max:
                break
            events.extend(_vacate(state.teams[team], departing))
        return events

    def _decide_resign(self, state: ElectionState, resign: ResignLeadership, _now: int) -> Events:
        team = state.teams.get(resign.team)
        if team is None:
            raise Refused(
                "unknown-team",
                f"nobody ever joined a team {resign.team!r} here: check its name, and that the "
                "message's key is the team",
            )
        if (resign.member, resign.epoch) != (team.leader, team.epoch):
            return ()
        departing = {*state.departures, resign.member}
        if resign.to in team.members and resign.to not in departing:
            return (LeaderElected(team.name, resign.to, "handed-over", resign.member),)
        successor = heir(team, without=departing)
        if successor is None:
            return ()
        return (LeaderElected(team.name, successor, "resigned", resign.member),)


def _vacate(team: Team, departing: Mapping[str, EndReason]) -> Events:
    """Remove the departing from `team`, and elect once if its leader is among them."""
    gone = [name for name in team.members if name in departing]
    removed = [MemberRemoved(team.name, name, departing[name]) for name in gone]
    if team.leader is None or team.leader not in departing:
        return (*removed, LeaderConfirmed(team.name))
    successor = heir(team, without=departing)
    reason = departing[team.leader]
    return (*removed, LeaderElected(team.name, successor, reason, team.leader))
