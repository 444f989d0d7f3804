"""Pages of sagas, made of the answers of all shards of the orchestrator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

Place = tuple[int, str]
"""A saga's place among all, by when it was opened and its id. Pages run from the newest on."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which sagas to list. What is left out matters not.

    Args:
        state: planning, running, paused, queued, stuck, compensating, completed and so on.
        team: whose they are.
        retrying: they have a step of this id or name that is between two attempts; `*` for any.
        waiting_on: an agent, `saga`, `person`, `signal:NAME`, `retry`, `resume` or a `place`.
        opened_before: in milliseconds since the epoch.
        text: what their id, their task, their steps or what failed says, in whatever case.
    """

    state: str | None = None
    team: str | None = None
    retrying: str | None = None
    waiting_on: str | None = None
    opened_before: int | None = None
    text: str | None = None

    def request(self, limit: int, after: Place | None) -> dict[str, Any]:
        """Return the query that asks one shard for a page."""
        return {"op": "list", "limit": limit, "after": after, **asdict(self)}


@dataclass(frozen=True, slots=True)
class SagaPage:
    """Some sagas, newest first. `following` is where the next page begins, None at the end.

    It is true of the shards' logs up to the offsets in `as_of`. A page with a `following` may be
    short, or empty: shards look at some thousand sagas for one page and no more.
    """

    sagas: Sequence[Mapping[str, Any]]
    following: Place | None
    as_of: Mapping[str, int]


def merged(answers: Sequence[tuple[Mapping[str, Any], Mapping[str, int]]], limit: int) -> SagaPage:
    """Return the page that the answers of all shards make.

    Nothing is shown that comes after what some shard has looked at: the next page has it.
    """
    ends = [_place(answer["next"]) for answer, _ in answers if answer["next"] is not None]
    end = max(ends, default=None)
    found = [(_key(saga), saga) for answer, _ in answers for saga in answer["sagas"]]
    found = [(key, saga) for key, saga in found if end is None or key >= end]
    found.sort(key=lambda each: each[0], reverse=True)
    if len(found) > limit:
        found, end = found[:limit], found[limit - 1][0]
    as_of = {log: offset for _, dated in answers for log, offset in dated.items()}
    return SagaPage([saga for _, saga in found], end, as_of)


def _place(value: Sequence[Any]) -> Place:
    opened_at, saga_id = value
    return opened_at, saga_id


def _key(saga: Mapping[str, Any]) -> Place:
    return saga["opened_at"], saga["saga_id"]
