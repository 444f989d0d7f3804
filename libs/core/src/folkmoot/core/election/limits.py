"""What a member may ask for. All of it is checked before anything is decided."""

from __future__ import annotations

import re
from dataclasses import dataclass

from folkmoot.core.kernel import Refused
from folkmoot.core.messages import Join

RENEWALS_PER_TTL = 3
"""A beat is recorded if a ttl divided by this has passed since the last recorded one. So a
session costs at most this many log records per ttl however often it beats, ends at most a ttl
after its last beat, and is safe for at least two thirds of it."""

TEAM_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Team and agent names become parts of topics and subjects, and labels elsewhere: 63 characters
is what DNS and Kubernetes allow for one."""

MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Members and nodes are mostly host names with something appended."""

PRIORITY_MAX = 1_000_000
"""Far beyond any useful ranking, and a number for any consumer's integers."""


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    """How much an election shard takes on.

    Raises:
        ValueError: the settings contradict themselves.
    """

    orchestrator_partitions: int = 1
    """Partitions of the saga orchestrator's inbox: each is told of a new team."""

    teams_max: int = 50_000
    """Teams are never forgotten, about 1 KB each: a task for a team that is empty must wait, not
    be refused."""

    sessions_max: int = 10_000
    """Live members at a time; each costs up to `RENEWALS_PER_TTL` records per ttl."""

    members_per_team_max: int = 256
    """Every change of membership publishes the whole list."""

    agents_per_member_max: int = 256
    """Agents that one member hosts in one team."""

    session_ttl_ms_min: int = 100
    """Below this the log's own latency ends sessions."""

    session_ttl_ms_max: int = 600_000
    """A dead leader that is missed for longer than ten minutes is an outage, not a session."""

    expiries_per_tick_max: int = 500
    """Sessions ended by one decision; the rest follow in the next."""

    events_per_decision_max: int = 1_000
    """About 300 kB of log, well within one record; what is left follows in the next."""

    def __post_init__(self) -> None:
        limits = [getattr(self, name) for name in self.__dataclass_fields__]
        if min(limits) < 1:
            raise ValueError("every limit of the election must be at least 1")
        if self.session_ttl_ms_min > self.session_ttl_ms_max:
            raise ValueError(
                f"session_ttl_ms_min ({self.session_ttl_ms_min}) is above "
                f"session_ttl_ms_max ({self.session_ttl_ms_max})"
            )


def check_join(join: Join, settings: ElectionSettings) -> None:
    """Raise `Refused` if a name is malformed or a number out of bounds."""
    _check_team(join.team)
    _check_name("member", join.member)
    _check_name("node", join.node)
    low, high = settings.session_ttl_ms_min, settings.session_ttl_ms_max
    if not low <= join.session_ttl_ms <= high:
        raise Refused(
            "invalid-ttl",
            f"a session ttl of {join.session_ttl_ms} ms is not within {low} to {high} ms: "
            "ask for one that is",
        )
    if abs(join.priority) > PRIORITY_MAX:
        raise Refused(
            "invalid-priority",
            f"priority {join.priority} is beyond {PRIORITY_MAX:,}: use a smaller number",
        )
    _check_agents(join, settings)


def _check_team(team: str) -> None:
    if TEAM_NAME.fullmatch(team) is None:
        raise Refused(
            "invalid-team",
            f"{team[:63]!r} is no team name: use 1 to 63 of a-z, 0-9 and -, not beginning with -",
        )


def _check_name(what: str, name: str) -> None:
    if MEMBER_NAME.fullmatch(name) is None:
        raise Refused(
            f"invalid-{what}",
            f"{name[:128]!r} is no name for a {what}: use 1 to 128 letters, digits and . _ - "
            "beginning with a letter or digit",
        )


def _check_agents(join: Join, settings: ElectionSettings) -> None:
    if len(join.agents) > settings.agents_per_member_max:
        raise Refused(
            "too-many-agents",
            f"{len(join.agents)} agents in one member, the limit is "
            f"{settings.agents_per_member_max}: spread them over several members",
        )
    for agent in join.agents:
        if TEAM_NAME.fullmatch(agent) is None:
            raise Refused(
                "invalid-agent",
                f"{agent[:63]!r} is no agent name: use 1 to 63 of a-z, 0-9 and -, not "
                "beginning with -",
            )
