"""What everybody may hear of a breaker, over gossip; the shard's log is the truth."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.breaker.state import Phase, Target
from folkmoot.core.kernel import Local
from folkmoot.core.messages import Announce


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A breaker went over into `state`. `retry_at` is when an open one will probe, else None."""

    target: str
    state: Phase
    reason: str
    since: int
    generation: int
    retry_at: int | None


def announce(target: Target) -> Local:
    """Return the effect that tells of the transition a breaker has just made."""
    circuit = target.circuit
    message = BreakerChanged(
        target.name,
        circuit.phase,
        circuit.reason,
        circuit.since,
        circuit.generation,
        circuit.retry_at if circuit.phase == "open" else None,
    )
    return Local(Announce(f"folkmoot.announce.breakers.{target.name}", message))
