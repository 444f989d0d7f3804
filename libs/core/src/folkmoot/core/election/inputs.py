"""What only the election service itself asks of its machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Republish:
    """Somebody wrote over the team's record with an older one: say again how it is."""

    team: str
