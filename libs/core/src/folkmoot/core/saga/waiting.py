"""How long to wait before trying again: exponential back-off with full jitter, without a die."""

from __future__ import annotations

from hashlib import blake2b

from folkmoot.core.saga.settings import Backoff


def wait_ms(backoff: Backoff, attempt: int, key: str) -> int:
    """Return a wait from 1 ms to the back-off of `attempt`, which counts from 1.

    It is drawn from a hash of `key`, so that steps that failed together do not come back together
    and every replay gives the same wait. Full jitter: Brooker, AWS Architecture Blog, 2015.
    """
    exponent = min(attempt - 1, 64)
    ceiling = min(backoff.cap_ms, round(backoff.initial_ms * backoff.factor**exponent))
    return 1 + _draw(f"{key}/{attempt}", max(ceiling, 1))


def _draw(key: str, below: int) -> int:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") % below
