"""The bytes of a shard's log.

An entry's value is a JSON array of CloudEvents, so that any consumer can read what happened; what
only the kernel needs (kind, term, log time, progress) is one header, `folkmoot`.

A reader that meets an event type it does not know stops with `UnknownEvent` rather than guess:
its state would no longer be that of the other members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from folkmoot.contracts.envelope import Headers, fields_of, timestamp
from folkmoot.core.kernel import (
    Beat,
    Claim,
    Entry,
    InputRejected,
    LogRecord,
    Mark,
    Progress,
    Resign,
    Tampered,
)
from folkmoot.core.names import wire_name

CONTROL = "folkmoot"
BATCH_CONTENT_TYPE = b"application/cloudevents-batch+json"
_CONTENT_TYPE = ("content-type", BATCH_CONTENT_TYPE)
KERNEL_EVENTS: Mapping[str, type] = {wire_name(InputRejected): InputRejected}


class UnreadableRecord(Exception):
    """A log record is not what a shard writes; the log was written to by something else."""


class TamperedRecord(UnreadableRecord):
    """An event is not what was recorded, by a hash that stands beside it."""


class UnknownEvent(UnreadableRecord):
    """An event is of a type or version that this program does not know: upgrade it."""


def encode_record(record: LogRecord, source: str, offset: int) -> tuple[bytes, Headers]:
    """Return the value and headers of a log record that is expected to land at `offset`."""
    if isinstance(record, Entry):
        return _encode_entry(record, source, offset)
    if isinstance(record, Beat):
        control = {"kind": "beat", "term": record.term, "at": record.at}
        return b"", _headers(control | _progress_fields(record.progress))
    if isinstance(record, Resign):
        return b"", _headers(
            {"kind": "resign", "term": record.term, "at": record.at, "to": record.to}
        )
    return b"", _headers(
        {
            "kind": "claim",
            "member": record.member,
            "at": record.at,
            "expected": [record.expected_term, record.expected_last],
            "epoch": record.epoch,
            "version": record.version,
        }
    )


def _encode_entry(entry: Entry, source: str, offset: int) -> tuple[bytes, Headers]:
    time = timestamp(entry.at).encode()
    events = []
    for ordinal, event in enumerate(entry.events):
        cls: type = type(event)
        opening, middle = _frame(source, cls)
        place = b"%d/%d" % (offset, ordinal)
        data = orjson.dumps(fields_of(event))
        events.append(b"".join((opening, place, middle, time, b'","data":', data, b"}")))
    control: dict[str, object] = {"kind": "entry", "term": entry.term, "at": entry.at}
    control |= _progress_fields(entry.progress)
    value = b"[" + b",".join(events) + b"]"
    return value, ((CONTROL, orjson.dumps(control)), _CONTENT_TYPE)


@lru_cache(maxsize=4096)
def _frame(source: str, cls: type) -> tuple[bytes, bytes]:
    """Return an event's JSON up to its offset, and from there to its time.

    Only these two and the data differ between the events of one type, and putting bytes together
    takes half the time of encoding all of it.
    """
    origin, name = orjson.dumps(source)[:-1], orjson.dumps(wire_name(cls))
    opening = b'{"specversion":"1.0","id":' + origin + b"/"
    return opening, b'","source":' + origin + b'","type":' + name + b',"time":"'


def _progress_fields(progress: Progress) -> dict[str, object]:
    fields: dict[str, object] = {}
    if progress.consumed:
        fields["consumed"] = progress.consumed
    if progress.marks:
        fields["marks"] = {origin: [*mark] for origin, mark in progress.marks.items()}
    if progress.emitted is not None:
        fields["emitted"] = progress.emitted
    return fields


def _headers(control: Mapping[str, object]) -> Headers:
    return ((CONTROL, orjson.dumps(control)),)


def decode_control(headers: Headers) -> LogRecord:
    """Return a log record without its events, for readers that only need to know if it counts.

    Raises:
        UnreadableRecord: it is none.
    """
    return decode_record(b"[]", headers, {})


def decode_record(value: bytes | None, headers: Headers, events: Mapping[str, type]) -> LogRecord:
    """Return the log record in a stored record.

    Raises:
        UnreadableRecord: it is none.
        UnknownEvent: it holds an event that is not in `events`.
    """
    try:
        control = orjson.loads(dict(headers)[CONTROL])
        return _decode(value or b"", control, events)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UnreadableRecord(f"not a shard's log record: {error!r}") from error


def _decode(value: bytes, control: dict[str, Any], events: Mapping[str, type]) -> LogRecord:
    match control["kind"]:
        case "entry":
            happened = tuple([_decode_event(event, events) for event in orjson.loads(value)])
            return Entry(control["term"], control["at"], happened, _progress(control))
        case "beat":
            return Beat(control["term"], control["at"], _progress(control))
        case "resign":
            return Resign(control["term"], control["at"], control["to"])
        case "claim":
            term, last = control["expected"]
            return Claim(
                control["member"], control["at"], term, last, control["epoch"], control["version"]
            )
    raise UnreadableRecord(f"unknown kind of log record: {control['kind']!r}")


def _progress(control: Mapping[str, Any]) -> Progress:
    marks = control.get("marks")
    if marks is not None:
        marks = {origin: Mark(*mark) for origin, mark in marks.items()}
    return Progress(control.get("consumed") or {}, marks or {}, control.get("emitted"))


def _decode_event(event: Mapping[str, Any], events: Mapping[str, type]) -> object:
    name = event["type"]
    cls = events.get(name) or KERNEL_EVENTS.get(name)
    if cls is None:
        raise UnknownEvent(
            f"the log holds {name!r}, which this version of Folkmoot does not know: upgrade it"
        )
    return decode_data(cls, event["data"])


@lru_cache(maxsize=512)
def _validate(cls: type) -> Callable[[object], object]:
    """Return what checks JSON values: the validator itself, as a log has millions of events.

    Events that can tell whether they are what was recorded are asked.
    """
    validate: Callable[[object], Any] = TypeAdapter(cls).validator.validate_python
    if not hasattr(cls, "verify"):
        return validate

    def verified(data: object) -> object:
        found = validate(data)
        found.verify()
        return found

    return verified


def decode_data(cls: type, data: object) -> object:
    """Return `data`, JSON values, as an instance of `cls`.

    Raises:
        UnreadableRecord: the data do not fit the class.
        TamperedRecord: they are not what was recorded.
    """
    try:
        return _validate(cls)(data)
    except Tampered as error:
        raise TamperedRecord(str(error)) from error
    except ValidationError as error:
        raise UnreadableRecord(f"{wire_name(cls)} does not fit its class: {error}") from error


def decode_events(value: bytes) -> Sequence[Mapping[str, Any]]:
    """Return the CloudEvents of an entry as JSON values, for readers that only show them."""
    events: list[Mapping[str, Any]] = orjson.loads(value) if value else []
    return events
