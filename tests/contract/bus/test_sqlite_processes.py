"""The embedded log when several processes write it, and when one of them is killed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from folkmoot.bus.ports import Topic
from folkmoot.bus.sqlite import SqliteLog, file, writer
from tests.contract.bus.log_behaviour import (
    numbered,
    read_all,
    read_count,
    values,
)

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


async def test_another_loop_on_the_file_is_like_another_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "POLL_S", 60.0)
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 1)])

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
    assert [record.offset for record in await read_count(tail, 4, bite=2)] == [0, 1, 2, 3]
    await log.close()


async def test_many_processes_may_make_the_file_at_once(path: Path) -> None:
    processes = [await start_writing(path, str(number), 5) for number in range(4)]
    firsts = [first for process in processes for first in await finish(process)]
    assert sorted(firsts) == list(range(0, 40, 2))


async def test_a_file_made_while_it_is_looked_at_is_not_foreign(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(sqlite3.Connection):
        """Another process makes the file after this one's first look at it."""

        def execute(self, *args: Any) -> sqlite3.Cursor:
            found = super().execute(*args)
            if made.pop("not yet", False):
                rows = found.fetchall()
                file.open_file(path, "FULL").close()
                return super().execute(f"SELECT {rows[0][0]}")
            return found

    made = {"not yet": True}
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3,
        "connect",
        lambda *args, **options: connect(*args, **options, factory=Interrupted),
    )
    opened = file.open_file(path, "FULL")
    assert not made, "it was not made meanwhile"
    assert opened.execute("PRAGMA application_id").fetchone() == (file.APPLICATION_ID,)
    opened.close()
