"""Reading: streams as they were written, at any version, in pages, in bounded memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.event_store import AppendConflicted, VersionConfirmed
from folkmoot.event_store import index as index_module
from folkmoot.event_store import reading, writing
from folkmoot.event_store.errors import UnknownStream, VersionNotReached
from folkmoot.event_store.index import Index
from folkmoot.event_store.reading import Page
from folkmoot.event_store.writing import Cursor

if TYPE_CHECKING:
    from tests.unit.event_store.conftest import ShardLog


@dataclass(frozen=True)
class SagaNoted:
    saga_id: str
    what: str


def data(page: Page) -> list[object]:
    return [json.loads(event.event)["data"] for event in page.events]


def versions(page: Page) -> list[int]:
    return [event.version for event in page.events]


@pytest.fixture
def ten(index: Index, log: ShardLog) -> Index:
    """Return an index with a stream of ten events, appended by threes, among others."""
    for first in range(1, 11, 3):
        log.append("other", "x")
        log.append("order-1", *range(first, min(first + 3, 11)))
    log.feed(index)
    return index


def test_a_stream_is_read_in_order_with_dense_versions(ten: Index) -> None:
    page = ten.read("order-1")
    assert data(page) == list(range(1, 11))
    assert versions(page) == list(range(1, 11))
    assert (page.head.version, page.next_version) == (10, None)
    assert (page.head.topic, page.head.partition) == ("folkmoot.event-store.log", 0)


def test_events_carry_where_and_when_they_were_decided(ten: Index) -> None:
    assert {(e.offset, e.at) for e in ten.read("order-1").events} == {
        (2, 1_002),
        (4, 1_004),
        (6, 1_006),
        (8, 1_008),
    }
    assert ten.read("order-1").head.at == 1_008


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 10, 11])
def test_pages_add_up_to_the_whole(ten: Index, limit: int, backwards: bool) -> None:
    found: list[int] = []
    following: int | None = None
    while True:
        page = ten.read("order-1", following, limit, backwards=backwards)
        assert len(page.events) <= limit
        found += versions(page)
        if (following := page.next_version) is None:
            break
    assert found == (list(range(10, 0, -1)) if backwards else list(range(1, 11)))


def test_a_page_ends_early_when_it_grows_large(
    index: Index, log: ShardLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append("order-1", "ä" * 300, "ä" * 300, "ä" * 300, "ä" * 5_000)
    log.feed(index)
    monkeypatch.setattr(reading, "PAGE_BYTES_MAX", 2_000)
    pages = [versions(index.read("order-1", start)) for start in (1, 3, 4)]
    assert pages == [[1, 2], [3], [4]]


@pytest.mark.parametrize("version", range(11))
def test_the_history_at_a_version_is_the_prefix(ten: Index, version: int) -> None:
    whole = ten.read("order-1").events
    page = ten.read_at("order-1", version)
    assert page.events == whole[:version]
    assert page.next_version is None


def test_the_history_at_a_version_comes_in_pages_too(ten: Index) -> None:
    page = ten.read_at("order-1", 5, from_version=2, limit=3)
    assert (versions(page), page.next_version) == ([2, 3, 4], 5)
    page = ten.read_at("order-1", 5, from_version=5, limit=3)
    assert (versions(page), page.next_version) == ([5], None)


def test_the_history_at_a_version_can_be_read_backwards(ten: Index) -> None:
    page = ten.read("order-1", 9, 2, backwards=True, upto=5)
    assert (versions(page), page.next_version) == ([5, 4], 3)


def test_a_version_that_is_not_there_yet_is_an_error(ten: Index) -> None:
    with pytest.raises(VersionNotReached, match="at version 10, not yet at 11"):
        ten.read_at("order-1", 11)


def test_reading_beyond_the_ends_finds_nothing(ten: Index) -> None:
    assert versions(ten.read("order-1", 11)) == []
    assert versions(ten.read("order-1", 0, 1)) == [1]
    assert versions(ten.read("order-1", 99, 1, backwards=True)) == [10]
    assert versions(ten.read("order-1", 0, backwards=True)) == []


def test_a_stream_that_is_not_there_is_an_error_and_has_version_0(ten: Index) -> None:
    with pytest.raises(UnknownStream, match="order-2"):
        ten.read("order-2")
    assert ten.version("order-2") == 0
    assert ten.version("order-1") == 10


def test_streams_are_listed_by_prefix_and_in_pages(index: Index, log: ShardLog) -> None:
    for name in ("b", "a/2", "a", "ab", "a/1", "c"):
        log.append(name, 1)
    log.feed(index)
    names = [head.name for head in index.streams()]
    assert names == ["a", "a/1", "a/2", "ab", "b", "c"]
    assert [head.name for head in index.streams("a/")] == ["a/1", "a/2"]
    assert [head.name for head in index.streams("a", 2, after="a/1")] == ["a/2", "ab"]
    assert index.streams("zz") == []


def test_every_log_is_readable_as_streams(index: Index, saga_log: ShardLog, log: ShardLog) -> None:
    saga_log.entry(SagaNoted("s1", "opened"), SagaNoted("s2", "opened"))
    saga_log.beat()
    saga_log.entry(SagaNoted("s1", "ended"))
    log.append("order-1", "x")
    saga_log.feed(index)
    log.feed(index)
    page = index.read("saga-s1")
    assert [d["what"] for d in data(page) if isinstance(d, dict)] == ["opened", "ended"]
    assert [event.offset for event in page.events] == [1, 3]
    assert (page.head.topic, page.head.partition) == (saga_log.topic, 1)
    assert index.version("saga-s2") == 1
    assert index.positions() == {(saga_log.topic, 1): 4, (log.topic, 0): 2}


def test_readers_agree_on_a_stream_that_was_sent_to_two_partitions(
    index: Index, new_log: type[ShardLog]
) -> None:
    right, wrong = new_log(partition=1), new_log(partition=2)
    wrong.append("order-1", "w", "w")
    right.append("order-1", "r")
    wrong.feed(index)
    right.feed(index)
    assert data(index.read("order-1")) == ["r"]
    assert [(h.name, h.partition) for h in index.streams()] == [("order-1", 1), ("order-1", 2)]


def test_the_answers_to_appends_can_be_asked_for(index: Index, log: ShardLog) -> None:
    log.append("order-1", "a", "b", request_id="r1")
    log.entry(AppendConflicted("order-1", "r2", 9, 2), VersionConfirmed("order-1", "r3", 2))
    log.feed(index)
    found = [index.append_status("order-1", f"r{n}") for n in (1, 2, 3)]
    assert [(a.status, a.version, a.appended, a.offset) for a in found if a] == [
        ("appended", 2, 2, 1),
        ("conflict", 2, 0, 2),
        ("confirmed", 2, 0, 2),
    ]
    assert index.append_status("order-1", "r4") is None
    assert index.append_status("order-2", "r1") is None
    assert index.version("order-1") == 2


def test_old_answers_are_forgotten_new_ones_kept(
    index: Index, log: ShardLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ANSWERS_MAX", 3)
    for n in range(5):
        log.append("order-1", n, request_id=f"r{n}")
    log.feed(index, at_a_time=1)
    known = [n for n in range(5) if index.append_status("order-1", f"r{n}")]
    assert known == [2, 3, 4]


def test_what_was_added_can_be_read_after_a_flush_or_a_full_batch(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "BATCH_EVENTS_MAX", 2)
    entry = '[{"type":"t","data":{"saga_id":"s"}}]'
    key = ("folkmoot.saga-orchestrator.log", 0)
    index.add(key, Cursor(0), entry)
    assert index.version("saga-s") == 0
    index.add(key, Cursor(1), entry)
    assert index.version("saga-s") == 2
    index.add(key, Cursor(2), entry)
    assert (index.version("saga-s"), index.cursor(key).offset) == (2, 2)
    assert index.positions() == {key: 2}
    index.flush()
    assert (index.version("saga-s"), index.positions()) == (3, {key: 3})


def test_large_events_are_written_before_they_fill_the_memory(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "BATCH_BYTES_MAX", 1_000)
    entry = json.dumps([{"type": "t", "data": {"saga_id": "s", "x": "y" * 1_000}}])
    index.add(("folkmoot.saga-orchestrator.log", 0), Cursor(0), entry)
    assert index.version("saga-s") == 1
