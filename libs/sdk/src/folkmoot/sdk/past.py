"""A saga as it was: its history from the event store, folded by the orchestrator's own rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from folkmoot.bus.ports import Bus
from folkmoot.contracts.codec import decode_data
from folkmoot.core.kernel import Position
from folkmoot.core.saga import SagaMachine, SagaSettings, SagaState, find
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.queries import ask

PAGE = 500

Recorded = Mapping[str, Any]
"""An event of a stream: `version`, `offset` and `at` of its entry, and `event`, a CloudEvent."""


async def read_history(bus: Bus, saga_id: str, at: int | None = None) -> list[Recorded]:
    """Return the events of a saga, oldest first, up to version `at` if given.

    Raises:
        NoAnswer: the event store does not answer, or has no such saga.
        QueryError: the saga has fewer events.
    """
    found: list[Recorded] = []
    following: int | None = 1
    while following is not None:
        request: dict[str, Any] = {"op": "read", "stream": f"saga-{saga_id}", "limit": PAGE}
        if at is not None:
            request |= {"op": "read-at", "version": at}
        page = await ask(bus, "event-store", "index", request | {"from_version": following})
        found += page["events"]
        following = page["next_version"]
    return found


def folded(history: Sequence[Recorded]) -> SagaState:
    """Return a shard that has decided these events and nothing else.

    Raises:
        UnreadableRecord: one of them is none of a saga's.
    """
    machine = SagaMachine(SagaSettings(), 0)
    state = machine.initial()
    for recorded in history:
        event = recorded["event"]
        known = machine.events.get(event["type"])
        if known is not None:
            position = Position(recorded["offset"], recorded["at"])
            machine.apply(state, decode_data(known, event["data"]), position)
    return state


def state_of(saga_id: str, history: Sequence[Recorded]) -> Mapping[str, Any]:
    """Return a saga as it was after the last of these events, in the shape of `Saga.state()`.

    Raises:
        NoAnswer: the events are not the beginning of a saga.
        UnreadableRecord: one of them is none of a saga's.
    """
    found = find(folded(history), saga_id)
    if found is None:
        raise NoAnswer(f"saga {saga_id} was not opened yet by then, or never")
    return found
