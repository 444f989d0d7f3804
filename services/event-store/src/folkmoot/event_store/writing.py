"""A batch of what was read from the logs, and how it gets into the index at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import orjson

from folkmoot.core.kernel import NOTHING, Leadership
from folkmoot.event_store.errors import IndexUnavailable
from folkmoot.event_store.placing import Answered, Placed

LogKey = tuple[str, int]
"""A log topic and a partition of it."""

ANSWERS_MAX = 500_000
"""Requests whose answer can be asked for: some 60 MB of disk, the oldest are forgotten first."""

_ADVANCE = """
    INSERT INTO logs (topic, part, upto, at, seal, leadership) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        upto = excluded.upto, at = excluded.at, seal = excluded.seal,
        leadership = excluded.leadership
    WHERE upto = ? RETURNING id
"""
_ANSWER = """
    INSERT INTO answers (stream, request_id, status, version, appended, part, upto)
    VALUES (?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET
        status = excluded.status, version = excluded.version, appended = excluded.appended,
        part = excluded.part, upto = excluded.upto
"""
_FORGET = "DELETE FROM answers WHERE id <= (SELECT max(id) - ? FROM answers)"


class Misfit(Exception):
    """The index and the log disagree on a stream's version."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last record of a log that was taken in, and what is needed to go on from there.

    `seal` is the record's checksum, by which another incarnation of the log is told apart.
    """

    offset: int = NOTHING
    at: int = 0
    seal: int = 0
    leadership: Leadership = field(default_factory=Leadership)


def read_cursors(connection: sqlite3.Connection) -> dict[LogKey, Cursor]:
    """Return how far each log is in the index."""
    rows = connection.execute("SELECT topic, part, upto, at, seal, leadership FROM logs")
    return {
        (topic, part): Cursor(upto, at, seal, Leadership(**orjson.loads(leadership)))
        for topic, part, upto, at, seal, leadership in rows
    }


_Event = tuple[int, int, Placed]  # offset, log time


class Batch:
    """Events by stream, answers, and how far their logs were read."""

    def __init__(self) -> None:
        self.events = 0
        self.size = 0
        self._streams: dict[tuple[LogKey, str], list[_Event]] = {}
        self._answers: list[tuple[str, str, str, int, int, int, int]] = []
        self._before: dict[LogKey, int] = {}
        self._cursors: dict[LogKey, Cursor] = {}

    def add(
        self, log: LogKey, before: Cursor, cursor: Cursor, placed: Sequence[Placed | Answered]
    ) -> None:
        """Put what the record at `cursor` adds behind the rest."""
        self._before.setdefault(log, before.offset)
        self._cursors[log] = cursor
        for item in placed:
            if isinstance(item, Placed):
                key = (log, item.stream)
                self._streams.setdefault(key, []).append((cursor.offset, cursor.at, item))
                self.events += 1
                self.size += len(item.event)
            else:
                verdict = (item.stream, item.request_id, item.status, item.version, item.appended)
                self._answers.append((*verdict, log[1], cursor.offset))

    def write(self, connection: sqlite3.Connection) -> None:
        """Write everything in one transaction, or nothing.

        Raises:
            Misfit: a stream's version differs from what the log says.
            IndexUnavailable: another process wrote to the index.
            sqlite3.Error: it cannot be written.
        """
        if not self._cursors:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            self._write(connection)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _write(self, connection: sqlite3.Connection) -> None:
        logs = {log: self._advance(connection, log) for log in self._cursors}
        rows: list[tuple[int, int, int, int, str]] = []
        heads: list[tuple[int, int, int]] = []
        for (log, name), events in self._streams.items():
            id_, version = _head(connection, name, logs[log])
            _check(name, version, events)
            for following, (offset, at, placed) in enumerate(events, version + 1):
                rows.append((id_, following, offset, at, placed.event))
            heads.append((version + len(events), events[-1][1], id_))
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
        connection.executemany("UPDATE streams SET version = ?, at = ? WHERE id = ?", heads)
        if self._answers:
            connection.executemany(_ANSWER, self._answers)
            connection.execute(_FORGET, (ANSWERS_MAX,))

    def _advance(self, connection: sqlite3.Connection, log: LogKey) -> int:
        cursor = self._cursors[log]
        leadership = orjson.dumps(asdict(cursor.leadership)).decode()
        values = (*log, cursor.offset, cursor.at, cursor.seal, leadership, self._before[log])
        row = connection.execute(_ADVANCE, values).fetchone()
        if row is None:
            raise IndexUnavailable(
                "another process writes to the same index: give each event store its own folder"
            )
        id_: int = row[0]
        return id_


def _head(connection: sqlite3.Connection, name: str, log: int) -> tuple[int, int]:
    """Return the id and version of a stream, which is made if need be."""
    find = "SELECT id, version FROM streams WHERE name = ? AND log = ?"
    row: tuple[int, int] | None = connection.execute(find, (name, log)).fetchone()
    if row is not None:
        return row
    make = "INSERT INTO streams (name, log, version, at) VALUES (?, ?, 0, 0) RETURNING id, version"
    made: tuple[int, int] = connection.execute(make, (name, log)).fetchone()
    return made


def _check(name: str, version: int, events: Sequence[_Event]) -> None:
    for expected, (offset, _, placed) in enumerate(events, version + 1):
        if placed.version not in (None, expected):
            raise Misfit(
                f"stream {name!r} has version {expected} next, but the log says "
                f"{placed.version} at offset {offset}"
            )
