"""What the service answers, read from its machine's state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from folkmoot.core.breaker import BreakerState, describe, describe_call
from folkmoot.runtime.service import QueryError


def answer(state: BreakerState, request: Mapping[str, Any]) -> Any:
    """Answer `show`, and `call` with a `call_id`: null if that is not here, or not any more.

    Raises:
        QueryError: the operation is unknown.
    """
    operation = request.get("op", "show")
    if operation == "call":
        return describe_call(state, str(request.get("call_id")))
    if operation != "show":
        raise QueryError("unknown-operation", f"{operation!r} is none of: show, call")
    return describe(state)
