"""What the end of calls says of a target, and whether its breaker must change for it.

A time-out and a failure that may be retried speak of a sick target. A failure that may not be
retried speaks of the call, and refused or cancelled calls speak of nobody: they leave a breaker's
figures as they were. A probe that ends so has found out nothing, and the next call may probe at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from folkmoot.core.breaker.events import (
    BreakerClosed,
    BreakerOpened,
    CallEnded,
    CallExpired,
    OpenReason,
    Verdict,
)
from folkmoot.core.breaker.limits import PERCENT, BreakerSettings
from folkmoot.core.breaker.state import Circuit, Flight, Target
from folkmoot.core.breaker.window import Counts
from folkmoot.core.messages import Failure, Outcome

TIMED_OUT = "timed-out"
CANCELLED = "cancelled"

_DOUBLINGS_MAX = 32
"""Beyond this every sensible base is above every sensible cap."""

End = CallEnded | CallExpired


def verdict(outcome: Outcome, flight: Flight, circuit: Circuit) -> Verdict:
    """Return what an outcome says of its target's health."""
    if flight.generation != circuit.generation:
        return "late"
    if outcome.status == "succeeded":
        return "success"
    if outcome.status == "refused" or flight.cancelled:
        return "neutral"
    return "failure" if _is_sick(outcome.failure) else "neutral"


def _is_sick(failure: Failure | None) -> bool:
    if failure is None:
        return True
    return failure.kind == TIMED_OUT or (failure.retryable and failure.kind != CANCELLED)


def verdict_of_silence(flight: Flight, circuit: Circuit) -> Verdict:
    """Return what it says of a target that it never answered for a call."""
    if flight.generation != circuit.generation:
        return "late"
    return "neutral" if flight.cancelled else "failure"


def is_slow(outcome: Outcome, settings: BreakerSettings) -> bool:
    """Whether the call ran for so long that it counts as slow."""
    return settings.slow_call_ms is not None and outcome.duration_ms >= settings.slow_call_ms


def counts_of(end: End) -> Counts:
    """Return what the window counts for the end of a call."""
    if end.verdict not in ("success", "failure"):
        return Counts()
    slow = isinstance(end, CallEnded) and end.slow
    return Counts(1, int(end.verdict == "failure"), int(slow))


def transition(
    target: Target, ends: Sequence[End], now: int, settings: BreakerSettings, hint_ms: int
) -> BreakerOpened | BreakerClosed | None:
    """Return how the breaker changes when these calls have ended, None if it does not.

    Only a failed or slow call opens a closed breaker; for an open one every end is late, so that
    none is left to judge it by. `hint_ms` is how long the target itself
    asked to be left alone, 0 if it did not.
    """
    circuit = target.circuit
    if circuit.phase == "half-open":
        probe = next((end for end in ends if end.call_id == circuit.probe), None)
        return None if probe is None else _judge_probe(target, probe, now, settings, hint_ms)
    return _judge_window(target, ends, now, settings, hint_ms)


def _judge_probe(
    target: Target, probe: End, now: int, settings: BreakerSettings, hint_ms: int
) -> BreakerOpened | BreakerClosed:
    reason = _problem_of(probe)
    if reason is None:
        return BreakerClosed(target.name)
    openings = target.circuit.openings
    if reason == "probe-inconclusive":
        wait_ms = min(hint_ms, settings.open_cap_ms)
    else:
        openings += 1
        wait_ms = open_ms(target, openings, settings, hint_ms)
    return _opened(target, reason, wait_ms, openings, [probe], now)


def _problem_of(probe: End) -> OpenReason | None:
    if isinstance(probe, CallExpired):
        return "probe-expired" if probe.verdict == "failure" else "probe-inconclusive"
    if probe.verdict == "neutral":
        return "probe-inconclusive"
    if probe.verdict == "failure":
        return "probe-failed"
    return "probe-slow" if probe.slow else None


def _judge_window(
    target: Target, ends: Sequence[End], now: int, settings: BreakerSettings, hint_ms: int
) -> BreakerOpened | None:
    recent = _sum(ends)
    if not recent.failures and not recent.slow:
        return None
    consecutive = _consecutive(target.circuit, recent)
    figures = target.circuit.window.counts(now).plus(recent)
    reason = _reason_to_open(consecutive, figures, settings)
    if reason is None:
        return None
    well_ms = max(0, now - target.circuit.since)
    openings = max(0, target.circuit.openings - well_ms // settings.backoff_decay_ms) + 1
    wait_ms = open_ms(target, openings, settings, hint_ms)
    return _opened(target, reason, wait_ms, openings, ends, now)


def _reason_to_open(
    consecutive: int, figures: Counts, settings: BreakerSettings
) -> OpenReason | None:
    if consecutive >= settings.consecutive_failures:
        return "consecutive-failures"
    if figures.calls < settings.calls_min:
        return None
    if figures.failures * PERCENT >= settings.failure_rate_percent * figures.calls:
        return "failure-rate"
    if settings.slow_call_ms is None:
        return None
    slow_enough = figures.slow * PERCENT >= settings.slow_rate_percent * figures.calls
    return "slow-rate" if slow_enough else None


def _opened(
    target: Target,
    reason: OpenReason,
    wait_ms: int,
    openings: int,
    ends: Sequence[End],
    now: int,
) -> BreakerOpened:
    recent = _sum(ends)
    figures = target.circuit.window.counts(now).plus(recent)
    consecutive = _consecutive(target.circuit, recent)
    return BreakerOpened(target.name, reason, wait_ms, openings, consecutive, *figures)


def _consecutive(circuit: Circuit, recent: Counts) -> int:
    """Return the failures in a row; what ends together either all failed, or is a single call."""
    return circuit.consecutive + recent.failures if recent.calls == recent.failures else 0


def _sum(ends: Sequence[End]) -> Counts:
    total = Counts()
    for end in ends:
        total = total.plus(counts_of(end))
    return total


def open_ms(target: Target, openings: int, settings: BreakerSettings, hint_ms: int) -> int:
    """Return how long the breaker stays open: doubled each time, capped, and a little shortened.

    The target's own wish prevails if it is longer, up to the cap.
    """
    doubled = settings.open_base_ms << min(openings - 1, _DOUBLINGS_MAX)
    capped = min(doubled, settings.open_cap_ms)
    share = spread(f"{target.name}/{target.circuit.generation}", settings.open_jitter_percent + 1)
    shortened = capped - capped * share // PERCENT
    return max(shortened, min(hint_ms, settings.open_cap_ms), 1)


def spread(name: str, below: int) -> int:
    """Return a number from 0 to below `below` that looks random and is always the same."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % below
