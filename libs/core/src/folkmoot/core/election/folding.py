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
    MemberWithdrew,
    SessionEnded,
    SessionOpened,
    SessionRenewed,
    SessionsExtended,
    SessionTtlChanged,
    SuccessorNamed,
    TeamConfigured,
    TeamFounded,
)
from folkmoot.core.election.policy import Member, Rules
from folkmoot.core.election.state import ElectionState, Session, Team
from folkmoot.core.kernel import Effect, Local, Position, Send
from folkmoot.core.messages import LEADERS, Announce, TeamFormed, inbox

ORCHESTRATOR = inbox("saga-orchestrator")


def fold(
    state: ElectionState, event: object, position: Position, partition: int
) -> Sequence[Effect]:
    """Fold `event` of the shard `partition` into `state` and return its effects."""
    match event:
        case SessionRenewed(member=name):
            state.beat(state.sessions[name], position.at)
        case SessionOpened() | SessionTtlChanged() | SessionsExtended() | SessionEnded():
            _fold_session(state, event, position)
        case MemberJoined() | MemberUpdated() | MemberRemoved() | MemberWithdrew():
            _fold_member(state, event, position)
        case TeamFounded(team=name):
            state.teams[name] = Team(name)
            return _tell_orchestrator(event)
        case TeamConfigured():
            _fold_rules(state, event)
        case LeaderElected():
            return _fold_election(state, event, position, partition)
        case SuccessorNamed(team=name):
            state.teams[name].successor = event.successor
            state.tenures.drop(name)
            return _publish(state.teams[name], position, partition)
        case LeaderConfirmed(team=name):
            return _publish(state.teams[name], position, partition)
    return ()  # RequestRefused is an answer and changes nothing


def _fold_session(
    state: ElectionState,
    event: SessionOpened | SessionTtlChanged | SessionsExtended | SessionEnded,
    position: Position,
) -> None:
    match event:
        case SessionOpened(member=name):
            session = Session(name, event.node, event.ttl_ms, position.at)
            state.sessions[name] = session
            state.beat(session, position.at)
        case SessionTtlChanged(member=name):
            session = state.sessions[name]
            session.ttl_ms = event.ttl_ms
            state.beat(session, position.at)
        case SessionsExtended():
            state.extend_all(position.at)
        case SessionEnded(member=name):
            state.end(name, event.reason, position.at)


def _fold_member(
    state: ElectionState,
    event: MemberJoined | MemberUpdated | MemberRemoved | MemberWithdrew,
    position: Position,
) -> None:
    name, team = event.member, state.teams[event.team]
    match event:
        case MemberJoined():
            team.members[name] = _joined(state.sessions[name], event, position)
            state.sessions[name].teams[event.team] = None
        case MemberUpdated():
            member = team.members[name]
            member.priority, member.agents = event.priority, event.agents
            member.labels, member.version = event.labels, event.version
        case MemberRemoved():
            state.remove(event.team, name)
        case MemberWithdrew():
            del team.members[name], state.sessions[name].teams[event.team]
    if team.successor not in team.members:
        team.successor = None
    if team.leader in team.members:
        state.reconsider(team)


def _joined(session: Session, event: MemberJoined, position: Position) -> Member:
    return Member(
        event.member,
        event.priority,
        event.agents,
        position.at,
        position.offset,
        session.node,
        event.labels,
        event.version,
    )


def _fold_rules(state: ElectionState, event: TeamConfigured) -> None:
    team = state.teams[event.team]
    team.rules = Rules(
        event.policy, event.preferred, event.labels, event.version_min, event.tenure_ms_min
    )
    if team.leader in team.members:
        state.reconsider(team)


def _fold_election(
    state: ElectionState, event: LeaderElected, position: Position, partition: int
) -> Sequence[Effect]:
    team = state.teams[event.team]
    team.leader, team.reason = event.leader, event.reason
    team.epoch, team.since = position.offset, position.at
    team.changes += 1
    team.successor = None
    state.reconsider(team)
    return _publish(team, position, partition)


def _publish(team: Team, position: Position, partition: int) -> Sequence[Effect]:
    team.revision = position.offset
    record = team.record(partition)
    subject = f"folkmoot.announce.leaders.{team.name}"
    return (Send(LEADERS, record, key=team.name), Local(Announce(subject, record)))


def _tell_orchestrator(event: TeamFounded) -> Sequence[Effect]:
    return tuple(
        Send(ORCHESTRATOR, TeamFormed(event.team), partition=partition)
        for partition in range(event.orchestrator_partitions)
    )
