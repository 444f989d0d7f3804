"""How an election's events change its state, and what everybody is told of them.

Every change of a team's leader or members puts the team's record on `folkmoot.leaders`, where it
is the truth, and announces it, which is only faster.
"""

from __future__ import annotations

from collections.abc import Sequence

from folkmoot.core.election.events import (
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
from folkmoot.core.election.state import ElectionState, Member, Session, Team
from folkmoot.core.kernel import Effect, Local, Position, Send
from folkmoot.core.messages import LEADERS, Announce, TeamFormed, inbox

ORCHESTRATOR = inbox("saga-orchestrator")


def fold(
    state: ElectionState, event: object, position: Position, partition: int
) -> Sequence[Effect]:
    """Fold `event` of the shard `partition` into `state` and return its effects."""
    match event:
        case SessionRenewed(member=name):
            state.renew(state.sessions[name], position.at)
        case SessionOpened() | SessionTtlChanged() | SessionsExtended() | SessionEnded():
            _fold_session(state, event, position)
        case MemberJoined() | MemberUpdated() | MemberRemoved():
            _fold_member(state, event, position)
        case TeamFounded(team=name):
            state.teams[name] = Team(name)
            return _tell_orchestrator(event)
        case LeaderElected():
            return _fold_election(state.teams[event.team], event, position, partition)
        case LeaderConfirmed(team=name):
            return _publish(state.teams[name], partition)
    return ()


def _fold_session(
    state: ElectionState,
    event: SessionOpened | SessionTtlChanged | SessionsExtended | SessionEnded,
    position: Position,
) -> None:
    match event:
        case SessionOpened(member=name):
            session = Session(name, event.node, event.ttl_ms, position.at)
            state.sessions[name] = session
            state.renew(session, position.at)
        case SessionTtlChanged(member=name):
            session = state.sessions[name]
            session.ttl_ms = event.ttl_ms
            state.renew(session, position.at)
        case SessionsExtended():
            for session in state.sessions.values():
                state.renew(session, position.at)
        case SessionEnded(member=name):
            state.end(name, event.reason, position.at)


def _fold_member(
    state: ElectionState, event: MemberJoined | MemberUpdated | MemberRemoved, position: Position
) -> None:
    name, members = event.member, state.teams[event.team].members
    match event:
        case MemberJoined(priority=priority, agents=agents):
            members[name] = Member(name, priority, agents, position.at, position.offset)
            state.sessions[name].teams[event.team] = None
        case MemberUpdated():
            members[name].priority, members[name].agents = event.priority, event.agents
        case MemberRemoved():
            state.remove(event.team, name)


def _fold_election(
    team: Team, event: LeaderElected, position: Position, partition: int
) -> Sequence[Effect]:
    team.leader, team.reason = event.leader, event.reason
    team.epoch, team.since = position.offset, position.at
    team.changes += 1
    return _publish(team, partition)


def _publish(team: Team, partition: int) -> Sequence[Effect]:
    record = team.record(partition)
    subject = f"folkmoot.announce.leaders.{team.name}"
    return (Send(LEADERS, record, key=team.name), Local(Announce(subject, record)))


def _tell_orchestrator(event: TeamFounded) -> Sequence[Effect]:
    return tuple(
        Send(ORCHESTRATOR, TeamFormed(event.team), partition=partition)
        for partition in range(event.orchestrator_partitions)
    )
