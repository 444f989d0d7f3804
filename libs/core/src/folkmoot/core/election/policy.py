"""Who leads when somebody new must. One policy so far: sticky.

Sticky: whoever leads goes on as long as it lives; a vacancy goes to the member that joined first,
among those of the same moment to the highest priority, then to the first in the log. Leadership
moves as seldom as possible, and every reader can tell the heir beforehand.
"""

from __future__ import annotations

from collections.abc import Container

from folkmoot.core.election.state import Member, Team


def heir(team: Team, without: Container[str]) -> str | None:
    """Return the member that a vacancy goes to, leaving out those in `without`."""
    candidates = [member for member in team.members.values() if member.name not in without]
    return min(candidates, key=_rank).name if candidates else None


def _rank(member: Member) -> tuple[int, int, int]:
    return (member.joined_at, -member.priority, member.joined)
