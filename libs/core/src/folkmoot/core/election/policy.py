"""Who may lead a team, who should, and whether its leader is to be asked to hand over.

A policy never takes leadership away: a lease that somebody counts on stays good. It names a
successor, and the leader hands over when it can. Only a vacancy is filled at once.

| policy | a vacancy goes to | a leader is asked to hand over to |
| --- | --- | --- |
| sticky | who joined first | nobody |
| priority | the highest priority, then who joined first | a candidate of a higher priority |
| preferred | the node named first, then who joined first | one on a node named earlier |

Whatever the policy, a leader that does not meet the team's rules is asked to hand over to one that
does. Among candidates that joined at one moment the higher priority goes first, then the order of
the log, so every reader can tell the heir beforehand.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from folkmoot.core.messages import Policy

VERSION_PARTS_MAX = 4
"""As in 1.2.3.4: more is no version that anybody counts by."""


@dataclass(slots=True)
class Member:
    """A member within one team. `joined_at` and `joined` are log time and offset."""

    name: str
    priority: int
    agents: tuple[str, ...]
    joined_at: int
    joined: int
    node: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a team asks of its leader; see `folkmoot.core.messages.ConfigureTeam`."""

    policy: Policy = "sticky"
    preferred: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    version_min: str = ""
    tenure_ms_min: int = 10_000

    def admit(self, member: Member) -> bool:
        """Whether `member` may lead."""
        fits = all(member.labels.get(name) == value for name, value in self.labels.items())
        return fits and _numbers(member.version) >= _numbers(self.version_min)

    def standing(self, member: Member) -> int:
        """Return how much the policy wants `member` to lead; the lowest number is wanted most."""
        if self.policy == "priority":
            return -member.priority
        if self.policy == "preferred" and member.node in self.preferred:
            return self.preferred.index(member.node)
        return len(self.preferred)

    def rank(self, member: Member) -> tuple[int, int, int, int]:
        """Return where `member` stands in the order of succession; the lowest is next."""
        return (self.standing(member), member.joined_at, -member.priority, member.joined)


def heir(members: dict[str, Member], rules: Rules, without: Container[str]) -> str | None:
    """Return the member that a vacancy goes to, leaving out those in `without`."""
    candidates = [m for m in members.values() if m.name not in without and rules.admit(m)]
    return min(candidates, key=rules.rank).name if candidates else None


def challenger(
    members: dict[str, Member], rules: Rules, leader: str | None, without: Container[str]
) -> str | None:
    """Return who should lead instead of `leader`, leaving out those in `without`; None: nobody."""
    best = heir(members, rules, without)
    if leader is None or best is None or best == leader:
        return None
    if rules.admit(members[leader]) and (
        rules.standing(members[best]) >= rules.standing(members[leader])
    ):
        return None
    return best


def _numbers(version: str) -> tuple[int, ...]:
    """Return a version for comparing: 1.10 is above 1.9, and no version is below all others."""
    parts = [int(part) for part in version.split(".")] if version else []
    return tuple(parts + [0] * (VERSION_PARTS_MAX - len(parts))) if parts else ()
