"""What the breaker-proxy tells of its agents; only leaders do, so that sums count none twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import get_args

from folkmoot.contracts.metrics import OTHERS
from folkmoot.core.breaker import BreakerState, Phase, Target
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.replica import Replica
from folkmoot.runtime.sheet import Sheet, Survey

AGENTS_TOLD_MAX = 500
"""Agents of a shard that are told one by one: the first that it knew. As many more are told whose
breakers are not closed; the calls of all others are told as one's."""

PHASES: Sequence[str] = get_args(Phase)


@dataclass(slots=True)
class Calls:
    """The calls to one agent, or to all others. `queued` and `in_flight` are open."""

    in_flight: int = 0
    queued: int = 0
    transitions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    def add(self, target: Target) -> None:
        """Add those of one agent."""
        self.in_flight += len(target.flights)
        self.queued += len(target.queue)
        self.transitions += target.circuit.generation
        totals = target.totals
        self.outcomes["admitted"] += totals.admitted
        self.outcomes["ended"] += totals.ended
        self.outcomes["expired"] += totals.expired
        self.outcomes["refused"] += totals.refused


@dataclass(slots=True)
class Found:
    """What a walk over all agents finds: states as of their last outcomes."""

    phases: Counter[str] = field(default_factory=Counter)
    breakers: dict[str, tuple[str, str]] = field(default_factory=dict)
    calls: dict[str, Calls] = field(default_factory=dict)


class BreakerMeasure:
    """The measure of one process."""

    def __init__(self, replicas: Sequence[Replica[BreakerState]], clock: Clock) -> None:
        self._replicas = replicas
        self._survey = Survey(clock, _look)

    def __call__(self, sheet: Sheet) -> None:
        """Tell the agents of each shard that is led here."""
        for replica in self._replicas:
            if replica.leads:
                shard = replica.name.origin
                _tell(sheet, shard, self._survey.of(shard, replica.shard.state))


def _look(state: BreakerState) -> Found:
    found, told = Found(), frozenset(islice(state.targets, AGENTS_TOLD_MAX))
    for name, target in state.targets.items():
        phase = target.circuit.phase
        found.phases[phase] += 1
        if name in told or (phase != "closed" and len(found.breakers) < 2 * AGENTS_TOLD_MAX):
            found.breakers[name] = (target.team, phase)
        found.calls.setdefault(name if name in told else OTHERS, Calls()).add(target)
    return found


def _tell(sheet: Sheet, shard: str, found: Found) -> None:
    for phase in PHASES:
        sheet.put("breakers", found.phases[phase], shard, phase)
    for agent, (team, now) in found.breakers.items():
        for phase in PHASES:
            sheet.put("breaker_state", float(phase == now), shard, agent, team, phase)
    for agent, calls in found.calls.items():
        sheet.put("breaker_transitions_total", calls.transitions, shard, agent)
        sheet.put("breaker_calls_in_flight", calls.in_flight, shard, agent)
        sheet.put("breaker_calls_queued", calls.queued, shard, agent)
        for outcome, count in calls.outcomes.items():
            sheet.put("breaker_calls_total", count, shard, agent, outcome)
