"""An open log file in one event loop, shared by all who connect to that file from it.

The loop reads the file itself, in bounded bites: handing rows over from a thread costs more than
reading them, because `sqlite3` yields the interpreter lock at every row.

Invariants:

- Everything here runs in the event loop; only `Writer` has a thread.
- Another loop or process on the same file is a foreign writer, noticed within `writer.POLL_S`.
"""

from __future__ import annotations

import asyncio
import copy
import sqlite3
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from folkmoot.bus.ports import BusError, CorruptLog, Record, Stored, Topic, UnknownTopic
from folkmoot.bus.sqlite.file import OFFSET_BITS, OFFSET_MASK, Synchronous, explain, open_file
from folkmoot.bus.sqlite.rows import decode, encode
from folkmoot.bus.sqlite.shard import Shard
from folkmoot.bus.sqlite.writer import (
    Append,
    Call,
    Called,
    Failed,
    Outcome,
    Writer,
    Written,
    last_id,
)
from folkmoot.bus.topics import check_topic

READ_RECORDS = 1_000  # one bite of the file, about a millisecond of the loop
READ_BYTES = 1024 * 1024
TOMBSTONES_KEPT_MS = 24 * 60 * 60 * 1000  # Kafka's default `delete.retention.ms`

READ = "SELECT * FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"
FIND_SHARD = (
    "SELECT id, config FROM shards JOIN topics ON name = topic WHERE topic = ? AND part = ?"
)
COMMIT = (
    "INSERT INTO commits VALUES (?, ?, ?) "
    "ON CONFLICT (name, shard) DO UPDATE SET upto = excluded.upto"
)
FORGET_TOMBSTONES = (
    "DELETE FROM records WHERE value IS NULL AND at < :before "
    "AND id IN (SELECT id FROM latest) AND id < (SELECT max(id) FROM records AS other "
    "WHERE other.id BETWEEN records.id AND records.id | :mask)"  # the end must stay known
)
FORGET_KEYS = (
    "DELETE FROM latest WHERE NOT EXISTS (SELECT 1 FROM records WHERE records.id = latest.id)"
)


