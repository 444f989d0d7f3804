"""The embedded log: the common behaviour, and what only a file can suffer."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    CorruptLog,
    Log,
    Record,
    Topic,
)
from folkmoot.bus.sqlite import SqliteLog, shard, store, writer
from folkmoot.bus.sqlite.file import SCHEMA_VERSION
from tests.contract.bus.log_behaviour import (
    Connect,
    LogBehaviour,
    numbered,
    read_all,
    read_count,
    values,
)

COMPACT = {"cleanup.policy": "compact"}


class TestSqliteLog(LogBehaviour):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        async def connect() -> Log:
            return await SqliteLog.open(tmp_path / "log.db")

        return connect


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 2), Topic("c", 1, COMPACT)])
    yield log
    await log.close()


# -- the file as such -----------------------------------------------------------------------


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "a" / "b" / "log.db")
    assert await log.topics() == {}
    await log.close()


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


async def test_a_damaged_file_is_named_and_left_alone(path: Path) -> None:
    write(path, b"this was a log once, " * 500)
    before = content_of(path)
    with pytest.raises(CorruptLog, match=rf"{path} is damaged.*move it away"):
        await SqliteLog.open(path)
    assert content_of(path) == before


async def test_a_damaged_page_is_found_when_it_is_read(path: Path, log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("t", 0, [Record(b"x" * 1_000) for _ in range(500)])
    await log.close()
    with path.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xff" * 60 * 4096)
    reopened = await SqliteLog.open(path)
    with pytest.raises(CorruptLog, match="damaged"):
        await read_all(reopened, "t")
    await reopened.close()


async def test_a_flipped_byte_is_found_when_it_is_read(path: Path, log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("t", 0, [Record(b"before"), Record(b"a thing to remember")])
    await log.close()
    content = content_of(path)
    write(path, content.replace(b"a thing to remember", b"a thing to forget!!"))
    reopened = await SqliteLog.open(path)
    tail = await reopened.tail("t", 0, 0)
    with pytest.raises(CorruptLog, match="checksum of record 1"):
        await tail.read(10, 0)
    await reopened.close()


async def test_another_programs_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (a)")
    before = content_of(path)
    with pytest.raises(CorruptLog, match="another program"):
        await SqliteLog.open(path)
    assert content_of(path) == before


async def test_a_newer_format_is_left_alone(path: Path, log: SqliteLog) -> None:
    await log.close()
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(CorruptLog, match=f"version {SCHEMA_VERSION + 1}"):
        await SqliteLog.open(path)


async def test_a_path_that_cannot_be_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "log.db"):
        with pytest.raises(BusUnavailable, match=str(path)):
            await SqliteLog.open(path)


async def test_a_full_disk_writes_nothing_and_passes(log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("t", 0, numbered(1))
    connection = log._store._writer._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(BusUnavailable, match="full; nothing was written"):
        await appender.append("t", 0, [Record(b"x" * 100_000)])
    connection.execute("PRAGMA max_page_count = 1000000")
    assert await appender.append("t", 0, numbered(1)) == 1


async def test_a_failing_disk_leaves_the_outcome_open(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC

    def fail(group: object) -> None:
        raise error

    appender = await log.appender()
    monkeypatch.setattr(log._store._writer, "_write", fail)
    with pytest.raises(AppendUncertain, match="may or may not be there"):
        await appender.append("t", 0, numbered(1))
    monkeypatch.undo()
    assert await appender.append("t", 0, numbered(1)) == 0


async def test_a_lock_that_is_not_let_go_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("folkmoot.bus.sqlite.file.LOCK_TIMEOUT_S", 0.05)
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 1)])
    appender = await log.appender()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BusUnavailable, match="locked"):
            await appender.append("t", 0, numbered(1))
        other.execute("ROLLBACK")
    assert await appender.append("t", 0, numbered(1)) == 0
    await log.close()


async def test_a_person_can_read_the_file(path: Path, log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("t", 1, [Record(b"v", b"k", (("kind", b"entry"),))])
    await log.commit("saga", {("t", 1): 1})
    with closing(sqlite3.connect(path)) as plain:
        row = plain.execute("SELECT topic, part, upto, key, value, headers FROM log").fetchone()
        commits = plain.execute("SELECT name, upto FROM commits").fetchall()
    assert row == ("t", 1, 0, b"k", b"v", '[["kind","entry"]]')
    assert commits == [("saga", 1)]


async def test_normal_synchronous_is_passed_on(path: Path) -> None:
    for setting, number in (("FULL", 2), ("NORMAL", 1)):
        log = await SqliteLog.open(path, synchronous=setting)  # type: ignore[arg-type]
        connection = log._store._writer._connection
        assert connection.execute("PRAGMA synchronous").fetchone() == (number,)
        await log.close()


# -- compaction -----------------------------------------------------------------------------


async def test_compaction_leaves_holes_and_reading_passes_over_them(log: SqliteLog) -> None:
    appender = await log.appender()
    for number in range(3):
        await appender.append("c", 0, [Record(b"%d" % number, key) for key in (b"a", b"b")])
    stored = await read_all(log, "c")
    assert [(r.offset, r.key, r.value) for r in stored] == [(4, b"a", b"2"), (5, b"b", b"2")]
    tail = await log.tail("c", 0, 1)
    assert [record.offset for record in await tail.read(10, 0)] == [4, 5]
    assert tail.position == 6


async def test_a_key_twice_in_one_append_keeps_the_last(log: SqliteLog) -> None:
    appender = await log.appender()
    await appender.append("c", 0, [Record(b"1", b"a"), Record(b"2", b"a"), Record(b"3", b"a")])
    assert values(await read_all(log, "c")) == [b"3"]


async def test_old_tombstones_go_when_the_file_is_opened(path: Path) -> None:
    now = 1_000_000_000
    log = await SqliteLog.open(path, now=lambda: now)
    await log.create_topics([Topic("c", 1, COMPACT), Topic("t", 1)])
    appender = await log.appender()
    for sent in (Record(b"1", b"a"), Record(None, b"a"), Record(b"1", b"b"), Record(None, b"c")):
        await appender.append("c", 0, [sent])
    await appender.append("t", 0, [Record(None, b"a")])
    await log.close()
    now += store.TOMBSTONES_KEPT_MS + 1
    log = await SqliteLog.open(path, now=lambda: now)
    assert [(r.offset, r.key) for r in await read_all(log, "c")] == [(2, b"b"), (3, b"c")]
    assert len(await read_all(log, "t")) == 1
    assert await log.end_offset("c", 0) == 4
    await (await log.appender()).append("c", 0, [Record(b"2", b"a")])
    assert [(r.offset, r.value) for r in await read_all(log, "c")][-1] == (4, b"2")
    await log.close()


# -- memory and grouping --------------------------------------------------------------------


async def test_a_tail_that_keeps_up_reads_no_file(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    appender, tail = await log.appender(), await log.tail("t", 0, 0)

    def fail(*_: object) -> None:
        raise AssertionError("read from the file")

    monkeypatch.setattr(log._store, "read", fail)
    for number in range(500):
        await appender.append("t", 0, numbered(1))
        assert [record.offset for record in await tail.read(10, 1_000)] == [number]


async def test_what_is_kept_in_memory_is_bounded(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "RING_RECORDS", 10)
    monkeypatch.setattr(shard, "RING_BYTES", 5_000)
    appender, tail = await log.appender(), await log.tail("t", 0, 0)
    small, large = numbered(45), [Record(b"x" * 2_000) for _ in range(8)]
    for sent in (small[:15], small[15:18], *([r] for r in small[18:]), *([r] for r in large)):
        await appender.append("t", 0, list(sent))
        kept = log._store.shard("t", 0)._ring
        assert len(kept) <= 20
        assert sum(len(record.value or b"") for record in kept) <= 5_000
    assert values(await read_count(tail, 53)) == [r.value for r in (*small, *large)]


async def test_many_appends_share_a_commit(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[int] = []
    write = log._store._writer._write

    def counting(group: list[writer.Append]) -> writer.Written:
        groups.append(len(group))
        time.sleep(0.001)  # as a slow disk would, so that more can gather
        return write(group)

    monkeypatch.setattr(log._store._writer, "_write", counting)
    appenders = [await log.appender() for _ in range(4)]
    await asyncio.gather(
        *(appenders[n % 4].append("t", n % 2, numbered(1 + n % 3)) for n in range(400))
    )
    assert sum(groups) == 400
    assert len(groups) < 40


@pytest.mark.parametrize("rows", [127, 128, 129, 5_000])
async def test_groups_of_every_size_are_written_whole(log: SqliteLog, rows: int) -> None:
    appender = await log.appender()
    firsts = await asyncio.gather(
        appender.append("t", 0, numbered(rows)), appender.append("t", 0, numbered(2, "b"))
    )
    assert list(firsts) == [0, rows]
    assert values(await read_all(log, "t"))[-3:] == [b"%d" % (rows - 1), b"b0", b"b1"]


async def test_an_append_needs_no_poll_to_wake_a_tail(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "POLL_S", 60.0)
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 1)])
    appender, tail = await log.appender(), await log.tail("t", 0, 0)
    reading = asyncio.create_task(tail.read(10, 50_000))
    await asyncio.sleep(0)
    await appender.append("t", 0, numbered(1))
    async with asyncio.timeout(5):
        assert len(await reading) == 1
    async with asyncio.timeout(5):
        await log.close()


async def test_a_file_is_opened_once_in_a_loop(path: Path, log: SqliteLog) -> None:
    other = await SqliteLog.open(path)
    assert other._store is log._store
    tail = await log.tail("t", 0, 0)
    await other.close()
    await (await log.appender()).append("t", 0, numbered(1))
    assert len(await tail.read(10, 5_000)) == 1


async def test_closing_an_appender_leaves_what_is_not_acknowledged_open(log: SqliteLog) -> None:
    appender = await log.appender()
    append = asyncio.create_task(appender.append("t", 0, numbered(1)))
    await asyncio.sleep(0)
    await appender.close()
    with pytest.raises(AppendUncertain, match="before this append was acknowledged"):
        await append


# -- several processes ----------------------------------------------------------------------

WRITE = """
import asyncio, sys
from pathlib import Path
from folkmoot.bus.ports import Record, Topic
from folkmoot.bus.sqlite import SqliteLog

