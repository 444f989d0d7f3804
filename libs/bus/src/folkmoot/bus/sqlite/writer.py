"""The one thread that writes the embedded log, so that many appends share one `fsync`.

What: appends wait in a queue; the thread takes all that wait, gives them offsets and commits them
together (group commit), then tells the event loop once for the whole group.

Why a group is one statement if it can be: `sqlite3` lets go of the interpreter lock around every
step, and getting it back from a busy event loop takes up to 5 ms each time. A multi-row `INSERT`
outside a transaction is one step, its `fsync` included.

Invariants:

- Offsets come from the writer's memory, and the primary key refuses one that another process has
  taken meanwhile; then the group is written again under the file's lock with offsets read afresh.
- A group is committed whole or not at all; its order is the order of the queue.
- Every job's outcome reaches the loop exactly once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from folkmoot.bus.ports import AppendUncertain, BusError, Record
from folkmoot.bus.sqlite.file import OFFSET_BITS, OFFSET_MASK, explain, is_io_error
from folkmoot.bus.sqlite.handover import Handover
from folkmoot.bus.sqlite.rows import Row

POLL_S = 0.02  # how late a tail may notice what another process has written
GROUP_RECORDS = 2_048  # bounds how long the first append of a group waits for the last
GROUP_BYTES = 8 * 1024 * 1024
STATEMENT_ROWS = 128  # rows a statement inserts at most; 6 parameters each
COLUMNS = 6

FORGET = "DELETE FROM records WHERE id = (SELECT id FROM latest WHERE shard = ? AND key = ?)"
REMEMBER = (
    "INSERT INTO latest VALUES (?, ?, ?) ON CONFLICT (shard, key) DO UPDATE SET id = excluded.id"
)


@dataclass(slots=True, eq=False)
class Append:
    """Records of one `append` call, and where its outcome goes."""

    shard: int
    compacted: bool
    records: Sequence[Record]
    rows: list[Row]
    size: int
    done: asyncio.Future[int]


@dataclass(slots=True, eq=False)
class Call:
    """A transaction of another kind: `work` runs in the thread between BEGIN and COMMIT."""

    work: Callable[[sqlite3.Connection], object]
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Written:
    """A committed group: each append with its first offset, and the time of the commit."""

    appends: list[tuple[Append, int]]
    at: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A group of which nothing was committed, as far as `error` does not say otherwise."""

    jobs: Sequence[Append | Call]
    error: BusError


@dataclass(frozen=True, slots=True)
class Called:
    """A call whose transaction is committed."""

    call: Call


class Sign(Enum):
    """What needs no more than being said."""

    STOP = auto()
    FOREIGN = auto()  # another process has written to the file


STOP, FOREIGN = Sign.STOP, Sign.FOREIGN
Job = Append | Call | Sign
Outcome = Written | Failed | Called | Sign


