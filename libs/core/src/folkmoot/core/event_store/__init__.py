"""The machine of the event store: streams of users' events, appended at an expected version."""

from folkmoot.core.event_store.answers import AppendAnswer, AppendStatus, announcement_subject
from folkmoot.core.event_store.events import (
    EVENTS,
    AppendConflicted,
    AppendRepeated,
    EventsAppended,
    VersionConfirmed,
)
from folkmoot.core.event_store.limits import EventStoreSettings
from folkmoot.core.event_store.machine import EventStoreMachine, describe
from folkmoot.core.event_store.state import REQUESTS_REMEMBERED_MAX, EventStoreState
from folkmoot.core.event_store.streams import RESERVED_PREFIXES, stream_of

__all__ = [
    "EVENTS",
    "REQUESTS_REMEMBERED_MAX",
    "RESERVED_PREFIXES",
    "AppendAnswer",
    "AppendConflicted",
    "AppendRepeated",
    "AppendStatus",
    "EventStoreMachine",
    "EventStoreSettings",
    "EventStoreState",
    "EventsAppended",
    "VersionConfirmed",
    "announcement_subject",
    "describe",
    "stream_of",
]