async def main(path, name, count):
    log = await SqliteLog.open(Path(path))
    await log.create_topics([Topic("t", 2)])
    appender = await log.appender()
    for number in range(int(count)):
        pair = [Record(f"{name}.{number}.{part}".encode()) for part in "ab"]
        first = await appender.append("t", 0, pair)
        print(first, flush=True)
    await log.close()

asyncio.run(main(*sys.argv[1:]))
"""


async def start_writing(path: Path, name: str, count: int) -> asyncio.subprocess.Process:
    """Start a process that appends pairs to the file, and prints each one's offset."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITE, str(path), name, str(count),
        stdout=asyncio.subprocess.PIPE, env={**os.environ},
    )  # fmt: skip


async def finish(process: asyncio.subprocess.Process) -> list[int]:
    out, _ = await process.communicate()
    assert process.returncode == 0
    return [int(line) for line in out.split()]


async def test_what_a_killed_process_was_told_is_there_is_there(path: Path) -> None:
    process = await start_writing(path, "p", 1_000_000)
    assert process.stdout is not None
    told = [int(await process.stdout.readline()) for _ in range(200)]
    process.kill()
    rest, _ = await process.communicate()
    told += [int(line) for line in rest.split(b"\n")[:-1]]
    log = await SqliteLog.open(path)
    stored = await read_all(log, "t")
    assert [record.offset for record in stored] == list(range(len(stored)))
    assert len(stored) % 2 == 0, "half an append survived"
    for call, first in enumerate(told):
        assert [r.value for r in stored[first : first + 2]] == [
            f"p.{call}.{part}".encode() for part in "ab"
        ]
    assert await (await log.appender()).append("t", 0, numbered(1)) == len(stored)
    await log.close()