class Store:
    """The shards of one file, their readers' connection, and the writer."""

    def __init__(
        self,
        path: Path,
        reader: sqlite3.Connection,
        writer: sqlite3.Connection,
        now: Callable[[], int],
    ) -> None:
        self.path = path
        self._shards: dict[tuple[str, int], Shard] = {}
        self._by_id: dict[int, Shard] = {}
        self._reader = reader
        self._closed = False
        self._writer = Writer(writer, path, now, self._deliver)

    @classmethod
    async def open(cls, path: Path, synchronous: Synchronous, now: Callable[[], int]) -> Store:
        """Open the file at `path`, or make it, and clear old tombstones out of it."""
        writer = await asyncio.to_thread(open_file, path, synchronous)
        reader = await asyncio.to_thread(open_file, path, synchronous)
        store = cls(path, reader, writer, now)
        try:
            await store.forget_tombstones(now() - TOMBSTONES_KEPT_MS)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Write what is queued and close the file; the store is of no use afterwards.

        The loop alone uses the reader, and so the loop closes it: SQLite does not survive that one
        thread closes what another one is just asking.
        """
        try:
            await asyncio.to_thread(self._writer.close)
        finally:
            self._closed = True
            self._reader.close()

    def shard(self, topic: str, partition: int) -> Shard:
        """Return the partition, or raise `UnknownTopic`."""
        return self._shards.get((topic, partition)) or self._find(topic, partition)

    def append(self, shard: Shard, records: Sequence[Record], size: int) -> asyncio.Future[int]:
        """Queue `records`; the future gives the first offset once they are durable."""
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        rows = [encode(record) for record in records]
        self._writer.put(Append(shard.id, shard.compacted, tuple(records), rows, size, done))
        return done

    def read(self, shard: Shard, offset: int, limit: int) -> Sequence[Stored]:
        """Return the records that follow `offset` in the file: a bounded bite, in order."""
        low = shard.id << OFFSET_BITS
        found: list[Stored] = []
        size = 0
        with self._reading() as reader:
            rows = reader.execute(READ, (low | offset, low | OFFSET_MASK, min(limit, READ_RECORDS)))
            with closing(rows):  # an open cursor would hold back the log's checkpoint
                for row in rows:
                    found.append(decode(row, self.path))
                    size += len(row[3] or b"")
                    if size >= READ_BYTES:
                        break
        return found

    def end(self, shard: Shard) -> int:
        """Return the shard's end as the file has it now.

        Raises:
            CorruptLog: the shard ends before an end that it had.
        """
        with self._reading() as reader:
            end = (last_id(reader, shard.id) + 1) & OFFSET_MASK
        if end < shard.end:
            shard.lost = CorruptLog(
                f"A log in {self.path} ended at offset {shard.end}, and now ends at {end}: records "
                "are gone. Restore the file from a copy, or start a new one."
            )
        if shard.lost is not None:
            raise copy.copy(shard.lost)
        shard.grown(end)
        return end

    def topics(self) -> Mapping[str, int]:
        """Return the partition count of each topic."""
        with self._reading() as reader:
            return dict(reader.execute("SELECT name, partitions FROM topics").fetchall())

    async def create(self, topics: Sequence[Topic]) -> None:
        """Create the topics that are missing, all or none."""

        def work(connection: sqlite3.Connection) -> None:
            for topic in topics:
                _create(connection, topic)

        await self._call(work)

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Note how far `group` is."""
        rows = [(group, self.shard(*place).id, upto) for place, upto in offsets.items()]
        await self._call(lambda connection: connection.executemany(COMMIT, rows))

    async def forget_tombstones(self, before: int) -> None:
        """Remove the tombstones of compacted topics that are older than `before`."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(FORGET_TOMBSTONES, {"before": before, "mask": OFFSET_MASK})
            connection.execute(FORGET_KEYS)

        await self._call(work)

    async def _call(self, work: Callable[[sqlite3.Connection], object]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._writer.put(Call(work, done))
        await done

    def _find(self, topic: str, partition: int) -> Shard:
        with self._reading() as reader:
            row = reader.execute(FIND_SHARD, (topic, partition)).fetchone()
            if row is None:
                raise UnknownTopic(
                    f"There is no partition {partition} of topic {topic!r} in {self.path}. "
                    "Create the topic first, and check the partition number."
                )
            number, config = row
            end = (last_id(reader, number) + 1) & OFFSET_MASK
        compacted = Topic(topic, 1, orjson.loads(config)).compacted
        shard = Shard(number, compacted=compacted, end=end)
        self._shards[topic, partition] = self._by_id[number] = shard
        return shard

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._reader
        except sqlite3.Error as error:
            raise explain(error, self.path) from error

    def _deliver(self, outcome: Outcome) -> None:
        match outcome:
            case Written(appends, at):
                for append, first in appends:
                    self._by_id[append.shard].written(append, first, at)
                    if not append.done.done():
                        append.done.set_result(first)
            case Failed(jobs, error):
                for job in jobs:
                    if not job.done.done():
                        job.done.set_exception(copy.copy(error))
            case Called(call):
                if not call.done.done():
                    call.done.set_result(None)
            case _:
                self._notice_foreign_writes()

    def _notice_foreign_writes(self) -> None:
        for shard in () if self._closed else self._by_id.values():
            try:
                self.end(shard)
            except BusError as error:
                shard.fail(error)


def _create(connection: sqlite3.Connection, topic: Topic) -> None:
    row = connection.execute(
        "SELECT partitions, config FROM topics WHERE name = ?", (topic.name,)
    ).fetchone()
    if row is not None:
        partitions, config = row
        check_topic(topic, partitions, orjson.loads(config))
        return
    config = orjson.dumps(dict(topic.config)).decode()
    connection.execute(
        "INSERT INTO topics VALUES (?, ?, ?)", (topic.name, topic.partitions, config)
    )
    connection.executemany(
        "INSERT INTO shards (topic, part) VALUES (?, ?)",
        [(topic.name, partition) for partition in range(topic.partitions)],
    )


@dataclass(eq=False)
class _Opened:
    """What one event loop has open: each store with the number of its users."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    stores: dict[tuple[Path, Synchronous], tuple[Store, int]] = field(default_factory=dict)


_opened: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Opened] = weakref.WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Lease:
    """One user's right to a store; the last one to let go closes it."""

    store: Store
    key: tuple[Path, Synchronous]

    @classmethod
    async def take(cls, path: Path, synchronous: Synchronous, now: Callable[[], int]) -> Lease:
        """Open the file at `path`, or share it if this event loop has it open.

        Raises:
            BusUnavailable: the file cannot be opened or made.
            CorruptLog: it is damaged, or not a log that this program can read.
        """
        key = (path, synchronous)
        opened = _opened.setdefault(asyncio.get_running_loop(), _Opened())
        async with opened.lock:
            store, users = opened.stores.get(key, (None, 0))
            if store is None:
                store = await Store.open(path, synchronous, now)
            opened.stores[key] = (store, users + 1)
        return cls(store, key)

    async def let_go(self) -> None:
        """Give the store up; to be called once."""
        opened = _opened[asyncio.get_running_loop()]
        async with opened.lock:
            store, users = opened.stores.pop(self.key)
            if users > 1:
                opened.stores[self.key] = (store, users - 1)
            else:
                await store.close()
