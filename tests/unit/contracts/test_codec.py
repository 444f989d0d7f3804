"""A log record's bytes: everything comes back, and what is no record is said to be none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from folkmoot.contracts.codec import (
    CONTROL,
    UnknownEvent,
    UnreadableRecord,
    decode_control,
    decode_data,
    decode_events,
    decode_record,
    encode_record,
)
from folkmoot.core.kernel import (
    Beat,
    Claim,
    Entry,
    InputRejected,
    LogRecord,
    Mark,
    Progress,
    Resign,
)
from folkmoot.core.messages import Failure, Json
from folkmoot.core.names import by_wire_name, wire_name

SOURCE = "folkmoot.x.log/0"


@dataclass(frozen=True, slots=True)
class Moved:
    by: float
    places: tuple[str, ...]
    failure: Failure | None = None
    data: Json = None


EVENTS = by_wire_name(Moved)
PROGRESS = Progress({"in": 7, "tasks": 0}, {"other.log/1": Mark(3, 9)}, 12)
MOVED = Moved(0.1, ("a", "b"), Failure("x", "y", retry_after_ms=5), {"k": [1, 2.5, None, "ä"]})
RECORDS: list[LogRecord] = [
    Entry(4, 1_000, (MOVED, Moved(-3.0, ())), PROGRESS),
    Entry(4, 1_000, (InputRejected("in", 5, "not-json", "why", "t", "\x00ä"),)),
    Entry(4, 1_000, (), Progress(emitted=0)),
    Beat(4, 1_001),
    Beat(4, 1_001, PROGRESS),
    Resign(4, 1_002),
    Resign(4, 1_002, "b"),
    Claim("b", 1_003, -1, -1),
    Claim("b", 1_003, 4, 9, 8, 2),
]


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_a_record_comes_back_as_it_was_written(record: LogRecord) -> None:
    value, headers = encode_record(record, SOURCE, 17)
    assert decode_record(value, headers, EVENTS) == record


@pytest.mark.parametrize("record", RECORDS, ids=repr)
def test_whether_a_record_counts_can_be_told_from_its_headers_alone(record: LogRecord) -> None:
    _, headers = encode_record(record, SOURCE, 17)
    control = decode_control(headers)
    assert type(control) is type(record)
    if isinstance(record, Entry):
        assert control == Entry(record.term, record.at, (), record.progress)
    else:
        assert control == record


def test_any_consumer_reads_an_entry_as_cloudevents() -> None:
    value, headers = encode_record(RECORDS[0], SOURCE, 17)
    assert dict(headers)["content-type"] == b"application/cloudevents-batch+json"
    first, second = decode_events(value)
    assert first == {
        "specversion": "1.0",
        "id": "folkmoot.x.log/0/17/0",
        "source": SOURCE,
        "type": "folkmoot.moved.v1",
        "time": "1970-01-01T00:00:01.000+00:00",
        "data": orjson.loads(orjson.dumps(MOVED)),
    }
    assert second["id"] == "folkmoot.x.log/0/17/1"
    assert decode_events(b"") == []


@pytest.mark.parametrize("source", ["folkmoot.x.log/0", 'of "others"\\ä/1'])
def test_an_entry_is_byte_for_byte_the_json_of_its_cloudevents(source: str) -> None:
    events = (MOVED, Moved(-3.0, ()), InputRejected("in", 5, "not-json", "why", "t", "\x00ä"))
    value, _ = encode_record(Entry(4, 1_000, events), source, 17)
    plain = [
        {
            "specversion": "1.0",
            "id": f"{source}/17/{ordinal}",
            "source": source,
            "type": wire_name(type(event)),
            "time": "1970-01-01T00:00:01.000+00:00",
            "data": event,
        }
        for ordinal, event in enumerate(events)
    ]
    assert value == orjson.dumps(plain)


def test_progress_that_did_not_change_takes_no_room() -> None:
    _, headers = encode_record(Beat(1, 2), SOURCE, 0)
    assert orjson.loads(dict(headers)[CONTROL]) == {"kind": "beat", "term": 1, "at": 2}


def entry(**event: Any) -> bytes:
    return orjson.dumps([event])


CONTROL_OF_ENTRY = ((CONTROL, b'{"kind":"entry","term":1,"at":2}'),)


def test_an_event_of_a_newer_version_stops_the_reader() -> None:
    value = entry(type="folkmoot.moved.v2", data={})
    with pytest.raises(UnknownEvent, match=r"'folkmoot\.moved\.v2'.*upgrade it"):
        decode_record(value, CONTROL_OF_ENTRY, EVENTS)


def test_the_kernels_own_events_are_known_to_every_machine() -> None:
    event = InputRejected("in", 5, "r", "d")
    value, headers = encode_record(Entry(1, 2, (event,)), SOURCE, 3)
    assert decode_record(value, headers, {}) == Entry(1, 2, (event,))


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (b"hello", ()),
        (None, ()),
        (b"", ((CONTROL, b"not json"),)),
        (b"", ((CONTROL, b"[]"),)),
        (b"", ((CONTROL, b"7"),)),
        (b"", ((CONTROL, b"{}"),)),
        (b"", ((CONTROL, b'{"kind":"banana"}'),)),
        (b"", ((CONTROL, b'{"kind":"beat"}'),)),
        (b"", ((CONTROL, b'{"kind":"beat","term":1,"at":2,"marks":[1]}'),)),
        (b"", ((CONTROL, b'{"kind":"beat","term":1,"at":2,"marks":{"o":[1]}}'),)),
        (b"", ((CONTROL, b'{"kind":"claim","member":"a","at":1,"expected":[1]}'),)),
        (b"", CONTROL_OF_ENTRY),
        (b"{", CONTROL_OF_ENTRY),
        (b"7", CONTROL_OF_ENTRY),
        (b"[7]", CONTROL_OF_ENTRY),
        (b"[{}]", CONTROL_OF_ENTRY),
        (entry(type="folkmoot.moved.v1"), CONTROL_OF_ENTRY),
        (entry(type="folkmoot.moved.v1", data={"by": "far"}), CONTROL_OF_ENTRY),
        (entry(type="folkmoot.moved.v1", data=None), CONTROL_OF_ENTRY),
    ],
)
def test_a_foreign_record_is_not_guessed_at(
    value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    with pytest.raises(UnreadableRecord):
        decode_record(value, headers, EVENTS)


def test_data_that_do_not_fit_name_the_event() -> None:
    with pytest.raises(UnreadableRecord, match=r"folkmoot\.moved\.v1 does not fit its class"):
        decode_data(Moved, {"by": "far", "places": []})
