"""A shard's breakers, and the calls that are open there, as JSON values for queries."""

from __future__ import annotations

from folkmoot.core.breaker.limiting import named, opens_at
from folkmoot.core.breaker.state import BreakerState, Gate, Target
from folkmoot.core.shares import Limit


def describe(state: BreakerState) -> dict[str, object]:
    """Return every breaker as JSON values, for queries. Counts are as of its last outcome."""
    return {"targets": {name: _describe(target) for name, target in state.targets.items()}}


def describe_call(state: BreakerState, call_id: str) -> dict[str, object] | None:
    """Return where a call is that has not ended, None if it is not here: it ended, or never came.

    Of one that waits it says for what, and how many have their turn before it; of one that a limit
    of calls in a period holds back also from when on that lets calls begin again.
    """
    place = state.places.get(call_id)
    if place is None:
        return None
    target = state.targets[place]
    found: dict[str, object] = {
        "call_id": call_id,
        "target": place,
        "breaker": target.circuit.phase,
    }
    if (flight := target.flights.get(call_id)) is not None:
        return found | {"state": "sent", "partition": flight.partition}
    key = target.held.get(call_id, "")
    limit, gate = named(target.limits, key), target.gates.get(key, Gate())
    held = _held_by(key, limit, gate) if limit is not None else None
    if held is None:
        ahead = target.turns.ahead_of(call_id)
        what = f"room at the {target.partitions} partitions of {place}"
    else:
        mates = (each for each in target.turns if target.held.get(each) == key)
        ahead = next(number for number, each in enumerate(mates) if each == call_id)
        what = held
    opens = opens_at(gate, limit) if limit is not None else 0
    return found | {
        "state": "queued",
        "ahead": ahead,
        "limit": key or None,
        "waiting_for": f"{what}, {ahead} before it",
        "opens_at": opens or None,
    }


def _held_by(key: str, limit: Limit, gate: Gate) -> str | None:
    """Return what a limit holds calls back for, None if it does not."""
    if limit.in_flight and gate.in_flight >= limit.in_flight:
        return f"limit {key}: {gate.in_flight} of {limit.in_flight} are at work"
    if opens_at(gate, limit):
        return f"limit {key}: {limit.starts} in {limit.period_ms:,} ms may begin"
    return None


def _describe(target: Target) -> dict[str, object]:
    circuit, totals = target.circuit, target.totals
    newest = circuit.window.ring[-1].index if circuit.window.ring else 0
    return {
        "team": target.team,
        "state": circuit.phase,
        "reason": circuit.reason,
        "since": circuit.since,
        "retry_at": circuit.retry_at if circuit.phase == "open" else None,
        "generation": circuit.generation,
        "openings": circuit.openings,
        "consecutive_failures": circuit.consecutive,
        "window": circuit.window.counts(newest * circuit.window.bucket_ms)._asdict(),
        "in_flight": list(target.loads),
        "queued": len(target.queue),
        "partitions": target.partitions,
        "concurrency": target.concurrency,
        "steps": list(target.steps),
        "limits": {key: _gate(target, key, gate) for key, gate in target.gates.items()},
        "totals": {
            "admitted": totals.admitted,
            "ended": totals.ended,
            "expired": totals.expired,
            "refused": totals.refused,
        },
    }


def _gate(target: Target, key: str, gate: Gate) -> dict[str, object]:
    limit = named(target.limits, key)
    return {
        "in_flight": gate.in_flight,
        "in_flight_max": limit.in_flight if limit is not None else 0,
        "starts_max": limit.starts if limit is not None else 0,
        "period_ms": limit.period_ms if limit is not None else 0,
        "queued": gate.waiting,
    }
