"""What the election tells of teams and members; only leaders do, so that sums count none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from folkmoot.core.election import ElectionState, Team
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.sheet import Sheet, Survey

LEADERLESS_TOLD_MAX = 100
"""Teams of a shard without a leader that are named. If there are more, something else is wrong."""

STATES = ("led", "leaderless", "empty")


@dataclass(slots=True)
class Found:
    """What a walk over all teams finds."""

    states: Counter[str] = field(default_factory=Counter)
    leaderless: list[str] = field(default_factory=list)
    changes: int = 0


class TeamMeasure:
    """The measure of one process."""

    def __init__(self, replicas: Sequence[Replica[ElectionState]], clock: Clock) -> None:
        self._replicas = replicas
        self._survey = Survey(clock, _look)

    def __call__(self, sheet: Sheet) -> None:
        """Tell the teams of each shard that is led here."""
        for replica in self._replicas:
            if replica.leads:
                shard, state = replica.name.origin, replica.shard.state
                sheet.put("sessions", len(state.sessions), shard)
                _tell(sheet, shard, self._survey.of(shard, state))


def _look(state: ElectionState) -> Found:
    found = Found()
    for name, team in state.teams.items():
        now = _state(team)
        found.states[now] += 1
        found.changes += team.changes
        if now == "leaderless" and len(found.leaderless) < LEADERLESS_TOLD_MAX:
            found.leaderless.append(name)
    return found


def _state(team: Team) -> str:
    if team.leader is not None:
        return "led"
    return "leaderless" if team.members else "empty"


def _tell(sheet: Sheet, shard: str, found: Found) -> None:
    for state in STATES:
        sheet.put("teams", found.states[state], shard, state)
    for team in found.leaderless:
        sheet.put("team_without_leader", 1.0, shard, team)
    sheet.put("leader_changes_total", found.changes, shard)
