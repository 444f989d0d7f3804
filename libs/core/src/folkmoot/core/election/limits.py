"""What a member may ask for. All of it is checked before anything is decided."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from folkmoot.core.kernel import Refused
from folkmoot.core.messages import ELECTION_PROTOCOL, ConfigureTeam, Join

BEATS_PER_TTL = 3
"""How often a member should beat: two may be late or lost before its session is in danger."""

DEAF_AFTER_BEATS = 2
"""Beats of everybody that are missed before a shard doubts itself. If its clock is set forward by
enough to end a session that is in order, this much has passed by that clock."""

MERCY_EVERY_TTLS = 3
"""A shard that doubts itself gives every session another ttl, but only once in so many: however
often all members stall together, who is dead is found out by the second ttl."""

RENEWALS_PER_TTL = 4
"""A beat is recorded if a ttl divided by this has passed since the last recorded one. So a
session costs at most this many log records per ttl however often it beats; and each of three beats
a ttl is recorded, since none comes so much too early. A session ends at most a ttl after its last
beat, and not before three quarters of it."""

TEAM_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""Team and agent names become parts of topics and subjects, and labels elsewhere: 63 characters
is what DNS and Kubernetes allow for one."""

MEMBER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""Members and nodes are mostly host names with something appended."""

LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
"""Names and values of labels, as Kubernetes has them, so that a pod's can be passed on."""

VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,3}")
"""Versions are compared part by part, as numbers."""

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

    agents_per_team_max: int = 2_000
    """Counted once for each member that hosts it. About 250 KB in the team's record at most, which
    with its members is still half of what a message may be."""

    labels_max: int = 32
    """Labels of a member, or that a team asks for."""

    preferred_max: int = 64
    """Nodes that a team prefers; beyond that, prefer by label or priority."""

    tenure_ms_max: int = 24 * 3600 * 1000
    """A day: who should never be asked to hand over is led by the sticky policy."""

    clock_skew_ms_max: int = 300_000
    """Between a member's clock and log time, the member's way through the inbox included. Five
    minutes is what Kerberos allows (RFC 4120): beyond that a clock is wrong, or a join so late that
    nobody means it any more."""

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


def check_join(join: Join, settings: ElectionSettings, now: int) -> None:
    """Raise `Refused` if a name is malformed, a number out of bounds, or the member's clock off."""
    if join.protocol != ELECTION_PROTOCOL:
        raise Refused(
            "unsupported-protocol",
            f"the member speaks protocol {join.protocol}, this election {ELECTION_PROTOCOL}: "
            "upgrade whichever is lower",
        )
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
    _check_labels(join.labels, settings)
    _check_version(join.version)
    _check_clock(join, settings, now)


def check_configuration(configure: ConfigureTeam, settings: ElectionSettings) -> None:
    """Raise `Refused` if a team's rules are malformed or out of bounds."""
    _check_team(configure.team)
    _check_labels(configure.labels, settings)
    _check_version(configure.version_min)
    for node in configure.preferred:
        _check_name("node", node)
    if len(configure.preferred) > settings.preferred_max:
        raise Refused(
            "too-many-preferred",
            f"{len(configure.preferred)} nodes are preferred, the limit is "
            f"{settings.preferred_max}: use a label that they share",
        )
    if not 0 <= configure.tenure_ms_min <= settings.tenure_ms_max:
        raise Refused(
            "invalid-tenure",
            f"a tenure of {configure.tenure_ms_min} ms is not within 0 to "
            f"{settings.tenure_ms_max} ms: use the sticky policy to never change a leader",
        )


def _check_labels(labels: Mapping[str, str], settings: ElectionSettings) -> None:
    if len(labels) > settings.labels_max:
        raise Refused(
            "too-many-labels",
            f"{len(labels)} labels, the limit is {settings.labels_max}: keep those that a team's "
            "rules ask for",
        )
    for word in (*labels, *labels.values()):
        if LABEL.fullmatch(word) is None:
            raise Refused(
                "invalid-label",
                f"{word[:63]!r} is no label: use 1 to 63 letters, digits and . _ / - between "
                "letters or digits",
            )


def _check_version(version: str) -> None:
    if version and VERSION.fullmatch(version) is None:
        raise Refused(
            "invalid-version",
            f"{version[:63]!r} cannot be compared: write up to four numbers, as in 1.12.0",
        )


def _check_clock(join: Join, settings: ElectionSettings, now: int) -> None:
    skew_ms = now - join.clock_at
    if join.clock_at and abs(skew_ms) > settings.clock_skew_ms_max:
        where = "behind" if skew_ms > 0 else "ahead of"
        raise Refused(
            "clock-mismatch",
            f"by its own clock the member is {abs(skew_ms)} ms {where} the log, more than "
            f"{settings.clock_skew_ms_max}: set the clock of node {join.node!r} and join again",
        )


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
