"""What an election shard decides.

An event's place in the log is part of it: the offset of a `LeaderElected` is the epoch, and its
entry's log time is when it happened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from folkmoot.core.messages import Policy
from folkmoot.core.names import by_wire_name

EndReason = Literal["session-expired", "left"]
ElectionReason = Literal[
    "first-member",
    "first-candidate",
    "session-expired",
    "left",
    "resigned",
    "handed-over",
    "preferred-by-policy",
]
RefusalReason = Literal["no-session", "not-the-leader", "old-epoch", "no-successor"]


@dataclass(frozen=True, slots=True)
class TeamFounded:
    """A team has its first member ever. All partitions of the orchestrator are told."""

    team: str
    orchestrator_partitions: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A member is known from now on, as long as it beats. `beat` is the member's own count."""

    member: str
    node: str
    ttl_ms: int
    beat: int = 0


@dataclass(frozen=True, slots=True)
class SessionRenewed:
    """A member was heard of. Not every beat is recorded, see `RENEWALS_PER_TTL`."""

    member: str
    beat: int = 0


@dataclass(frozen=True, slots=True)
class SessionTtlChanged:
    """A member was heard of and asks for another ttl."""

    member: str
    ttl_ms: int
    beat: int = 0


@dataclass(frozen=True, slots=True)
class SessionsExtended:
    """The shard could not have heard beats, so each session gets a ttl from now.

    It has got a new leader, or has heard nobody at all for a while.
    """


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
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class MemberUpdated:
    """A member of a team says something else of itself than before."""

    team: str
    member: str
    priority: int
    agents: tuple[str, ...]
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """A member whose session ended takes part in the team no more."""

    team: str
    member: str
    reason: EndReason


@dataclass(frozen=True, slots=True)
class MemberWithdrew:
    """A member takes part in the team no more; its session, and its other teams, go on."""

    team: str
    member: str


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
    """The leader and epoch are what they were; something else of the team's record is not."""

    team: str


@dataclass(frozen=True, slots=True)
class TeamConfigured:
    """The team has other rules for its leader; see `folkmoot.core.messages.ConfigureTeam`."""

    team: str
    policy: Policy
    preferred: tuple[str, ...]
    labels: dict[str, str]
    version_min: str
    tenure_ms_min: int
    actor: str = ""


@dataclass(frozen=True, slots=True)
class SuccessorNamed:
    """By the team's rules `successor` should lead; the leader is asked to hand over to it."""

    team: str
    successor: str


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """The answer to a member whose request came too late, or is not its to make.

    Nothing has changed. What is malformed is not answered like this, but becomes a dead letter.
    """

    request: Literal["beat", "resign"]
    member: str
    reason: RefusalReason
    detail: str
    team: str = ""


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
    MemberWithdrew,
    LeaderElected,
    LeaderConfirmed,
    TeamConfigured,
    SuccessorNamed,
    RequestRefused,
)
