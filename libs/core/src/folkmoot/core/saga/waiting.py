"""How long to wait before trying again, and why: exponential back-off with full jitter."""

from __future__ import annotations

import math
from dataclasses import replace
from hashlib import blake2b

from folkmoot.core.messages import Failure, Outcome
from folkmoot.core.saga.settings import DETAIL_CHARS_MAX, Backoff, SagaSettings

TIMED_OUT = "timed-out"
BREAKER_OPEN = "breaker-open"
LIMITED = "limited"
"""Why a call is not let in whose turn will come, however many are before it."""
UNKNOWN_OUTCOMES = frozenset({TIMED_OUT, "queue-timed-out", "heartbeat-timed-out"})
"""Failures after which nobody knows whether the attempt took effect."""


def wait_ms(backoff: Backoff, attempt: int, key: str) -> int:
    """Return a wait from 1 ms to the back-off of `attempt`, which counts from 1.

    It is drawn from a hash of `key`, so that steps that failed together do not come back together
    and every replay gives the same wait. Full jitter: Brooker, AWS Architecture Blog, 2015.
    """
    return 1 + _draw(f"{key}/{attempt}", max(_ceiling_ms(backoff, attempt), 1))


def patient_ms(failure: Failure, attempt: int, key: str, settings: SagaSettings) -> int:
    """Return a wait for what is tried until it succeeds, however often it has failed.

    It grows with failures of the call itself. After a time-out it stays short, and after a refusal
    that says when to come again it is that: neither is the call's fault, and when they are over
    whatever waits should not have seen its patience used up.
    """
    asked = asked_ms(failure, settings)
    if failure.kind == BREAKER_OPEN and asked:
        return asked + _draw(f"{key}/{attempt}", max(1, asked // 5))
    backoff = settings.compensation_backoff
    if failure.kind in UNKNOWN_OUTCOMES:
        backoff = replace(backoff, cap_ms=min(backoff.cap_ms, settings.outage_wait_ms_max))
    return max(asked, wait_ms(backoff, attempt, key))


def reason(outcome: Outcome) -> Failure:
    """Return why a call did not succeed, no longer than events should carry on and on."""
    failure = outcome.failure or Failure("unknown", "no reason was given")
    return replace(failure, detail=failure.detail[:DETAIL_CHARS_MAX])


def asked_ms(failure: Failure, settings: SagaSettings) -> int:
    """Return how long a failure asks to wait, 0 if it does not, within the limit."""
    return min(max(0, failure.retry_after_ms or 0), settings.retry_after_ms_max)


def _ceiling_ms(backoff: Backoff, attempt: int) -> int:
    """Return the back-off of `attempt`. Logarithms, as the power itself may overflow."""
    if backoff.initial_ms <= 0:
        return 0
    growth = (attempt - 1) * math.log(backoff.factor)
    if growth >= math.log(max(1, backoff.cap_ms) / backoff.initial_ms):
        return backoff.cap_ms
    return min(backoff.cap_ms, round(backoff.initial_ms * math.exp(growth)))


def _draw(key: str, below: int) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % below
