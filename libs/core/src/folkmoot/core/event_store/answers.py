"""The answer to an append: what was decided, for whoever asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AppendStatus = Literal["appended", "confirmed", "conflict"]


@dataclass(frozen=True, slots=True)
class AppendAnswer:
    """The verdict on a request, which stays the same however often the request is repeated.

    `version` is the stream's after the request; `appended` of its events are the request's own,
    the last ones. `partition` and `offset` say where the decision stands in the store's log, so
    that a read can ask to be at least that fresh. `repeated` marks an answer given again.
    """

    stream: str
    request_id: str
    status: AppendStatus
    version: int
    appended: int
    partition: int
    offset: int
    repeated: bool = False


def announcement_subject(request_id: str) -> str:
    """Return the subject on which the answer to a request is announced."""
    return f"folkmoot.announce.appends.{request_id}"
