"""What the service answers, read from its machine's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from folkmoot.core.saga import SagaState, find, summaries
from folkmoot.runtime.service import QueryError

OPERATIONS = ("list", "find", "show", "outcome", "control")


def answer(state: SagaState, request: Mapping[str, Any]) -> Any:
    """Answer `list`; `find`, `show` or `outcome` with a `saga_id`; `control` with a `request_id`.

    `find` answers null where `show` refuses; `outcome` answers null while a saga is open, and
    `control` null while the request is not decided.

    Raises:
        QueryError: the operation or the saga is unknown.
    """
    operation = request.get("op")
    if operation == "list":
        return {"sagas": summaries(state)}
    if operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise QueryError("unknown-operation", f"{operation!r} is none of: {known}")
    if operation == "control":
        decided = state.controls.get(str(request.get("request_id")))
        return None if decided is None else asdict(decided)
    saga_id = str(request.get("saga_id"))
    if operation == "outcome":
        ended = state.ended.get(saga_id)
        return None if ended is None else asdict(ended.result)
    found = find(state, saga_id)
    if found is None and operation == "show":
        raise QueryError("unknown-saga", f"this shard knows no saga {saga_id!r}")
    return found
