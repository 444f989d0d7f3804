"""The election's machine: who leads each team, by session and epoch.

Invariants:

- A team has at most one leader, and it is one of the members; it has none only if no member is a
  candidate.
- Leadership moves only when the leader resigns or its session ends: no policy takes it away, so a
  lease that a leader counts on stays good for as long as it was told.
- A team's epoch is the offset of the entry that elected the leader: it strictly increases, and
  one entry elects at most once per team.
- A session ends only by an event: when no beat of it was recorded for its ttl of log time, or
  when its member leaves. A member whose session ended leads nothing from then on but the teams it
  is still to be removed from, and is never elected.
- No session ends while nobody is heard, unless all were given another ttl lately: a shard that was
  paused, cut off or misled by its clock deposes nobody.
- The orchestrator is told of a team exactly once, at its first member ever.
- No decision grows with the number of teams: what one end of a session changes is worked off in
  bounded pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from folkmoot.core.election.events import (
    EVENTS,
    ElectionReason,
    EndReason,
    LeaderConfirmed,
    LeaderElected,
    MemberJoined,
    MemberRemoved,
    MemberUpdated,
    MemberWithdrew,
    RefusalReason,
    RequestRefused,
    SessionEnded,
    SessionOpened,
    SessionRenewed,
    SessionsExtended,
    SessionTtlChanged,
    SuccessorNamed,
    TeamConfigured,
    TeamFounded,
)
from folkmoot.core.election.folding import fold
from folkmoot.core.election.inputs import Republish
from folkmoot.core.election.limits import (
    BEATS_PER_TTL,
    DEAF_AFTER_BEATS,
    MERCY_EVERY_TTLS,
    RENEWALS_PER_TTL,
    ElectionSettings,
    check_configuration,
    check_join,
)
from folkmoot.core.election.policy import Member, Rules, heir
from folkmoot.core.election.state import ElectionState, Session, Team
from folkmoot.core.kernel import Effect, Led, Position, Refused, Tick
from folkmoot.core.messages import (
    BeatSession,
    ConfigureTeam,
    Join,
    Leader,
    Leave,
    ResignLeadership,
    TeamFormed,
)
from folkmoot.core.names import by_wire_name

INPUTS = by_wire_name(Join, BeatSession, Leave, ResignLeadership, ConfigureTeam)
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
            ConfigureTeam: self._decide_configure,
            Republish: self._decide_republish,
            Tick: self._decide_tick,
            Led: self._decide_led,
        }

    def initial(self) -> ElectionState:
        """Return a shard without teams."""
        return ElectionState()

    def due(self, state: ElectionState) -> int | None:
        """Return when a session expires or a tenure ends; at once if departures are unfinished."""
        for unfinished in state.departures.values():
            return unfinished.ended_at
        times = (state.expiries.earliest(), state.tenures.earliest())
        return min((at for at in times if at is not None), default=None)

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
        check_join(join, self._settings, now)
        if join.member in state.departures:
            return ()
        return (*self._open(state, join, now), *self._enter(state, join))

    def _open(self, state: ElectionState, join: Join, now: int) -> Events:
        session = state.sessions.get(join.member)
        if session is None:
            self._check_room("sessions", len(state.sessions), self._settings.sessions_max)
            return (SessionOpened(join.member, join.node, join.session_ttl_ms, join.beat),)
        if session.node != join.node:
            raise Refused(
                "foreign-member",
                f"{join.member!r} is a member on node {session.node!r}, this is {join.node!r}: "
                "give every process a member name of its own",
            )
        if session.ttl_ms != join.session_ttl_ms:
            return (SessionTtlChanged(join.member, join.session_ttl_ms, join.beat),)
        return self._renew(session, join.beat, now)

    def _enter(self, state: ElectionState, join: Join) -> Events:
        team = state.teams.get(join.team)
        founded = () if team is not None else self._found(state, join.team)
        team = team or Team(join.team)
        self._check_room("agents", _agents_beside(team, join), self._settings.agents_per_team_max)
        if join.member in team.members:
            return self._update(team, join)
        self._check_room("members", len(team.members), self._settings.members_per_team_max)
        joined = MemberJoined(
            join.team, join.member, join.priority, join.agents, join.labels, join.version
        )
        reason: ElectionReason = "first-candidate" if team.members else "first-member"
        return (*founded, joined, _settle(team, team.rules, join, reason))

    def _update(self, team: Team, join: Join) -> Events:
        known = team.members[join.member]
        said = (join.priority, join.agents, join.labels, join.version)
        if (known.priority, known.agents, known.labels, known.version) == said:
            return ()
        updated = MemberUpdated(join.team, join.member, *said)
        return (updated, _settle(team, team.rules, join, "first-candidate"))

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
        if session is None:
            detail = "the session has ended, or never was opened: join again"
            return (RequestRefused("beat", beat.member, "no-session", detail),)
        return self._renew(session, beat.beat, now)

    def _renew(self, session: Session, beat: int, now: int) -> Events:
        if (now - session.beaten_at) * RENEWALS_PER_TTL < session.ttl_ms:
            return ()
        return (SessionRenewed(session.member, beat),)

    def _decide_led(self, state: ElectionState, _led: Led, _now: int) -> Events:
        return (SessionsExtended(),) if state.sessions else ()

    def _decide_tick(self, state: ElectionState, _tick: Tick, now: int) -> Events:
        """Finish with those whose session ended, then end what has expired, then name successors.

        In this order nobody is named who is about to be gone.
        """
        limit = 0 if state.departures else self._settings.expiries_per_tick_max
        silent = state.expiries.due(now, limit)
        if silent and self._is_deaf(state, state.sessions[silent[0]].ttl_ms, now):
            return (SessionsExtended(),)
        return self._end(state, silent, "session-expired") or self._name_successors(state, now)

    def _is_deaf(self, state: ElectionState, ttl_ms: int, now: int) -> bool:
        """Whether the silence may be this shard's own fault: nobody at all has been heard lately.

        It was paused, is cut off from its inbox, or its clock was set forward. Then a dead member
        is not told from a live one, and all of them get another ttl, but not time and again.
        """
        unheard = (now - state.heard_at) * BEATS_PER_TTL >= ttl_ms * DEAF_AFTER_BEATS
        return unheard and now - state.extended_at >= MERCY_EVERY_TTLS * ttl_ms

    def _name_successors(self, state: ElectionState, now: int) -> Events:
        due = state.tenures.due(now, self._settings.events_per_decision_max)
        wanted = {name: state.challenger(state.teams[name]) for name in due}
        return [SuccessorNamed(name, member) for name, member in wanted.items() if member]

    def _decide_leave(self, state: ElectionState, leave: Leave, _now: int) -> Events:
        session = state.sessions.get(leave.member)
        if session is None:
            return ()
        if leave.team and leave.team not in session.teams:
            self._known(state, leave.team)
            return ()
        if leave.team and len(session.teams) > 1:
            team, going = state.teams[leave.team], {leave.member}
            withdrew = MemberWithdrew(leave.team, leave.member)
            return (withdrew, _succeed(team, going, "left", going | state.departures.keys()))
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
        team = self._known(state, resign.team)
        if resign.member != team.leader:
            return (_no(resign, "not-the-leader", f"{team.leader or 'nobody'} leads the team"),)
        if resign.epoch != team.epoch:
            return (_no(resign, "old-epoch", f"it leads in epoch {team.epoch} by now"),)
        successor = _successor(team, resign, {*state.departures, resign.member})
        if successor is None:
            return (_no(resign, "no-successor", "no other member is a candidate: leave instead"),)
        name, reason = successor
        return (LeaderElected(team.name, name, reason, resign.member),)

    def _decide_configure(
        self, state: ElectionState, configure: ConfigureTeam, _now: int
    ) -> Events:
        check_configuration(configure, self._settings)
        team = self._known(state, configure.team)
        fields = (
            configure.policy,
            configure.preferred,
            configure.labels,
            configure.version_min,
            configure.tenure_ms_min,
        )
        rules = Rules(*fields)
        if rules == team.rules:
            return ()
        configured = TeamConfigured(team.name, *fields, configure.actor)
        first = None if team.leader else heir(team.members, rules, state.departures)
        if first is None:
            return (configured, LeaderConfirmed(team.name))
        return (configured, LeaderElected(team.name, first, "first-candidate"))

    def _decide_republish(self, state: ElectionState, again: Republish, _now: int) -> Events:
        return (LeaderConfirmed(again.team),) if again.team in state.teams else ()

    def _known(self, state: ElectionState, name: str) -> Team:
        team = state.teams.get(name)
        if team is None:
            raise Refused(
                "unknown-team",
                f"nobody ever joined a team {name!r} here: check its name, and that the "
                "message's key is the team",
            )
        return team


def _successor(
    team: Team, resign: ResignLeadership, departing: Container[str]
) -> tuple[str, ElectionReason] | None:
    """Return who follows a leader that resigns, and why: whom it names, else whom the rules do."""
    if resign.to in (None, team.successor) and team.successor is not None:
        if _can_lead(team, team.successor, departing):
            return team.successor, "preferred-by-policy"
    elif resign.to is not None and _can_lead(team, resign.to, departing):
        return resign.to, "handed-over"
    following = heir(team.members, team.rules, departing)
    return None if following is None else (following, "resigned")


def _can_lead(team: Team, member: str, departing: Container[str]) -> bool:
    found = team.members.get(member)
    return found is not None and member not in departing and team.rules.admit(found)


def _no(resign: ResignLeadership, reason: RefusalReason, detail: str) -> RequestRefused:
    return RequestRefused("resign", resign.member, reason, detail, resign.team)


def _agents_beside(team: Team, join: Join) -> int:
    """Return how many agents the team will list, less one: the room that `join` needs."""
    others = sum(len(m.agents) for m in team.members.values() if m.name != join.member)
    return others + len(join.agents) - 1


def _settle(
    team: Team, rules: Rules, join: Join, reason: ElectionReason
) -> LeaderElected | LeaderConfirmed:
    """Elect who just joined or changed if the team has no leader and it is a candidate."""
    joined = Member(
        join.member, join.priority, join.agents, 0, 0, join.node, join.labels, join.version
    )
    if team.leader is None and rules.admit(joined):
        return LeaderElected(join.team, join.member, reason)
    return LeaderConfirmed(join.team)


def _vacate(team: Team, departing: Mapping[str, EndReason]) -> Events:
    """Remove the departing from `team`, and elect once if its leader is among them."""
    gone = [name for name in team.members if name in departing]
    removed = [MemberRemoved(team.name, name, departing[name]) for name in gone]
    reason = departing.get(team.leader or "", "left")
    return (*removed, _succeed(team, departing, reason, departing))


def _succeed(
    team: Team, going: Container[str], reason: EndReason, without: Container[str]
) -> LeaderElected | LeaderConfirmed:
    """Elect an heir, not of those in `without`, if the leader is among those who are going."""
    if team.leader is None or team.leader not in going:
        return LeaderConfirmed(team.name)
    successor = heir(team.members, team.rules, without)
    return LeaderElected(team.name, successor, reason, team.leader)
