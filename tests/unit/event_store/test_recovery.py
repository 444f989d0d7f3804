"""The index's file: resumed after a crash, and made anew when it does not fit or is damaged."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from folkmoot.core.event_store import EventsAppended
from folkmoot.core.messages import NewEvent
from folkmoot.event_store import cache
from folkmoot.event_store.errors import IndexRebuilding, IndexUnavailable, UnknownStream
from folkmoot.event_store.index import FILE_NAME, Index
from folkmoot.event_store.writing import Cursor

if TYPE_CHECKING:
    from tests.unit.event_store.conftest import Contents, ShardLog

    Contents_ = Callable[[Index], Contents]

KEY = ("folkmoot.election.log", 0)
ENTRY = '[{"type":"t","data":{"team":"red"}}]'


@pytest.fixture
def long_log(log: ShardLog) -> ShardLog:
    """Return a log whose index takes many pages."""
    for n in range(400):
        log.append(f"order-{n % 7}", "x" * 200, n)
    return log


def damage(path: Path, pages_spared: int) -> None:
    """Overwrite all pages of the file but the first ones."""
    size = path.stat().st_size
    spared = pages_spared * 4096
    assert size > 2 * spared
    with path.open("r+b") as file:
        file.seek(spared)
        file.write(b"\x7f" * (size - spared))


def test_a_restart_goes_on_where_it_was_without_doubles(
    tmp_path: Path, log: ShardLog, contents: Contents_
) -> None:
    for n in range(7):
        log.append("order-1", n)
    first = Index(tmp_path)
    log.feed(first)
    first.close()
    for n in range(7, 12):
        log.append("order-1", n)
    again = Index(tmp_path)
    assert again.cursor((log.topic, 0)).offset == 7
    assert again.version("order-1") == 7
    log.feed(again)
    fresh = Index(tmp_path / "fresh")
    log.feed(fresh)
    assert again.version("order-1") == 12
    assert contents(again) == contents(fresh)
    again.close()
    fresh.close()


def test_closing_writes_what_was_added(tmp_path: Path) -> None:
    first = Index(tmp_path)
    first.add(KEY, Cursor(0), ENTRY)
    first.close()
    again = Index(tmp_path)
    assert (again.cursor(KEY).offset, again.version("team-red")) == (0, 1)
    again.close()


def test_what_was_not_written_before_a_crash_is_read_again(tmp_path: Path) -> None:
    crashed = Index(tmp_path)
    crashed.add(KEY, Cursor(0), ENTRY)
    crashed.flush()
    crashed.add(KEY, Cursor(1), ENTRY)
    crashed._disconnect()
    again = Index(tmp_path)
    assert (again.cursor(KEY).offset, again.version("team-red")) == (0, 1)
    again.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_rebuilt_index_equals_the_one_it_replaces(
    tmp_path: Path, new_log: type[ShardLog], contents: Contents_, seed: int
) -> None:
    choose = random.Random(seed)
    logs = [new_log(partition=0), new_log(partition=1), new_log("folkmoot.election.log")]
    lived = Index(tmp_path / "lived")
    for _ in range(60):
        log = choose.choice(logs)
        if choose.random() < 0.2:
            log.lead(choose.choice("mn"))
        log.append(f"{log.partition}-{choose.randrange(3)}", *range(choose.randint(1, 3)))
        if choose.random() < 0.3:
            log.feed(lived, choose.randint(1, 5))
        if choose.random() < 0.1:
            lived.close()
            lived = Index(tmp_path / "lived")
    rebuilt = Index(tmp_path / "rebuilt")
    for log in logs:
        log.feed(lived)
    for log in reversed(logs):
        log.feed(rebuilt)
    assert len(contents(rebuilt)) > 3
    assert contents(lived) == contents(rebuilt)
    assert lived.positions() == rebuilt.positions()
    lived.close()
    rebuilt.close()


def test_a_file_that_is_no_database_is_replaced(tmp_path: Path, log: ShardLog) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"nonsense" * 1_000)
    log.append("order-1", 1)
    index = Index(tmp_path)
    log.feed(index)
    assert index.version("order-1") == 1
    index.close()


def test_an_index_of_another_version_is_replaced(tmp_path: Path) -> None:
    old = Index(tmp_path)
    old.add(KEY, Cursor(0), ENTRY)
    old.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute(f"PRAGMA user_version = {cache.SCHEMA_VERSION + 1}")
    connection.close()
    index = Index(tmp_path)
    assert (index.cursor(KEY), index.version("team-red")) == (Cursor(), 0)
    index.close()


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("CREATE TABLE precious (x)")
    connection.close()
    with pytest.raises(IndexUnavailable, match="another program"):
        Index(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM precious").fetchone() == (0,)
    connection.close()


def test_a_folder_that_cannot_be_used_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(IndexUnavailable, match="name another one"):
        Index(tmp_path / "file" / "index")


@pytest.mark.parametrize("found_by", ["a reader", "the feeder", "the start"])
def test_a_damaged_index_is_made_anew(
    tmp_path: Path, long_log: ShardLog, contents: Contents_, found_by: str
) -> None:
    sound = Index(tmp_path / "sound")
    long_log.feed(sound)
    first = Index(tmp_path / "index")
    long_log.feed(first)
    first.close()
    damage(tmp_path / "index" / FILE_NAME, 1 if found_by == "the start" else 12)
    index = Index(tmp_path / "index")
    if found_by == "a reader":
        with pytest.raises(IndexRebuilding, match="ask again"):
            index.read("order-1")
    elif found_by == "the feeder":
        long_log.append("order-1", "after the damage")
        long_log.feed(sound)
    long_log.feed(index)
    assert contents(index) == contents(sound)
    index.close()
    sound.close()


def test_a_log_that_ends_earlier_than_before_is_another_log(
    index: Index, log: ShardLog, new_log: type[ShardLog], contents: Contents_
) -> None:
    for n in range(5):
        log.append("order-1", n)
    log.feed(index)
    shorter = new_log()
    shorter.append("order-2", "new")
    shorter.feed(index)
    assert list(contents(index)) == ["order-2"]


def test_a_log_with_another_last_record_is_another_log_though_it_is_longer(
    index: Index, new_log: type[ShardLog]
) -> None:
    old, longer = (new_log("folkmoot.breaker-proxy.log") for _ in range(2))
    old.append("order-1", "old")
    old.feed(index)
    for n in range(9):
        longer.append("order-2", n)
    longer.feed(index)
    page = index.read("$folkmoot.breaker-proxy.log/0")
    assert ["order-2" in event.event for event in page.events] == [True] * 9


def test_when_one_log_does_not_fit_the_others_are_read_anew_too(
    index: Index, log: ShardLog, new_log: type[ShardLog], contents: Contents_
) -> None:
    election = new_log("folkmoot.election.log")
    election.append("x", 1)
    log.append("order-1", "old")
    election.feed(index)
    log.feed(index)
    new_log().feed(index)
    assert index.positions() == {}
    election.feed(index)
    assert list(contents(index)) == ["$folkmoot.election.log/0"]


def test_an_index_that_lost_an_event_is_made_anew(index: Index, log: ShardLog) -> None:
    for n in range(3):
        log.append("order-1", n)
    log.feed(index)
    index._writer.execute("UPDATE streams SET version = 2")
    log.append("order-1", 3)
    log.feed(index)
    assert [event.version for event in index.read("order-1").events] == [1, 2, 3, 4]


def test_a_record_that_was_read_before_the_index_was_discarded_is_passed_over(
    index: Index,
) -> None:
    index.add(KEY, Cursor(0), ENTRY)
    index.discard("for the test")
    index.add(KEY, Cursor(1), ENTRY)
    index.flush()
    assert (index.cursor(KEY), index.version("team-red")) == (Cursor(), 0)


def test_a_log_that_contradicts_itself_is_an_error_and_no_endless_rebuild(
    index: Index, log: ShardLog
) -> None:
    log.append("order-1", "a")
    log.entry(EventsAppended("order-1", "r", 7, (NewEvent("N", 1, "e"),)))
    with pytest.raises(IndexUnavailable, match="version 2 next, but the log says 7"):
        log.feed(index, at_a_time=1)
    assert index.version("order-1") == 1
    assert index.positions() == {(log.topic, 0): 2}


def test_two_processes_cannot_feed_one_index(tmp_path: Path) -> None:
    one, other = Index(tmp_path), Index(tmp_path)
    one.add(KEY, Cursor(0), ENTRY)
    one.flush()
    other.add(KEY, Cursor(0), ENTRY)
    with pytest.raises(IndexUnavailable, match="its own folder"):
        other.flush()
    assert one.version("team-red") == 1
    assert other.cursor(KEY).offset == 0
    one.close()
    other.close()


def test_a_full_disk_loses_nothing_but_time(index: Index, log: ShardLog) -> None:
    pages = index._writer.execute("PRAGMA page_count").fetchone()[0]
    index._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    log.append("order-1", *("x" * 10_000 for _ in range(3)))
    with pytest.raises(IndexUnavailable, match="room"):
        log.feed(index)
    assert index.cursor((log.topic, 0)) == Cursor()
    index._writer.execute("PRAGMA max_page_count = 1000000")
    log.feed(index)
    assert index.version("order-1") == 3


def test_readers_see_whole_batches_while_the_index_is_fed(index: Index) -> None:
    """Each batch adds two events, so that an odd version would be half of one."""

    def read() -> list[int]:
        return [index.version("team-red") for _ in range(300)]

    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(read) for _ in range(2)]
        for n in range(200):
            index.add(KEY, Cursor(2 * n), ENTRY)
            index.add(KEY, Cursor(2 * n + 1), ENTRY)
            index.flush()
        seen = [version for future in found for version in future.result()]
    assert index.version("team-red") == 400
    assert {version % 2 for version in seen} == {0}
    assert seen[:300] == sorted(seen[:300])


def test_logs_are_fed_side_by_side_even_when_the_index_is_discarded_meanwhile(
    index: Index, new_log: type[ShardLog], contents: Contents_, tmp_path: Path
) -> None:
    logs = [new_log(partition=n) for n in range(3)] + [new_log("folkmoot.election.log")]
    for n in range(150):
        for log in logs:
            log.append(f"{log.partition}-{n % 5}", n)
    with ThreadPoolExecutor(5) as pool:
        fed = [pool.submit(log.feed, index, 7) for log in logs]
        for _ in range(3):
            pool.submit(index.discard, "for the test").result()
        for future in fed:
            future.result()
    for log in logs:
        log.feed(index)
    alone = Index(tmp_path / "alone")
    for log in logs:
        log.feed(alone)
    assert contents(index) == contents(alone)
    assert index.positions() == alone.positions()
    alone.close()


def test_damage_that_another_thread_has_dealt_with_is_not_dealt_with_again(
    index: Index, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = sqlite3.DatabaseError("malformed")
    damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT

    def meet_the_damage_late() -> None:
        with index._explained():
            index.discard("another thread found it first")
            raise damaged

    with pytest.raises(IndexRebuilding):
        meet_the_damage_late()
    assert caplog.text.count("is made anew") == 1


def test_readers_and_the_feeder_may_all_find_the_damage(
    tmp_path: Path, long_log: ShardLog, caplog: pytest.LogCaptureFixture
) -> None:
    first = Index(tmp_path)
    long_log.feed(first)
    first.close()
    damage(tmp_path / FILE_NAME, 12)
    index = Index(tmp_path)
    long_log.append("order-1", "after the damage")

    def read() -> int:
        found = 0
        for _ in range(50):
            try:
                index.read("order-1")
            except IndexRebuilding:
                found += 1
            except UnknownStream:
                continue
        return found

    with ThreadPoolExecutor(3) as pool:
        reads = [pool.submit(read) for _ in range(3)]
        long_log.feed(index)
        for future in reads:
            future.result()
    long_log.feed(index)
    assert index.version("order-1") == long_log.versions["order-1"]
    assert caplog.text.count("is made anew") == 1
    index.close()