async def test_processes_share_a_file(path: Path, log: SqliteLog) -> None:
    tail, appender = await log.tail("t", 0, 0), await log.appender()
    reading = asyncio.create_task(read_count(tail, 3 * 200))
    processes = [await start_writing(path, name, 100) for name in "pq"]
    mine = [await appender.append("t", 0, numbered(2, f"m{call}.")) for call in range(100)]
    others = [await finish(process) for process in processes]
    stored = await reading
    assert [record.offset for record in stored] == list(range(600))
    assert sorted(mine + others[0] + others[1]) == list(range(0, 600, 2))
    for call, first in enumerate(others[0]):
        assert stored[first + 1].value == f"p.{call}.b".encode()
    assert values(await read_all(log, "t")) == values(stored)


async def test_a_foreign_append_wakes_a_tail_soon(path: Path, log: SqliteLog) -> None:
    tail = await log.tail("t", 0, 0)
    reading = asyncio.create_task(tail.read(10, 50_000))
    await finish(await start_writing(path, "p", 1))
    finished_at = time.monotonic()
    async with asyncio.timeout(5):
        assert len(await reading) == 2
    assert time.monotonic() - finished_at < 1


async def test_another_loop_on_the_file_is_like_another_process(path: Path, log: SqliteLog) -> None:
    async def elsewhere() -> int:
        other = await SqliteLog.open(path)
        assert other._store is not log._store
        first = await (await other.appender()).append("t", 0, numbered(2))
        await other.close()
        return first

    appender, tail = await log.appender(), await log.tail("t", 0, 0)
    assert await appender.append("t", 0, numbered(1)) == 0
    assert await asyncio.to_thread(lambda: asyncio.run(elsewhere())) == 1
    assert await appender.append("t", 0, numbered(1)) == 3
    assert [record.offset for record in await read_count(tail, 4)] == [0, 1, 2, 3]


async def test_many_processes_may_make_the_file_at_once(path: Path) -> None:
    processes = [await start_writing(path, str(number), 5) for number in range(4)]
    firsts = [first for process in processes for first in await finish(process)]
    assert sorted(firsts) == list(range(0, 40, 2))
