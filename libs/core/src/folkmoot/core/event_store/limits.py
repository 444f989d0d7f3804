"""What an append may look like. All of it is checked before anything is decided."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from folkmoot.core.event_store.streams import RESERVED_PREFIXES
from folkmoot.core.kernel import Refused
from folkmoot.core.messages import Append, NewEvent

STREAM_CHARS_MAX = 200
REQUEST_ID_CHARS_MAX = 128
TYPE_CHARS_MAX = 200
EVENT_ID_CHARS_MAX = 200

_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/+-]*")
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:-]*")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class EventStoreSettings:
    """How much a shard takes in."""

    events_per_append_max: int = 500
    """An append is one record of the log; more events belong in more appends."""

    event_bytes_max: int = 256 * 1024
    """JSON bytes of one event: large data belongs in an object store, its reference here."""

    append_bytes_max: int = 900_000
    """JSON bytes of an append's events: a log record takes 1,000,000 with its envelope."""

    streams_max: int = 1_000_000
    """Streams of one shard: their versions are kept in memory, about 150 bytes each."""


def check_name(append: Append) -> None:
    """Raise `Refused` if the stream is not a user's, or a name or id is malformed."""
    stream = append.stream
    if stream.startswith(RESERVED_PREFIXES):
        raise Refused(
            "reserved-stream",
            f"{stream[:STREAM_CHARS_MAX]!r} is a read-only stream of another service, as are all "
            f"that begin with {', '.join(RESERVED_PREFIXES)}: append to a stream of another name",
        )
    if len(stream) > STREAM_CHARS_MAX or _STREAM.fullmatch(stream) is None:
        raise Refused(
            "invalid-stream",
            f"{stream[:STREAM_CHARS_MAX]!r} is no stream name: use 1 to {STREAM_CHARS_MAX} "
            "letters, digits and . _ : @ / + - beginning with a letter or digit",
        )
    request_id = append.request_id
    if len(request_id) > REQUEST_ID_CHARS_MAX or _REQUEST_ID.fullmatch(request_id) is None:
        raise Refused(
            "invalid-request-id",
            f"{request_id[:REQUEST_ID_CHARS_MAX]!r} is no request id: use 1 to "
            f"{REQUEST_ID_CHARS_MAX} letters, digits and _ : - such as a UUID",
        )


def check_events(append: Append, settings: EventStoreSettings) -> None:
    """Raise `Refused` if the expected version or an event is malformed or over a limit."""
    if append.expected_version < -1:
        raise Refused(
            "invalid-expected-version",
            f"{append.expected_version} is no version: expect the number of events in the "
            "stream, 0 for a stream that must not exist, or -1 for any",
        )
    if len(append.events) > settings.events_per_append_max:
        raise Refused(
            "too-many-events",
            f"{len(append.events)} events in one append, the limit is "
            f"{settings.events_per_append_max}: split it",
        )
    total = sum(_checked_bytes(event, settings) for event in append.events)
    if total > settings.append_bytes_max:
        raise Refused(
            "append-too-large",
            f"{total:,} bytes of events in one append, the limit is "
            f"{settings.append_bytes_max:,}: split it",
        )


def _checked_bytes(event: NewEvent, settings: EventStoreSettings) -> int:
    if not 1 <= len(event.type) <= TYPE_CHARS_MAX:
        raise Refused(
            "invalid-event", f"an event's type needs 1 to {TYPE_CHARS_MAX} characters: name it"
        )
    if len(event.event_id) > EVENT_ID_CHARS_MAX:
        raise Refused(
            "invalid-event",
            f"an event id of {len(event.event_id)} characters, the limit is "
            f"{EVENT_ID_CHARS_MAX}: use a shorter one, or none to have one made",
        )
    size = _json_bytes(event)
    if size > settings.event_bytes_max:
        raise Refused(
            "event-too-large",
            f"an event {event.type!r} of {size:,} bytes, the limit is "
            f"{settings.event_bytes_max:,}: keep large data elsewhere and append a reference",
        )
    return size


def _json_bytes(event: NewEvent) -> int:
    fields = {"type": event.type, "data": event.data, "event_id": event.event_id}
    try:
        return len(_ENCODER.encode(fields).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(
            "invalid-event", f"the data of an event {event.type!r} are no JSON: {error}"
        ) from error
