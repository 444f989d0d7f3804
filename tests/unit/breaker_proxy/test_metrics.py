"""Agents beyond the first are told as one, unless they are fenced off."""

from __future__ import annotations

import pytest

from folkmoot.breaker_proxy import metrics
from folkmoot.contracts.metrics import OTHERS
from folkmoot.core.breaker import BreakerState, Phase, Target
from folkmoot.core.breaker.state import Circuit


def agent(state: BreakerState, name: str, phase: Phase = "closed", admitted: int = 0) -> None:
    target = Target(name, Circuit(state.new_window(), 0, phase), team="office")
    target.totals.admitted = admitted
    state.targets[name] = target


def test_agents_beyond_the_first_are_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "AGENTS_TOLD_MAX", 2)
    state = BreakerState()
    agent(state, "first", admitted=1)
    agent(state, "second", "half-open", admitted=2)
    agent(state, "third", admitted=4)
    agent(state, "fourth", "open", admitted=8)
    found = metrics._look(state)
    assert found.phases == {"closed": 2, "half-open": 1, "open": 1}
    assert set(found.breakers) == {"first", "second", "fourth"}
    assert found.breakers["fourth"] == ("office", "open")
    admitted = {name: calls.outcomes["admitted"] for name, calls in found.calls.items()}
    assert admitted == {"first": 1, "second": 2, OTHERS: 12}


def test_not_even_those_that_are_fenced_off_are_told_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "AGENTS_TOLD_MAX", 2)
    state = BreakerState()
    for number in range(9):
        agent(state, f"agent-{number}", "open")
    found = metrics._look(state)
    assert len(found.breakers) == 4
    assert found.phases["open"] == 9
