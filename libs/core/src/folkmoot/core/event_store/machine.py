"""The event store's machine: appends to a stream that is at the version the caller expects.

Invariants:

- A stream's versions are dense: each append begins at the version after the last.
- An append is all or nothing, and it happens only at the version that it expects.
- A repeated request changes nothing and gets its first answer again, within the memory of
  `REQUESTS_REMEMBERED_MAX` requests.
- An append of no events never writes one.
- A stream is decided in one partition only, and streams of other services never.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from folkmoot.core.event_store.answers import AppendAnswer, AppendStatus, announcement_subject
from folkmoot.core.event_store.events import (
    EVENTS,
    AppendConflicted,
    AppendRepeated,
    EventsAppended,
    VersionConfirmed,
)
from folkmoot.core.event_store.limits import EventStoreSettings, check_events, check_name
from folkmoot.core.event_store.state import EventStoreState
from folkmoot.core.kernel import Effect, Led, Local, Position, Refused, Tick
from folkmoot.core.messages import Announce, Append, NewEvent
from folkmoot.core.names import by_wire_name

INPUTS = by_wire_name(Append)
ANY_VERSION = -1

PartitionOf = Callable[[str], int]
"""The partition in which a stream belongs, as Kafka's producers place its name as a key."""


class EventStoreMachine:
    """The machine of one partition of users' streams."""

    name = "event-store"
    inputs: Mapping[str, type] = INPUTS
    events: Mapping[str, type] = EVENTS
    outputs: Mapping[str, type] = {}

    def __init__(
        self,
        settings: EventStoreSettings,
        partition: int,
        partition_of: PartitionOf | None = None,
    ) -> None:
        """With `partition_of`, appends that were sent to the wrong partition are refused."""
        self._settings = settings
        self._partition = partition
        self._partition_of = partition_of

    def initial(self) -> EventStoreState:
        """Return a store without streams."""
        return EventStoreState()

    def due(self, state: EventStoreState) -> int | None:
        """Return None: nothing happens here by the clock."""
        return None

    # -- decide -----------------------------------------------------------------------------

    def decide(self, state: EventStoreState, message: object, now: int) -> Sequence[object]:
        """Return what `message` brings about; see `folkmoot.core.kernel.Machine`."""
        match message:
            case Append():
                return (self._decide_append(state, message),)
            case Led() | Tick():
                return ()
        raise Refused("unknown-message", f"an event store takes no {type(message).__name__}")

    def _decide_append(self, state: EventStoreState, append: Append) -> object:
        stream, request_id = append.stream, append.request_id
        if state.answer(stream, request_id) is not None:
            return AppendRepeated(stream, request_id)
        check_name(append)
        self._check_place(stream)
        append = replace(append, events=_identified(append))
        check_events(append, self._settings)
        version = state.version(stream)
        if append.expected_version not in (ANY_VERSION, version):
            return AppendConflicted(stream, request_id, append.expected_version, version)
        if not append.events:
            return VersionConfirmed(stream, request_id, version)
        self._check_room(state, stream)
        return EventsAppended(stream, request_id, version + 1, append.events)

    def _check_place(self, stream: str) -> None:
        if self._partition_of is not None and self._partition_of(stream) != self._partition:
            raise Refused(
                "wrong-partition",
                f"stream {stream!r} belongs to partition {self._partition_of(stream)}, this is "
                f"{self._partition}: send appends with the stream's name as the record's key",
            )

    def _check_room(self, state: EventStoreState, stream: str) -> None:
        known = len(state.versions)
        if known >= self._settings.streams_max and stream not in state.versions:
            raise Refused(
                "too-many-streams",
                f"this shard has {known:,} streams, its limit: append to one of them, or raise "
                "streams_max and give the service the memory",
            )

    # -- apply ------------------------------------------------------------------------------

    def apply(self, state: EventStoreState, event: object, position: Position) -> Sequence[Effect]:
        """Fold `event` into `state`; see `folkmoot.core.kernel.Machine`."""
        match event:
            case AppendRepeated():
                return _announce(_again(state, event))
            case EventsAppended(events=events):
                version = state.versions[event.stream] = event.first_version + len(events) - 1
                state.appended += len(events)
                answer = self._answer(event, "appended", version, position, len(events))
            case VersionConfirmed():
                answer = self._answer(event, "confirmed", event.version, position)
            case AppendConflicted():
                answer = self._answer(event, "conflict", event.version, position)
            case _:
                return ()
        state.remember(answer)
        return _announce(answer)

    def _answer(
        self,
        event: EventsAppended | VersionConfirmed | AppendConflicted,
        status: AppendStatus,
        version: int,
        position: Position,
        appended: int = 0,
    ) -> AppendAnswer:
        place = (self._partition, position.offset)
        return AppendAnswer(event.stream, event.request_id, status, version, appended, *place)


def _identified(append: Append) -> tuple[NewEvent, ...]:
    """Return the events, each with an id: its own, or one that a repetition would give again."""
    return tuple(
        event if event.event_id else replace(event, event_id=f"{append.request_id}/{ordinal}")
        for ordinal, event in enumerate(append.events)
    )


def _again(state: EventStoreState, event: AppendRepeated) -> AppendAnswer:
    answer = state.answer(event.stream, event.request_id)
    assert answer is not None, "a repetition is recognised by the answer that is remembered"
    return replace(answer, repeated=True)


def _announce(answer: AppendAnswer) -> Sequence[Effect]:
    return (Local(Announce(announcement_subject(answer.request_id), answer)),)


def describe(state: EventStoreState) -> dict[str, object]:
    """Return how much the shard holds as JSON values, for queries."""
    return {
        "streams": len(state.versions),
        "events": state.appended,
        "requests_remembered": len(state.answers),
    }
