"""What an election shard decides.

An event's place in the log is part of it: the offset of a `LeaderElected` is the epoch, and its
entry's log time is when it happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from folkmoot.core.names import by_wire_name

EndReason = Literal["session-expired", "left"]
ElectionReason = Literal["first-member", "session-expired", "left", "resigned", "handed-over"]


@dataclass(frozen=True, slots=True)
class TeamFounded:
    """A team has its first member ever. All partitions of the orchestrator are told."""

    team: str
    orchestrator_partitions: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A member is known from now on, as long as it beats."""

    member: str
    node: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class SessionRenewed:
    """A member was heard of. Not every beat is recorded, see `RENEWALS_PER_TTL`."""

    member: str


@dataclass(frozen=True, slots=True)
class SessionTtlChanged:
    """A member was heard of and asks for another ttl."""

    member: str
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class SessionsExtended:
    """A new leader of the shard could not have heard beats: each session gets a ttl from now."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A member is known no more. `MemberRemoved` follows for each of its teams."""

    member: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class MemberJoined:
    """A member takes part in a team."""

    team: str
    member: str
    priority: int
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberUpdated:
    """A member of a team has another priority or other agents than before."""

    team: str
    member: str
    priority: int
    agents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member whose session ended takes part in the team no more."""

    team: str
    member: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class LeaderElected:
    """`leader` leads the team from here on, in the epoch that is this event's offset.

    None: nobody is left to lead.
    """

    team: str
    leader: str | None
    reason: ElectionReason
    previous: str | None = None


@dataclass(frozen=True, slots=True)
class LeaderConfirmed:
    """The team has other members than before, and the leader and epoch that it had."""

    team: str


EVENTS = by_wire_name(
    TeamFounded,
    SessionOpened,
    SessionRenewed,
    SessionTtlChanged,
    SessionsExtended,
    SessionEnded,
    MemberJoined,
    MemberUpdated,
    MemberRemoved,
    LeaderElected,
    LeaderConfirmed,
)
