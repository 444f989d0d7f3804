"""The read side: every log's events by stream, in a file that can be thrown away.

Invariants:

- Events and how far their log was read are written in one transaction, so that after any crash
  reading goes on exactly there: no event is missing or doubled.
- A stream's events come from one partition and are numbered in its order, so a rebuilt index
  equals the one it replaces.
- An index that cannot be used is discarded and every cursor returns to the start; whoever feeds it
  looks at the cursor before each record, and so starts over.

Memory is bounded by the batch of events not yet written and by SQLite's page caches. All methods
block: an event loop calls them in threads. Logs may be fed side by side, each by one thread at a
time, and any number of threads may read meanwhile.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

from folkmoot.core.event_store import AppendAnswer
from folkmoot.event_store import cache, reading
from folkmoot.event_store.errors import IndexRebuilding, IndexUnavailable
from folkmoot.event_store.placing import place
from folkmoot.event_store.reading import EVENTS_MAX, Page, StreamHead
from folkmoot.event_store.writing import Batch, Cursor, LogKey, Misfit, read_cursors

FILE_NAME = "streams.sqlite3"
BATCH_EVENTS_MAX = 2_000
"""Events written in one transaction: a commit costs no more than ten of them."""
BATCH_BYTES_MAX = 8 * 1024 * 1024
"""JSON text held before it is written: the bound on memory when events are large."""

logger = logging.getLogger(__name__)


class Index:
    """The streams of all logs. Its file in `folder` may be deleted whenever it is not open."""

    def __init__(self, folder: Path) -> None:
        """Open the index in `folder`, or begin an empty one.

        Raises:
            IndexUnavailable: the folder cannot be used; the message says why.
        """
        self.path = folder / FILE_NAME
        self._feeding, self._reading = RLock(), RLock()
        self._misfit: str | None = None
        self._incarnation = 0
        with suppress(IndexRebuilding), self._explained():
            self._connect()

    def _connect(self) -> None:
        self._batch = Batch()
        self._writer = cache.connect(self.path)
        self._reader = cache.connect(self.path)
        self._cursors = read_cursors(self._writer)

    def close(self) -> None:
        """Write what was added and let go of the file."""
        with self._feeding, self._reading:
            try:
                self.flush()
            finally:
                self._disconnect()

    def _disconnect(self) -> None:
        self._reader.close()
        self._writer.close()

    def discard(self, why: str) -> None:
        """Throw everything away; all logs must be read again from their start.

        Raises:
            IndexUnavailable: a new file cannot be made.
        """
        with self._feeding, self._reading, self._explained():
            logger.warning("%s is made anew from the logs: %s", self.path, why)
            self._incarnation += 1
            self._disconnect()
            cache.discard(self.path)
            self._connect()

    # -- feeding ----------------------------------------------------------------------------

    def cursor(self, log: LogKey) -> Cursor:
        """Return how far `log`, a topic and partition, was read; it may not be written yet."""
        return self._cursors.get(log) or Cursor()

    def add(self, log: LogKey, cursor: Cursor, entry: str = "[]") -> None:
        """Take in the record that `cursor` stands at, with the CloudEvents of its entry if any.

        A record that is not the next of its log is passed over: whoever read it did not know yet
        that the index was discarded.

        Raises:
            ValueError: `entry` is no JSON array of CloudEvents; nothing was taken in.
            IndexUnavailable: as `flush` raises it.
        """
        placed = list(place(*log, entry))
        with self._feeding:
            before = self.cursor(log)
            if cursor.offset != before.offset + 1:
                return
            self._batch.add(log, before, cursor, placed)
            self._cursors[log] = cursor
            if self._batch.events >= BATCH_EVENTS_MAX or self._batch.size >= BATCH_BYTES_MAX:
                self.flush()

    def flush(self) -> None:
        """Write what was added: it can be read now and need not be added again.

        Raises:
            IndexUnavailable: it could not be written; the cursors are back where the file is.
        """
        with self._feeding:
            batch, self._batch = self._batch, Batch()
            try:
                with self._explained():
                    batch.write(self._writer)
            except Misfit as misfit:
                self._discard_misfit(str(misfit))
            except IndexRebuilding:
                return
            except IndexUnavailable:
                self._cursors = read_cursors(self._writer)
                raise

    def _discard_misfit(self, misfit: str) -> None:
        """Rebuild, unless that led to the very same misfit: then the log itself is at fault."""
        repeated, self._misfit = misfit == self._misfit, misfit
        if not repeated:
            self.discard(misfit)
            return
        self._cursors = read_cursors(self._writer)
        raise IndexUnavailable(f"{misfit}, also after a rebuild: the log is inconsistent")

    # -- reading ----------------------------------------------------------------------------

    def read(
        self,
        stream: str,
        from_version: int | None = None,
        limit: int = EVENTS_MAX,
        *,
        backwards: bool = False,
        upto: int | None = None,
    ) -> Page:
        """Return events of `stream` in order of version, or backwards, from `from_version` on.

        `upto` hides everything after that version. A page ends early when it grows large.

        Raises:
            UnknownStream: the index has no such stream.
            VersionNotReached: the stream has fewer than `upto` events.
            IndexUnavailable: the file cannot be read.
        """
        with self._connection() as connection:
            return reading.page(connection, stream, from_version, limit, backwards, upto)

    def read_at(
        self, stream: str, version: int, from_version: int = 1, limit: int = EVENTS_MAX
    ) -> Page:
        """Return the history of `stream` as it was at `version`; raises as `read` does."""
        return self.read(stream, from_version, limit, upto=version)

    def streams(
        self, prefix: str = "", limit: int = EVENTS_MAX, after: str = ""
    ) -> Sequence[StreamHead]:
        """Return the streams whose names begin with `prefix`, in order of name, beyond `after`."""
        with self._connection() as connection:
            return reading.heads(connection, prefix, limit, after)

    def head(self, stream: str) -> StreamHead | None:
        """Return where `stream` comes from and how far it goes, None if there is no such stream."""
        with self._connection() as connection:
            return reading.find(connection, stream)

    def version(self, stream: str) -> int:
        """Return how many events `stream` has, 0 if there is no such stream."""
        head = self.head(stream)
        return head.version if head else 0

    def append_status(self, stream: str, request_id: str) -> AppendAnswer | None:
        """Return what became of a request to append, None if it is not known (any more)."""
        with self._connection() as connection:
            return reading.answer(connection, stream, request_id)

    def positions(self) -> Mapping[LogKey, int]:
        """Return the offset after the last record of each log that can be read here."""
        with self._connection() as connection:
            return reading.positions(connection)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection for reading, which sees what is written, whole batches at a time."""
        with self._explained(), self._reading:
            yield self._reader

    # -- trouble ----------------------------------------------------------------------------

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise what the database or the disk reports as `IndexUnavailable`, and heal damage.

        Entered before `_reading` is taken: whoever discards takes `_feeding` first.
        """
        incarnation = self._incarnation
        try:
            yield
        except (sqlite3.Error, OSError, cache.NotAnIndex) as error:
            if isinstance(error, sqlite3.Error) and cache.is_damage(error):
                self._discard_damaged(incarnation, error)
                raise IndexRebuilding(
                    "the index was damaged and is being made anew: ask again in a while"
                ) from error
            raise IndexUnavailable(
                f"the index {self.path} cannot be used ({error}): check that its folder exists, "
                "is writable and has room, or name another one"
            ) from error

    def _discard_damaged(self, incarnation: int, error: sqlite3.Error) -> None:
        """Discard the index unless another thread that found the damage already did."""
        with self._feeding:
            if incarnation == self._incarnation:
                self.discard(f"it is damaged ({error})")
