"""Time that passes only when everybody waits, so that a test of hours takes milliseconds.

Only for tests in which nothing else takes part: no threads, no sockets.
"""

from __future__ import annotations

import asyncio
import selectors
from dataclasses import dataclass
from typing import Any

EPOCH_MS = 1_000_000
"""The wall clock's time when a loop begins."""


class Stuck(AssertionError):
    """Everybody waits for somebody else, and nothing will ever happen."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stuck("nothing is scheduled, and nobody is ready")
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer when there is nothing else to do."""

    def __init__(self) -> None:
        self._selected = _Selector()
        super().__init__(self._selected)

    def time(self) -> float:
        """Return the seconds since the loop began."""
        return self._selected.now

    def stall(self, seconds: float) -> None:
        """Let time pass while nobody runs, as a blocking call does."""
        self._selected.now += seconds


@dataclass
class LoopClock:
    """The `Clock` of a member on such a loop. Its wall clock may be wrong, or set, by `skew_ms`."""

    skew_ms: int = 0

    def monotonic(self) -> int:
        """Return the milliseconds since the loop began."""
        return round(asyncio.get_running_loop().time() * 1000)

    def now(self) -> int:
        """Return milliseconds since the epoch, as this member takes them to be."""
        return EPOCH_MS + self.skew_ms + self.monotonic()
