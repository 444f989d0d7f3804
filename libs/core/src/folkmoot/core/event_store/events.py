"""What a shard of the event store decides. The log of `EventsAppended` is the event log itself."""

from __future__ import annotations

from dataclasses import dataclass

from folkmoot.core.messages import NewEvent
from folkmoot.core.names import by_wire_name


@dataclass(frozen=True, slots=True)
class EventsAppended:
    """The stream grew by `events`, never none; the first of them has version `first_version`."""

    stream: str
    request_id: str
    first_version: int
    events: tuple[NewEvent, ...]


@dataclass(frozen=True, slots=True)
class VersionConfirmed:
    """An append of no events found the stream at `version`, as it may have expected."""

    stream: str
    request_id: str
    version: int


@dataclass(frozen=True, slots=True)
class AppendConflicted:
    """The stream was at `version`, not at `expected_version`; nothing was appended."""

    stream: str
    request_id: str
    expected_version: int
    version: int


@dataclass(frozen=True, slots=True)
class AppendRepeated:
    """A request came again and gets its first answer again; nothing was appended."""

    stream: str
    request_id: str


EVENTS = by_wire_name(EventsAppended, VersionConfirmed, AppendConflicted, AppendRepeated)
