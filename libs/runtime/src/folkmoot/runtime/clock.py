"""The only place where Folkmoot reads a clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for the log, monotonic time for waiting. Both in milliseconds."""

    def now(self) -> int:
        """Return milliseconds since the epoch. May jump."""
        ...

    def monotonic(self) -> int:
        """Return milliseconds since some moment. Never goes back."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> int:
        """Return milliseconds since some moment."""
        return time.monotonic_ns() // 1_000_000


class LogClock:
    """A clock for what is written to a log, where time may not run backwards.

    It is this member's clock, but never behind what it or the log has seen pass. If it stood still
    instead until a clock that was behind, or was set back, has caught up, timers and courtesy would
    stand still with it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms = 0

    def now(self) -> int:
        """Return log time: milliseconds since the epoch, never less than before."""
        monotonic = self._clock.monotonic()
        self._ahead_ms = max(self._ahead_ms, self._clock.now() - monotonic)
        return monotonic + self._ahead_ms

    def monotonic(self) -> int:
        """Return milliseconds since some moment."""
        return self._clock.monotonic()

    def hear(self, at: int) -> None:
        """Take notice that the log's time was `at` a moment ago."""
        self._ahead_ms = max(self._ahead_ms, at - self._clock.monotonic())
