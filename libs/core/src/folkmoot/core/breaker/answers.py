"""How a call is refused, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from folkmoot.core.breaker.events import CallRefused
from folkmoot.core.breaker.judging import CANCELLED, TIMED_OUT
from folkmoot.core.messages import Call, Failure, Outcome
from folkmoot.core.shares import Limit

LIMITED = "limited"
_NAMES_QUOTED_MAX = 10


def refused(call: Call, failure: Failure) -> CallRefused:
    """Return the event that answers `call` without having it run."""
    outcome = Outcome(
        call.call_id,
        call.saga_id,
        call.step_id,
        call.kind,
        call.target,
        call.attempt,
        "refused",
        failure=failure,
    )
    return CallRefused(call.target, call.outcome_to, outcome)


def unknown_agent(target: str, known: Iterable[str]) -> Failure:
    """Return the failure of a call to an agent that nobody registered."""
    names = ", ".join(islice(known, _NAMES_QUOTED_MAX))
    detail = (
        f"no worker hosts an agent {target!r}: start one that does, or correct the step "
        f"(known here: {names or 'none'})"
    )
    return Failure("unknown-agent", detail, retryable=False)


def breaker_open(target: str, phase: str, reason: str, retry_after_ms: int) -> Failure:
    """Return the failure of a call that a breaker keeps away."""
    detail = f"the breaker of {target!r} is {phase} ({reason}): call again in {retry_after_ms} ms"
    return Failure("breaker-open", detail, retry_after_ms=retry_after_ms)


def overloaded(target: str, retry_after_ms: int) -> Failure:
    """Return the failure of a call for which there is no room, not even to wait."""
    detail = (
        f"all workers of {target!r} are busy and the queue is full: call again in "
        f"{retry_after_ms} ms, or add partitions or concurrency"
    )
    return Failure("overloaded", detail, retry_after_ms=retry_after_ms)


def limited(target: str, limit: Limit, retry_after_ms: int) -> Failure:
    """Return the failure of a call that a limit holds back for longer than it can wait here."""
    said = [f"{limit.in_flight:,} at a time"] if limit.in_flight else []
    said += [f"{limit.starts:,} in {limit.period_ms:,} ms"] if limit.starts else []
    detail = (
        f"limit {limit.name!r} of {target!r} lets no more than {' and '.join(said)} begin, and "
        f"others wait: call again in {retry_after_ms} ms, or raise it"
    )
    return Failure(LIMITED, detail, retry_after_ms=retry_after_ms)


def too_late() -> Failure:
    """Return the failure of a call whose deadline passed before a worker had it."""
    return Failure(TIMED_OUT, "its deadline passed before a worker was free for it")


def cancelled() -> Failure:
    """Return the failure of a call that was cancelled before a worker had it."""
    return Failure(CANCELLED, "cancelled before a worker had it", retryable=False)
