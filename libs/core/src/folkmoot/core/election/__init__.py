"""The election's machine: teams, sessions, leaders. See README.md beside this file."""

from folkmoot.core.election.events import (
    LeaderConfirmed,
    LeaderElected,
    MemberJoined,
    MemberRemoved,
    MemberUpdated,
    MemberWithdrew,
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
from folkmoot.core.election.inputs import Republish
from folkmoot.core.election.limits import BEATS_PER_TTL, RENEWALS_PER_TTL, ElectionSettings
from folkmoot.core.election.machine import ElectionMachine
from folkmoot.core.election.state import ElectionState, Team, describe, describe_team

__all__ = [
    "BEATS_PER_TTL",
    "RENEWALS_PER_TTL",
    "ElectionMachine",
    "ElectionSettings",
    "ElectionState",
    "LeaderConfirmed",
    "LeaderElected",
    "MemberJoined",
    "MemberRemoved",
    "MemberUpdated",
    "MemberWithdrew",
    "Republish",
    "RequestRefused",
    "SessionEnded",
    "SessionOpened",
    "SessionRenewed",
    "SessionTtlChanged",
    "SessionsExtended",
    "SuccessorNamed",
    "Team",
    "TeamConfigured",
    "TeamFounded",
    "describe",
    "describe_team",
]
