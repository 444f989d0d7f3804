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
