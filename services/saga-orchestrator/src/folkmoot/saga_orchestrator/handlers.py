"""What the service answers, read from its machine's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from folkmoot.core.saga import Key, SagaState, Wanted, call_of, explain, find, page
from folkmoot.runtime.service import QueryError

OPERATIONS = ("list", "find", "show", "explain", "call", "outcome", "control")
PAGE_MAX = 500
"""Sagas of one page: some 150 kB of answer."""


class ListRequest(BaseModel):
    """What `list` is asked; see `Wanted`. `after` is the `next` of the page before."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    op: str
    state: str | None = None
    team: str | None = None
    retrying: str | None = None
    waiting_on: str | None = None
    opened_before: int | None = None
    text: str | None = None
    limit: int = Field(default=50, ge=1, le=PAGE_MAX)
    after: tuple[int, str] | None = None

    def wanted(self) -> Wanted:
        """Return what to look for."""
        fields = self.model_dump(exclude={"op", "limit", "after"})
        return Wanted(**fields, after=None if self.after is None else Key(*self.after))


def answer(state: SagaState, request: Mapping[str, Any]) -> Any:
    """Answer a query from one shard's state.

    | op | fields | answer |
    | --- | --- | --- |
    | `list` | see `ListRequest` | `sagas`, newest first, and `next`, null at the end |
    | `find`, `show` | `saga_id` | the saga; `find` answers null where `show` refuses |
    | `explain` | `saga_id`, `now` | a sentence, null for a saga that is not known |
    | `call` | `saga_id` | the call that holds it up, `agent` and `call_id`, null if none does |
    | `outcome` | `saga_id` | the result, null while the saga is open |
    | `control` | `request_id` | what was decided, null while it is not |

    Raises:
        QueryError: the operation or the saga is unknown, or a field is wrong.
    """
    operation = request.get("op")
    if operation == "list":
        return _list(state, request)
    if operation not in OPERATIONS:
        known = ", ".join(OPERATIONS)
        raise QueryError("unknown-operation", f"{operation!r} is none of: {known}")
    if operation == "control":
        decided = state.controls.get(str(request.get("request_id")))
        return None if decided is None else asdict(decided)
    saga_id = str(request.get("saga_id"))
    if operation == "explain":
        return explain(state, saga_id, int(request["now"]))
    if operation == "call":
        return call_of(state, saga_id)
    if operation == "outcome":
        ended = state.ended.get(saga_id)
        return None if ended is None else asdict(ended.result)
    found = find(state, saga_id)
    if found is None and operation == "show":
        raise QueryError("unknown-saga", f"this shard knows no saga {saga_id!r}")
    return found


def _list(state: SagaState, request: Mapping[str, Any]) -> dict[str, Any]:
    try:
        asked = ListRequest.model_validate(request)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise QueryError("invalid-query", f"{place}: {problem['msg']}") from error
    found = page(state, asked.wanted(), asked.limit)
    following: Key | None = found["next"]
    return found | {"next": None if following is None else [*following]}
