"""The log in one SQLite file: durable, no server, shared by processes of one machine.

Invariants beyond the port's:

- An append is on the disk when it is acknowledged (`synchronous=FULL`), or in the operating
  system's hands (`NORMAL`, which survives kill -9 but not a power cut).
- A read of an offset that the log does not reach is an error, never a silent jump.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from folkmoot.bus.limits import RECORD_LIMIT_BYTES, check_records
from folkmoot.bus.ports import (
    AppendUncertain,
    BusUnavailable,
    CorruptLog,
    Record,
    Stored,
    Topic,
)
from folkmoot.bus.sqlite.file import Synchronous
from folkmoot.bus.sqlite.shard import Shard
from folkmoot.bus.sqlite.store import Lease, Store
from folkmoot.bus.topics import check_name


def wall_clock() -> int:
    """Return the milliseconds since the epoch, with which the log stamps its records."""
    return time.time_ns() // 1_000_000


class SqliteLog:
    """The `Log` port on one file."""

    def __init__(self, lease: Lease, record_limit_bytes: int = RECORD_LIMIT_BYTES) -> None:
        self._lease = lease
        self._store = lease.store
        self._limit = record_limit_bytes
        self._appenders: set[SqliteAppender] = set()
        self._tails: set[SqliteTail] = set()
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        synchronous: Synchronous = "FULL",
        record_limit_bytes: int = RECORD_LIMIT_BYTES,
        now: Callable[[], int] = wall_clock,
    ) -> SqliteLog:
        """Open the log at `path`, or make it. Within an event loop a file is opened once.

        Raises:
            BusUnavailable: the file cannot be opened or made.
            CorruptLog: it is damaged, or not a log that this program can read.
        """
        return cls(await Lease.take(path, synchronous, now), record_limit_bytes)

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """See the port. All topics are created, or none."""
        for topic in topics:
            check_name(topic)
        await self._open_store().create(topics)

    async def topics(self) -> Mapping[str, int]:
        """See the port."""
        return self._open_store().topics()

    async def appender(self) -> SqliteAppender:
        """See the port."""
        appender = SqliteAppender(self._open_store(), self._limit, self._appenders)
        self._appenders.add(appender)
        return appender

    async def tail(self, topic: str, partition: int, offset: int) -> SqliteTail:
        """See the port."""
        store = self._open_store()
        tail = SqliteTail(store, store.shard(topic, partition), offset, self._tails)
        self._tails.add(tail)
        return tail

    async def end_offset(self, topic: str, partition: int) -> int:
        """See the port."""
        store = self._open_store()
        return store.end(store.shard(topic, partition))

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """See the port. The table `commits` of the file shows it."""
        await self._open_store().commit(group, offsets)

    async def close(self) -> None:
        """See the port."""
        if self._closed:
            return
        self._closed = True
        for appender in tuple(self._appenders):
            await appender.close()
        for tail in tuple(self._tails):
            await tail.close()
        await self._lease.let_go()

    def _open_store(self) -> Store:
        if self._closed:
            raise BusUnavailable(f"The log {self._store.path} is closed. Connect again.")
        return self._store


class SqliteAppender:
    """The `Appender` port; what it queues is committed in groups with everybody else's."""

    def __init__(self, store: Store, limit: int, siblings: set[SqliteAppender]) -> None:
        self._store = store
        self._limit = limit
        self._siblings = siblings
        self._pending: set[asyncio.Future[int]] = set()
        self._closed = False

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """See the port.

        Raises:
            BusUnavailable: the disk is full, or another process keeps the file locked; nothing
                was written.
        """
        if self._closed:
            raise BusUnavailable("This appender is closed. Ask the log for another one.")
        shard = self._store.shard(topic, partition)
        if not records:
            return self._store.end(shard)
        total = check_records(topic, records, self._limit, compacted=shard.compacted)
        done = self._store.append(shard, records, total)
        self._pending.add(done)
        try:
            return await done
        finally:
            self._pending.discard(done)

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        self._siblings.discard(self)
        for done in self._pending:
            if not done.done():
                done.set_exception(
                    AppendUncertain("The appender was closed before this append was acknowledged.")
                )


class SqliteTail:
    """The `Tail` port: from memory when it keeps up, else from the file."""

    def __init__(self, store: Store, shard: Shard, offset: int, siblings: set[SqliteTail]) -> None:
        self._store = store
        self._shard = shard
        self._position = offset
        self._siblings = siblings
        self._closed = False
        shard.tails += 1

    @property
    def position(self) -> int:
        """See the port."""
        return self._position

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """See the port.

        Raises:
            CorruptLog: what is stored cannot be read, or the log ends before this position.
        """
        records = await self._available(max_records)
        if not records and timeout_ms > 0:
            await self._wait(timeout_ms / 1000)
            records = await self._available(max_records)
        if records:
            self._position = records[-1].offset + 1
        return records

    def seek(self, offset: int) -> None:
        """See the port."""
        self._position = offset

    async def close(self) -> None:
        """See the port. A read that waits fails with `BusUnavailable`."""
        if not self._closed:
            self._closed = True
            self._siblings.discard(self)
            self._shard.tails -= 1
            self._shard.wake()

    async def _available(self, limit: int) -> Sequence[Stored]:
        if self._closed:
            raise BusUnavailable("This tail is closed. Ask the log for another one.")
        position, shard = self._position, self._shard
        if shard.lost is not None:
            raise copy.copy(shard.lost)
        if position > shard.end and position > self._store.end(shard):
            raise CorruptLog(
                f"The log ends at offset {shard.end}, before {position}, where reading was to go "
                "on: records are gone. Restore the file from a copy, or start a new one."
            )
        if position == shard.end:
            return ()
        records = shard.recent(position, limit)
        if records is None:
            records = self._store.read(shard, position, limit)
            await asyncio.sleep(0)  # a long replay must not starve the loop
        return records

    async def _wait(self, timeout_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._shard.waiting.add(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await waiter
        finally:
            self._shard.waiting.discard(waiter)
