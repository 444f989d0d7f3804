"""What a run of the reference saga came to, and whether that is what it is without a crash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from folkmoot.contracts.envelope import saga_id_of
from folkmoot.core.messages import log
from folkmoot.sdk.client import SOURCE
from tests.crashes.agents import TEAM, agent
from tests.crashes.striking import Point, Trap

LOGS: Mapping[str, str] = {
    log("saga-orchestrator"): "saga-orchestrator",
    log("breaker-proxy"): "breaker-proxy",
    log(f"agent.{agent.name}"): "agent-worker",
    log(f"team.{TEAM}"): "agent-worker",
}
"""The logs that the saga leaves entries in, and the service whose process writes each."""

WORKER = "agent-worker"


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run went: its saga's end, what it did to the world, and its entries by log."""

    state: str
    failed_step: str | None
    undone: tuple[str, ...]
    calls: Counter[str]
    entries: Mapping[str, int]
    seconds: float


def saga_of(key: str) -> str:
    """Return the id of the saga that a client begins under this key."""
    return saga_id_of(SOURCE, key)


def ran(saga: Mapping[str, Any], trap: Trap, effects: Path, seconds: float) -> Ran:
    """Return how a run went, from the saga's last state and what was left behind."""
    lines = effects.read_text().splitlines() if effects.exists() else []
    told = [line.split(" ", 1) for line in lines]
    return Ran(
        saga["state"],
        saga["failed_step"],
        tuple(saga["compensations"]),
        Counter(deed for saga_id, deed in told if saga_id == saga["saga_id"]),
        {name: trap.entries(name) for name in LOGS},
        seconds,
    )


def points(whole: Ran) -> list[Point]:
    """Return every point at which a run could have crashed."""
    return [
        Point(name, entry, before)
        for name in LOGS
        for entry in range(1, whole.entries[name] + 1)
        for before in (True, False)
    ]


def complaints(whole: Ran, crashed: Ran, *, worker_died: bool) -> Sequence[str]:
    """Return in what a run with one crash is not as the one without.

    A journaled call may have run once more if its process died, and only the one in flight.
    """
    found = []
    for what in ("state", "failed_step", "undone"):
        wanted, got = getattr(whole, what), getattr(crashed, what)
        if wanted != got:
            found.append(f"{what} is {got!r}, not {wanted!r}")
    if crashed.calls.keys() != whole.calls.keys():
        found.append(f"calls were {sorted(crashed.calls)}, not {sorted(whole.calls)}")
    again = crashed.calls - whole.calls
    if again.total() > worker_died:
        found.append(f"{again.total()} calls too many: {dict(again)}")
    return found


def booked(calls: Counter[str]) -> set[str]:
    """Return what is booked, of all that was, and not cancelled."""
    named = [deed.partition(" ")[::2] for deed in calls]
    return {name for way, name in named if way == "book"} - {
        name for way, name in named if way == "cancel"
    }
