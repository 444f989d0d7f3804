"""The envelope: what is a message, what is none and why, and how a message is signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from folkmoot.contracts.envelope import (
    DETAIL_CHARS_MAX,
    MESSAGE_BYTES_MAX,
    Decoded,
    TooLarge,
    _validator,
    decode_message,
    encode_message,
    origin_headers,
    prepare,
    saga_id_of,
)
from folkmoot.core.kernel import EXCERPT_BYTES_MAX, Mark, Undecodable
from folkmoot.core.messages import Address, Call, CancelSaga, Task
from folkmoot.core.names import by_wire_name


@dataclass(frozen=True, slots=True)
class Unheard:
    number: int


TYPES = by_wire_name(Call, Task)
TASK = "folkmoot.task.v1"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "req-42",
    "source": "/shop",
    "type": TASK,
    "data": {"team": "newsroom", "input": {"q": [1, "two", None]}},
}
CALL = Call(
    call_id="c1",
    saga_id="s1",
    step_id="research",
    kind="step",
    name="research",
    target="researcher",
    team="newsroom",
    attempt=1,
    input={"q": "ä"},
    idempotency_key="s1/research",
    deadline_at=99,
    outcome_to=Address("folkmoot.saga-orchestrator.inbox", 1),
    traceparent="00-aa-bb-01",
)


def decode(event: object, *headers: tuple[str, bytes]) -> Decoded:
    value = event if isinstance(event, bytes) else orjson.dumps(event)
    return decode_message(value, headers, TYPES)


def rejected(event: object, *headers: tuple[str, bytes]) -> Undecodable:
    message = decode(event, *headers).message
    assert isinstance(message, Undecodable)
    return message


def without(key: str) -> dict[str, Any]:
    return {k: v for k, v in EVENT.items() if k != key}


def task_with(json: bytes) -> bytes:
    return orjson.dumps(EVENT).replace(b'{"q":[1,"two",null]}', json)


# -- good ---------------------------------------------------------------------------------------


def test_what_is_prepared_need_not_be_when_it_comes() -> None:
    prepare(by_wire_name(Unheard))
    compiled = _validator.cache_info().misses
    value, headers = encode_message(Unheard(1), event_id="1", source="test", at=0)
    assert decode_message(value, headers, by_wire_name(Unheard)).message == Unheard(1)
    assert _validator.cache_info().misses == compiled


def test_a_message_comes_back_as_it_was_sent() -> None:
    value, headers = encode_message(CALL, event_id="e1", source="s", at=1_000)
    assert decode_message(value, headers, TYPES) == Decoded(CALL)
    assert orjson.loads(value) | {"data": None} == {
        "specversion": "1.0",
        "id": "e1",
        "source": "s",
        "type": "folkmoot.call.v1",
        "time": "1970-01-01T00:00:01.000+00:00",
        "datacontenttype": "application/json",
        "traceparent": "00-aa-bb-01",
        "data": None,
    }


def test_type_and_id_stand_in_the_headers_too() -> None:
    _, headers = encode_message(CALL, event_id="e1", source="s", at=0)
    assert dict(headers)["ce_type"] == b"folkmoot.call.v1"
    assert dict(headers)["ce_id"] == b"e1"


def test_a_plain_producer_needs_no_headers_and_may_add_attributes() -> None:
    message = decode(EVENT | {"time": "2024-01-01T00:00:00Z", "myextension": 1}).message
    assert message == Task("newsroom", {"q": [1, "two", None]}, saga_id_of("/shop", "req-42"))


def test_source_and_id_alone_make_the_identity_of_a_task() -> None:
    first = decode(EVENT).message
    forged = EVENT | {"data": {"team": "newsroom", "saga_id": "of-somebody-else"}}
    assert isinstance(first, Task)
    ids = {
        getattr(decode(event).message, "saga_id", None)
        for event in (EVENT, forged, EVENT | {"data": {"team": "other"}})
    }
    assert ids == {first.saga_id}
    for change in ({"id": "req-43"}, {"source": "/shop2"}):
        other = decode(EVENT | change).message
        assert isinstance(other, Task)
        assert other.saga_id != first.saga_id


def test_the_trace_of_the_envelope_comes_before_that_of_the_data() -> None:
    data = {"team": "newsroom", "traceparent": "inner"}
    traced = decode(EVENT | {"traceparent": "outer", "data": data}).message
    inner = decode(EVENT | {"data": data}).message
    assert isinstance(traced, Task)
    assert isinstance(inner, Task)
    assert (traced.traceparent, inner.traceparent) == ("outer", "inner")


def test_origin_and_mark_travel_in_headers() -> None:
    signed = origin_headers("folkmoot.x.log/3", Mark(12, 4))
    decoded = decode(EVENT, *signed)
    assert (decoded.origin, decoded.mark) == ("folkmoot.x.log/3", Mark(12, 4))
    assert decode(EVENT).origin is None


# -- bad ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "reason", "detail"),
    [
        (b"", "not-json", "empty document"),
        (b"{", "not-json", "not JSON: "),
        (b"\xff\xfe\x00", "not-json", "UTF-8"),
        (b"[]", "not-a-cloudevent", "specversion, id, source, type and data are required"),
        (b"7", "not-a-cloudevent", "required"),
        (without("type"), "not-a-cloudevent", "required"),
        (EVENT | {"type": 7}, "not-a-cloudevent", "required"),
        (EVENT | {"type": "shop.order.v1"}, "unknown-type", "none of: folkmoot.call.v1, folkmoot"),
        (EVENT | {"type": "folkmoot.task.v2"}, "unknown-type", "'folkmoot.task.v2'"),
        (without("id"), "invalid", "id: Field required"),
        (without("source"), "invalid", "source: Field required"),
        (without("specversion"), "invalid", "specversion: Field required"),
        (without("data"), "invalid", "data: Field required"),
        (EVENT | {"specversion": "0.3"}, "invalid", "specversion: "),
        (EVENT | {"id": ""}, "invalid", "id: "),
        (EVENT | {"source": ""}, "invalid", "source: "),
        (EVENT | {"data": "x"}, "invalid", "data: "),
        (EVENT | {"data": {}}, "invalid", "data.team: Field required"),
        (EVENT | {"data": {"team": 7}}, "invalid", "data.team: "),
        (EVENT | {"id": "", "data": {}}, "invalid", "(and 1 more)"),
        (task_with(b"NaN"), "not-json", "not JSON"),
        (task_with(b"1e999"), "not-json", "infinity"),
        (task_with(b"9" * 30), "invalid", "out of range"),
        (task_with(b"[" * 300 + b"]" * 300), "invalid", "recursion limit"),
        (task_with(rb'"\ud800"'), "not-json", "surrogate"),
    ],
)
def test_what_is_no_message_says_why(event: object, reason: str, detail: str) -> None:
    message = rejected(event)
    assert message.reason == reason
    assert detail in message.detail


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity", "9" * 30])
def test_a_number_that_the_log_cannot_hold_is_refused_with_the_header_too(value: str) -> None:
    event = task_with(value.encode())
    assert rejected(event, ("ce_type", TASK.encode())).reason == "invalid"


def test_a_record_without_value_is_no_message() -> None:
    assert decode_message(None, (), TYPES).message == Undecodable(
        "empty", "the record has no value"
    )


def test_a_message_over_the_limit_is_not_parsed() -> None:
    big = rejected(task_with(b'"%s"' % (b"x" * MESSAGE_BYTES_MAX)))
    assert big.reason == "too-large"
    assert f"{MESSAGE_BYTES_MAX:,}" in big.detail
    assert len(big.excerpt) == EXCERPT_BYTES_MAX


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([("ce_type", b"\xff\xfe")], "unknown-type"),
        ([("ce_type", b"")], "unknown-type"),
        ([("ce_type", b"folkmoot.call.v1")], "invalid"),
        ([("origin", b"x")], "invalid"),
        ([("origin", b"x"), ("mark", b"")], "invalid"),
        ([("origin", b"x"), ("mark", b"1")], "invalid"),
        ([("origin", b"x"), ("mark", b"1.2.3")], "invalid"),
        ([("origin", b"x"), ("mark", b"1.b")], "invalid"),
        ([("origin", b"\xff"), ("mark", b"1.2")], "invalid"),
    ],
)
def test_bad_headers_are_bad_input_and_no_error_of_the_reader(
    headers: list[tuple[str, bytes]], reason: str
) -> None:
    assert rejected(EVENT, *headers).reason == reason


def test_header_and_body_may_not_name_different_types() -> None:
    event = EVENT | {"type": "folkmoot.call.v1"}
    problem = rejected(event, ("ce_type", TASK.encode()))
    assert problem.detail == (
        "the ce_type header says 'folkmoot.task.v1', the event says 'folkmoot.call.v1'"
    )


def test_a_bad_message_is_quoted_shortly_so_that_its_dead_letter_is_small() -> None:
    problem = rejected(EVENT | {"type": "\U000e0001" * 100_000})
    assert len(problem.detail) <= DETAIL_CHARS_MAX
    assert len(problem.type) <= DETAIL_CHARS_MAX
    assert "folkmoot.task.v1" in problem.detail
    odd = EVENT | {"data": {"team": "t", "input": {"k" * 400_000: 1}, "traceparent": 7}}
    assert len(rejected(odd).detail) <= DETAIL_CHARS_MAX


def test_a_message_over_the_limit_is_not_sent_and_says_what_to_do() -> None:
    with pytest.raises(TooLarge, match=r"folkmoot\.cancel-saga\.v1 of .* send a reference"):
        encode_message(
            CancelSaga("s", "me", "x" * MESSAGE_BYTES_MAX), event_id="e", source="s", at=0
        )


def test_what_may_be_sent_may_be_taken() -> None:
    empty, _ = encode_message(Task("t", ""), event_id="e", source="s", at=0)
    task = Task("t", "x" * (MESSAGE_BYTES_MAX - len(empty)))
    value, headers = encode_message(task, event_id="e", source="s", at=0)
    assert len(value) == MESSAGE_BYTES_MAX
    assert isinstance(decode_message(value, headers, TYPES).message, Task)
    with pytest.raises(TooLarge):
        encode_message(Task("t", task.input + "x"), event_id="e", source="s", at=0)
