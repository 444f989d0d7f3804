"""What the service answers, read from its machine's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from folkmoot.core.event_store import EventStoreState, describe
from folkmoot.runtime.service import QueryError


def answer(state: EventStoreState, request: Mapping[str, Any]) -> Any:
    """Answer `{"op": "show"}`.

    Raises:
        QueryError: the operation is unknown.
    """
    if request.get("op", "show") != "show":
        raise QueryError("unknown-operation", f"{request.get('op')!r} is none of: show")
    return describe(state)
