"""Questions and answers as JSON, with typed errors and how fresh the answer is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from folkmoot.event_store import queries
from folkmoot.event_store.index import FILE_NAME, Index
from folkmoot.event_store.queries import answer

if TYPE_CHECKING:
    from tests.unit.event_store.conftest import ShardLog

OWN = "folkmoot.event-store.log/0"


@pytest.fixture
def filled(index: Index, log: ShardLog, saga_log: ShardLog) -> Index:
    for n in range(1, 6):
        log.append("order-1", {"n": n}, request_id=f"r{n}")
    log.append("order-2", "x")
    saga_log.beat()
    log.feed(index)
    saga_log.feed(index)
    return index


async def ok(index: Index, **request: Any) -> dict[str, Any]:
    answered = await answer(index, request)
    assert orjson.loads(orjson.dumps(answered)) == answered
    assert list(answered) == ["ok"], answered
    found: dict[str, Any] = answered["ok"]
    return found


async def error(index: Index, **request: Any) -> tuple[str, str]:
    answered = await answer(index, request)
    assert list(answered) == ["error"]
    return answered["error"]["kind"], answered["error"]["detail"]


async def test_read_returns_a_page_of_cloud_events(filled: Index) -> None:
    found = await ok(filled, op="read", stream="order-1", from_version=2, limit=2)
    assert (found["stream"], found["version"], found["next_version"]) == ("order-1", 5, 4)
    assert [(e["version"], e["offset"], e["at"]) for e in found["events"]] == [
        (2, 2, 1_002),
        (3, 3, 1_003),
    ]
    assert found["events"][0]["event"]["data"] == {"n": 2}
    assert found["events"][0]["event"]["type"] == "Noted"
    assert found["as_of"] == {OWN: 7}


async def test_read_backwards_begins_at_the_end(filled: Index) -> None:
    found = await ok(filled, op="read", stream="order-1", backwards=True, limit=2)
    assert [e["version"] for e in found["events"]] == [5, 4]
    assert found["next_version"] == 3


async def test_read_at_returns_the_history_up_to_a_version(filled: Index) -> None:
    found = await ok(filled, op="read-at", stream="order-1", version=3)
    assert [e["event"]["data"]["n"] for e in found["events"]] == [1, 2, 3]
    assert (found["version"], found["next_version"]) == (5, None)


async def test_streams_come_in_pages(filled: Index) -> None:
    found = await ok(filled, op="streams", prefix="order-", limit=1)
    assert found["streams"] == [{"stream": "order-1", "version": 5, "at": 1_005}]
    assert found["next_after"] == "order-1"
    assert found["as_of"] == {OWN: 7, "folkmoot.saga-orchestrator.log/1": 1}
    found = await ok(filled, op="streams", prefix="order-", after="order-1")
    assert [s["stream"] for s in found["streams"]] == ["order-2"]
    assert found["next_after"] is None


async def test_version_counts_events_and_is_0_for_no_stream(filled: Index) -> None:
    found = await ok(filled, op="version", stream="order-1")
    assert found == {"stream": "order-1", "version": 5, "as_of": {OWN: 7}}
    found = await ok(filled, op="version", stream="nowhere")
    assert found["version"] == 0
    assert set(found["as_of"]) == {OWN, "folkmoot.saga-orchestrator.log/1"}


async def test_append_status_returns_the_answer_to_the_append(filled: Index) -> None:
    assert await ok(filled, op="append-status", stream="order-1", request_id="r2") == {
        "stream": "order-1",
        "request_id": "r2",
        "status": "appended",
        "version": 2,
        "appended": 1,
        "partition": 0,
        "offset": 2,
        "repeated": False,
        "as_of": {OWN: 7},
    }


async def test_what_is_not_there_is_a_typed_error(filled: Index) -> None:
    kind, detail = await error(filled, op="read", stream="nowhere")
    assert (kind, "nowhere" in detail) == ("unknown-stream", True)
    kind, detail = await error(filled, op="read-at", stream="order-1", version=6)
    assert (kind, "at version 5" in detail) == ("version-not-reached", True)
    kind, detail = await error(filled, op="append-status", stream="order-1", request_id="r9")
    assert (kind, "'r9'" in detail) == ("unknown-request", True)


@pytest.mark.parametrize(
    ("request_", "culprit"),
    [
        ({}, "op"),
        ({"op": "write"}, "write"),
        ({"op": "read"}, "stream"),
        ({"op": "read", "stream": ""}, "stream"),
        ({"op": "read", "stream": "a", "limit": 0}, "limit"),
        ({"op": "read", "stream": "a", "limit": 1_001}, "limit"),
        ({"op": "read", "stream": "a", "from_version": -1}, "from_version"),
        ({"op": "read", "stream": "a", "form_version": 1}, "form_version"),
        ({"op": "read-at", "stream": "a"}, "version"),
        ({"op": "streams", "prefix": 7}, "prefix"),
        ({"op": "append-status", "stream": "a"}, "request_id"),
        ({"op": "version", "stream": "a", "at_least": {"offset": 1}}, "partition"),
        ([1], "dictionary"),
        ("nonsense", "dictionary"),
    ],
)
async def test_a_malformed_request_is_an_error_that_names_the_culprit(
    index: Index, request_: Any, culprit: str
) -> None:
    answered = await answer(index, request_)
    assert answered["error"]["kind"] == "invalid-query"
    assert culprit in answered["error"]["detail"]


async def test_the_largest_page_is_granted(filled: Index) -> None:
    found = await ok(filled, op="read", stream="order-1", limit=1_000)
    assert len(found["events"]) == 5


async def test_a_reader_may_insist_on_having_its_own_append(filled: Index) -> None:
    fresh = {"partition": 0, "offset": 6}
    assert (await ok(filled, op="version", stream="order-1", at_least=fresh))["version"] == 5
    later = {"partition": 0, "offset": 7}
    kind, detail = await error(filled, op="version", stream="order-1", at_least=later)
    assert (kind, "the next is 7: ask again" in detail) == ("behind", True)
    elsewhere = {"partition": 5, "offset": 0}
    kind, _ = await error(filled, op="read", stream="order-1", at_least=elsewhere)
    assert kind == "behind"


async def test_an_event_that_no_answer_holds_says_where_it_is(
    filled: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "EVENT_ANSWER_BYTES_MAX", 100)
    kind, detail = await error(filled, op="read", stream="order-1", from_version=3)
    assert kind == "event-too-large"
    assert "folkmoot.event-store.log, partition 0, offset 3" in detail


async def test_an_index_in_trouble_answers_that(tmp_path: Path, log: ShardLog) -> None:
    for n in range(300):
        log.append("order-1", "x" * 100, n)
    first = Index(tmp_path)
    log.feed(first)
    first.close()
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.seek(4096)
        file.write(b"\x7f" * 65_536)
    index = Index(tmp_path)
    kind, _ = await error(index, op="read", stream="order-1")
    assert kind in {"index-rebuilding", "unknown-stream"}
    log.feed(index)
    found = await ok(index, op="read", stream="order-1", limit=1)
    assert json.dumps(found["events"][0]["event"]["data"]) == json.dumps("x" * 100)
    index.close()