class Writer:
    """Owns the writing connection; `deliver` is called in the event loop with each outcome."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        now: Callable[[], int],
        deliver: Callable[[Outcome], None],
    ) -> None:
        self._connection = connection
        self._path = path
        self._now = now
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._handover = Handover(self._loop)
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._next: dict[int, int] = {}  # the id that a shard's next record gets
        self._version = self._data_version()
        self._thread = threading.Thread(target=self._run, name=f"log {path.name}", daemon=True)
        self._thread.start()

    def put(self, job: Append | Call) -> None:
        """Queue `job`; its outcome is delivered later."""
        self._jobs.put(job)
        self._handover.expect()

    def close(self) -> None:
        """Write what is queued, then close the file. Blocks until that is done."""
        self._jobs.put(STOP)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        look = time.monotonic() + POLL_S
        while True:
            appends, other = self._take(max(0.0, look - time.monotonic()))
            if appends:
                self._append(appends)
                self._handover.done(len(appends))
            if isinstance(other, Call):
                self._call(other)
                self._handover.done(1)
            if other is STOP:
                return
            if time.monotonic() >= look:
                self._look_for_foreign_writes()
                look = time.monotonic() + POLL_S

    def _take(self, wait_s: float) -> tuple[list[Append], Job | None]:
        """Return the appends that wait, up to a limit, and what follows them if it is a call."""
        group: list[Append] = []
        records = size = 0
        try:
            job = self._jobs.get(timeout=wait_s)
            while isinstance(job, Append):
                group.append(job)
                records += len(job.rows)
                size += job.size
                if records >= GROUP_RECORDS or size >= GROUP_BYTES:
                    return group, None
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, None
        return group, job

    def _append(self, group: list[Append]) -> None:
        try:
            try:
                written = self._write(group)
            except sqlite3.IntegrityError:  # another process has taken an offset
                self._abandon()
                self._connection.execute("BEGIN IMMEDIATE")
                written = self._write(group)
        except Exception as error:  # whatever it was, those who wait must hear of it
            self._abandon()
            self._tell(Failed(group, self._explain(error)))
        else:
            self._tell(written)

    def _write(self, group: list[Append]) -> Written:
        at = self._now()
        parameters, firsts = self._number(group, at)
        compacted = [pair for pair in zip(group, firsts, strict=True) if pair[0].compacted]
        execute = self._connection.execute
        whole = len(parameters) <= STATEMENT_ROWS * COLUMNS and not compacted
        if not whole and not self._connection.in_transaction:
            execute("BEGIN IMMEDIATE")
        for start in range(0, len(parameters), STATEMENT_ROWS * COLUMNS):
            chunk = parameters[start : start + STATEMENT_ROWS * COLUMNS]
            execute(_insert(len(chunk) // COLUMNS), chunk)
        for append, first in compacted:
            self._compact(append, first)
        if self._connection.in_transaction:
            execute("COMMIT")
        for append, first in zip(group, firsts, strict=True):
            self._next[append.shard] = first + len(append.rows)
        return Written([(a, n & OFFSET_MASK) for a, n in zip(group, firsts, strict=True)], at)

    def _number(self, group: list[Append], at: int) -> tuple[list[object], list[int]]:
        """Return the statement's parameters in one flat list, and each append's first id."""
        parameters: list[object] = []
        firsts: list[int] = []
        following: dict[int, int] = {}
        for append in group:
            number = following.get(append.shard) or self._next_id(append.shard)
            firsts.append(number)
            for key, value, headers, checksum in append.rows:
                parameters += (number, at, key, value, headers, checksum)
                number += 1
            following[append.shard] = number
        return parameters, firsts

    def _next_id(self, shard: int) -> int:
        known = self._next.get(shard)
        return last_id(self._connection, shard) + 1 if known is None else known

    def _compact(self, append: Append, first: int) -> None:
        for number, (key, *_) in enumerate(append.rows, first):
            self._connection.execute(FORGET, (append.shard, key))
            self._connection.execute(REMEMBER, (append.shard, key, number))

    def _call(self, call: Call) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            call.work(self._connection)
            self._connection.execute("COMMIT")
        except Exception as error:  # whatever it was, the one who waits must hear of it
            self._abandon()
            self._tell(Failed([call], self._explain(error)))
        else:
            self._tell(Called(call))

    def _abandon(self) -> None:
        self._next.clear()
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _explain(self, error: Exception) -> BusError:
        if isinstance(error, BusError):
            return error
        if isinstance(error, sqlite3.Error) and not is_io_error(error):
            return explain(error, self._path)
        return AppendUncertain(
            f"Writing {self._path} failed ({error!r}); the records may or may not be there. "
            "Check the disk, and start again from what the log says."
        )

    def _look_for_foreign_writes(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # the next read or write reports it
            version = self._data_version()
            if version != self._version:
                self._version = version
                self._tell(FOREIGN)

    def _data_version(self) -> int:
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def _tell(self, outcome: Outcome) -> None:
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits any more
            self._loop.call_soon_threadsafe(self._deliver, outcome)


def last_id(connection: sqlite3.Connection, shard: int) -> int:
    """Return the id of the shard's last record, or the one before its first if it is empty."""
    low = shard << OFFSET_BITS
    (last,) = connection.execute(
        "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", (low, low | OFFSET_MASK)
    ).fetchone()
    return low - 1 if last is None else int(last)


@functools.cache
def _insert(rows: int) -> str:
    one = f"({', '.join('?' * COLUMNS)})"
    return f"INSERT INTO records VALUES {', '.join([one] * rows)}"  # noqa: S608 - placeholders
