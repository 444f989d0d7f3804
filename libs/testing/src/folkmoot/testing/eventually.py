"""Waiting for an effect in a test: by asking again, up to a deadline, and never by the clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.002
TIMEOUT_S = 10.0
"""Long enough for a loaded machine: only a test that fails waits for it."""


async def eventually(check: Callable[[], T], timeout_s: float = TIMEOUT_S) -> T:
    """Return what `check` returns, as soon as that is true.

    Raises:
        AssertionError: it was still false after `timeout_s`; says what it was.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not (outcome := check()):
        if loop.time() >= deadline:
            raise AssertionError(f"{check} was {outcome!r} for {timeout_s} s")
        await asyncio.sleep(POLL_S)
    return outcome
