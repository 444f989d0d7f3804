"""What an earlier version recorded, field by field as it stands in logs, is still understood."""

from __future__ import annotations

import pytest

from folkmoot.contracts.codec import decode_data
from folkmoot.core.election import ElectionMachine, ElectionSettings
from folkmoot.core.kernel import Position

HISTORY: tuple[tuple[str, dict[str, object]], ...] = (
    ("session-opened", {"member": "a", "node": "n", "ttl_ms": 900}),
    ("team-founded", {"team": "news", "orchestrator_partitions": 2}),
    ("member-joined", {"team": "news", "member": "a", "priority": 0, "agents": ["writer"]}),
    ("leader-elected", {"team": "news", "leader": "a", "reason": "first-member", "previous": None}),
    ("session-renewed", {"member": "a"}),
    ("session-ttl-changed", {"member": "a", "ttl_ms": 1800}),
    ("member-updated", {"team": "news", "member": "a", "priority": 3, "agents": []}),
    ("leader-confirmed", {"team": "news"}),
    ("sessions-extended", {}),
    ("session-ended", {"member": "a", "reason": "left"}),
    ("member-removed", {"team": "news", "member": "a", "reason": "left"}),
    ("leader-elected", {"team": "news", "leader": None, "reason": "left", "previous": "a"}),
)


@pytest.mark.parametrize("length", range(1, len(HISTORY) + 1))
def test_a_history_of_the_first_version_is_replayed(length: int) -> None:
    machine = ElectionMachine(ElectionSettings(), partition=0)
    state = machine.initial()
    for offset, (name, data) in enumerate(HISTORY[:length]):
        event = decode_data(machine.events[f"folkmoot.{name}.v1"], data)
        machine.apply(state, event, Position(offset, 1_000 + offset))
    if length == len(HISTORY):
        assert (state.sessions, state.departures) == ({}, {})
        assert (state.teams["news"].leader, state.teams["news"].epoch) == (None, 11)
