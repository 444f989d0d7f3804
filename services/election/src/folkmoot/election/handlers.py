"""What the service answers, read from its machine's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from folkmoot.core.election import ElectionState, describe, describe_team
from folkmoot.runtime.service import QueryError


def answer(state: ElectionState, request: Mapping[str, Any]) -> Any:
    """Answer `{"op": "show"}`, of one team if it has a `"team"`.

    Raises:
        QueryError: the operation or the team is unknown.
    """
    if request.get("op", "show") != "show":
        raise QueryError("unknown-operation", f"{request.get('op')!r} is none of: show")
    name = request.get("team")
    if name is None:
        return describe(state)
    team = state.teams.get(name)
    if team is None:
        raise QueryError("unknown-team", f"nobody ever joined a team {name!r} here")
    return describe_team(state, team)
