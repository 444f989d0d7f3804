"""What `folkmoot demo` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kill = Literal["leader", "worker"]
Fail = Literal["write", "verify"]

SHARDS = 6
"""Research steps of a plain run: enough to keep three members busy."""

SHARDS_FLAKY = 12
"""Research steps when one agent is flaky: enough calls for its breaker to judge by."""

PACE_MS = 40
"""Added for each package when a member is to be killed, so that it happens in mid-step."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """The switches of one demo."""

    out: Path
    kill: Kill | None = None
    late: bool = False
    fail: Fail | None = None
    flaky: bool = False
    resume: bool = False
    data: Path = Path(".folkmoot")
    bus: str = "embedded"
    json_file: Path | None = None
    join: bool = False

    @property
    def shards(self) -> int:
        """Into how many steps the research is cut."""
        return SHARDS_FLAKY if self.flaky else SHARDS

    @property
    def pace_ms(self) -> int:
        """How much slower than it could be each package is looked at."""
        return PACE_MS if self.kill else 0
