"""What an entry of some log adds to which stream.

An event is kept as the very text that stands in the log. Only the users' events, which their
store's log holds by the append, become CloudEvents of their own here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from folkmoot.core.event_store import (
    AppendConflicted,
    AppendStatus,
    EventsAppended,
    VersionConfirmed,
    stream_of,
)
from folkmoot.core.messages import log
from folkmoot.core.names import wire_name

OWN_LOG = log("event-store")

_APPENDED = wire_name(EventsAppended)
_VERDICTS: Mapping[str, AppendStatus] = {
    wire_name(VersionConfirmed): "confirmed",
    wire_name(AppendConflicted): "conflict",
}
_DECODER = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s,\[]*")


@dataclass(frozen=True, slots=True)
class Placed:
    """An event as JSON text, and its stream. Its version is `version`, else simply the next."""

    stream: str
    event: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request to append."""

    stream: str
    request_id: str
    status: AppendStatus
    version: int
    appended: int = 0


def place(topic: str, partition: int, entry: str) -> Iterator[Placed | Answered]:
    """Yield what `entry`, a JSON array of CloudEvents, adds to which streams, in order.

    Raises:
        ValueError: it is no such array.
    """
    for text, event in _split(entry):
        if topic == OWN_LOG and event["type"] == _APPENDED:
            yield from _users_events(event)
            continue
        data = event["data"]
        if topic == OWN_LOG and (status := _VERDICTS.get(event["type"])) is not None:
            yield Answered(data["stream"], data["request_id"], status, data["version"])
        fields = data if isinstance(data, dict) else {}
        yield Placed(stream_of(topic, partition, fields), text)


def _split(entry: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the texts and values of a JSON array's objects."""
    at = _skip(entry, 0)
    while at < len(entry) and entry[at] != "]":
        value, end = _DECODER.raw_decode(entry, at)
        if not isinstance(value, dict) or not {"type", "data"} <= value.keys():
            raise ValueError(f"no CloudEvent at character {at} of a log entry")
        yield entry[at:end], value
        at = _skip(entry, end)
    if at >= len(entry):
        raise ValueError("a log entry is no JSON array")


def _skip(entry: str, at: int) -> int:
    found = _BETWEEN.match(entry, at)
    return found.end() if found else at


def _users_events(entry: Mapping[str, Any]) -> Iterator[Placed | Answered]:
    data = entry["data"]
    stream, first, events = data["stream"], data["first_version"], data["events"]
    last = first + len(events) - 1
    yield Answered(stream, data["request_id"], "appended", last, len(events))
    for version, event in enumerate(events, first):
        yield Placed(stream, _cloud_event(stream, entry["time"], event), version)


def _cloud_event(stream: str, time: str, event: Mapping[str, Any]) -> str:
    body = {
        "specversion": "1.0",
        "id": event["event_id"],
        "source": f"/streams/{stream}",
        "type": event["type"],
        "subject": stream,
        "time": time,
        "data": event["data"],
    }
    return orjson.dumps(body).decode()
