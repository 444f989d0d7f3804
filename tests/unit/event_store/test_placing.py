"""What an entry adds to which stream, and that its text is kept as it was written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson
import pytest

from folkmoot.core.event_store import (
    AppendConflicted,
    AppendRepeated,
    EventsAppended,
    VersionConfirmed,
)
from folkmoot.core.kernel import InputRejected
from folkmoot.core.messages import NewEvent
from folkmoot.event_store.placing import OWN_LOG, Answered, Placed, place

if TYPE_CHECKING:
    from tests.unit.event_store.conftest import ShardLog

SAGAS = "folkmoot.saga-orchestrator.log"


def cloud_event(type_: str = "folkmoot.noted.v1", **data: object) -> dict[str, object]:
    return {"specversion": "1.0", "id": "i", "source": "s", "type": type_, "data": data}


def placed(topic: str, entry: str) -> list[Placed | Answered]:
    return list(place(topic, 0, entry))


def entry_text(log: ShardLog, *events: object) -> str:
    offset = log.entry(*events)
    return (log.records[offset].value or b"").decode()


@pytest.mark.parametrize("indent", [None, 2])
def test_each_event_is_kept_as_the_text_that_stands_in_the_log(indent: int | None) -> None:
    events = [cloud_event(saga_id=f"s{n}", note='],[ "ä" \\', n=1.10) for n in range(3)]
    texts = [json.dumps(event, indent=indent).replace("1.1", "1.100") for event in events]
    found = placed(SAGAS, "[" + " ,\n".join(texts) + " ]")
    assert found == [Placed(f"saga-s{n}", text) for n, text in enumerate(texts)]


def test_an_entry_without_events_adds_nothing() -> None:
    assert placed(SAGAS, "[]") == []


@pytest.mark.parametrize(
    "entry",
    ["[1]", "[{}]", '[{"type": "x"}]', "[{", "nonsense", "[nope]", "", '[{"type":1,"data":2}'],
)
def test_what_is_no_array_of_cloud_events_is_an_error(entry: str) -> None:
    with pytest.raises(ValueError):
        placed(SAGAS, entry)


def test_a_users_event_becomes_a_cloud_event_of_its_stream(log: ShardLog) -> None:
    data = {"z": 1, "a": [1.5, None, "ä"], "big": 2**63}
    events = (NewEvent("Noted", data, "e1"), NewEvent("Shipped", "x", "e2"))
    text = entry_text(log, EventsAppended("order-1", "r9", 4, events))
    verdict, first, second = placed(OWN_LOG, text)
    assert verdict == Answered("order-1", "r9", "appended", 5, 2)
    assert isinstance(first, Placed)
    assert (first.stream, first.version) == ("order-1", 4)
    assert orjson.loads(first.event) == {
        "specversion": "1.0",
        "id": "e1",
        "source": "/streams/order-1",
        "type": "Noted",
        "subject": "order-1",
        "time": "1970-01-01T00:00:01.001+00:00",
        "data": data,
    }
    assert '{"z":1,"a":[1.5,null,"ä"],"big":9223372036854775808}' in first.event
    assert isinstance(second, Placed)
    assert (second.stream, second.version) == ("order-1", 5)


def test_verdicts_without_events_are_answers_and_part_of_the_logs_own_stream(
    log: ShardLog,
) -> None:
    text = entry_text(
        log,
        VersionConfirmed("order-1", "r1", 2),
        AppendConflicted("order-1", "r2", 7, 2),
        AppendRepeated("order-1", "r2"),
        InputRejected("t", 1, "reserved-stream", "no"),
    )
    found = placed(OWN_LOG, text)
    assert [item for item in found if isinstance(item, Answered)] == [
        Answered("order-1", "r1", "confirmed", 2),
        Answered("order-1", "r2", "conflict", 2),
    ]
    streams = [item.stream for item in found if isinstance(item, Placed)]
    assert streams == [f"${OWN_LOG}/0"] * 4


def test_a_users_event_of_another_log_is_nothing_special(log: ShardLog) -> None:
    text = entry_text(log, EventsAppended("order-1", "r9", 1, (NewEvent("N", 1, "e"),)))
    (only,) = placed("folkmoot.election.log", text)
    assert isinstance(only, Placed)
    assert only.stream == "$folkmoot.election.log/0"
