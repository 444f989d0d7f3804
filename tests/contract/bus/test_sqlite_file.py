"""The embedded log's file: damage, other programs, full and failing disks, locks."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    CorruptLog,
    Record,
    Topic,
)
from folkmoot.bus.sqlite import SqliteLog
from folkmoot.bus.sqlite.file import SCHEMA_VERSION
from tests.contract.bus.log_behaviour import (
    numbered,
    read_all,
)


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


async def test_records_that_another_program_removes_are_missed(path: Path, log: SqliteLog) -> None:
    await (await log.appender()).append("t", 0, numbered(5))
    waiting, later = await log.tail("t", 0, 5), await log.tail("t", 0, 5)
    read = asyncio.create_task(waiting.read(10, 10_000))
    await asyncio.sleep(0)
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM records WHERE id IN (SELECT max(id) FROM records)")
    with pytest.raises(CorruptLog, match="ended at offset 5, and now ends at 4"):
        await read
    with pytest.raises(CorruptLog, match="records are gone"):
        await later.read(10, 0)
    with pytest.raises(CorruptLog, match="records are gone"):
        await log.end_offset("t", 0)
