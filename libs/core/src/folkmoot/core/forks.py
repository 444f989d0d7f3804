"""What a task says that goes on from where another saga was."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Fork:
    """The saga that is forked, as it was after the first `at` of its events.

    `results` is what was done in it, by step id: these steps are not run again.
    """

    saga_id: str
    at: int
    results: dict[str, Any] = field(default_factory=dict)


NO_FORK = Fork("", 0)
