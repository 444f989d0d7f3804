"""A page of a shard's sagas, newest first, for people and programs that look for some of them."""

from __future__ import annotations

from typing import Any

from folkmoot.core.saga.describing import line
from folkmoot.core.saga.index import SCANNED_MAX, Key, Wanted, text_of
from folkmoot.core.saga.state import SagaState


def page(state: SagaState, wanted: Wanted, limit: int) -> dict[str, Any]:
    """Return up to `limit` sagas, and the key after which the next page begins, None at the end.

    A page may be short, or even empty, and still not be the last: looking ends after a while.
    """
    state.index.refresh(state)
    text = None if wanted.text is None else wanted.text.lower()
    found: list[dict[str, Any]] = []
    last: Key | None = None
    for scanned, (key, matches) in enumerate(state.index.scan(wanted)):
        if len(found) == limit or scanned == SCANNED_MAX:
            return {"sagas": found, "next": last}
        last = key
        if matches and (text is None or text in text_of(state, key.saga_id)):
            found.append(line(state, key.saga_id))
    return {"sagas": found, "next": None}
