"""The index's queries.

Streams only grow, and no event is read beyond the head that was read first, so that an answer is
consistent without a transaction around its statements.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from folkmoot.core.event_store import AppendAnswer
from folkmoot.event_store.errors import UnknownStream, VersionNotReached

EVENTS_MAX = 1_000
"""Events, or streams, in one answer."""
PAGE_BYTES_MAX = 512 * 1024
"""JSON text in one answer, unless its only event is larger: NATS carries 1 MiB by default."""

_BEYOND_ANY_NAME = "\U0010ffff"
_HEAD = """
    SELECT streams.id, name, topic, part, upto + 1, version, streams.at
    FROM streams JOIN logs ON logs.id = streams.log
"""
_FORWARDS = """
    SELECT version, upto, at, event FROM events
    WHERE stream = ? AND version BETWEEN ? AND ? ORDER BY version LIMIT ?
"""
_BACKWARDS = _FORWARDS.replace("ORDER BY version", "ORDER BY version DESC")


@dataclass(frozen=True, slots=True)
class Indexed:
    """An event at a version of its stream; `event` is a CloudEvent as JSON text.

    `offset` is that of its entry in the stream's log, `at` the log time in milliseconds since the
    epoch.
    """

    version: int
    offset: int
    at: int
    event: str


@dataclass(frozen=True, slots=True)
class StreamHead:
    """A stream: the partition that it comes from, and its last event's version and log time.

    `next_offset` says how far that partition was read.
    """

    id: int
    name: str
    topic: str
    partition: int
    next_offset: int
    version: int
    at: int


@dataclass(frozen=True, slots=True)
class Page:
    """Events of a stream, and the version to read on from; None at the end."""

    head: StreamHead
    events: Sequence[Indexed]
    next_version: int | None


def find(connection: sqlite3.Connection, name: str) -> StreamHead | None:
    """Return the stream of that name, None if there is none.

    Two logs may only have streams of one name if somebody sent appends past the partitioner; all
    readers then agree on the one of the lowest partition.
    """
    query = f"{_HEAD} WHERE name = ? ORDER BY topic, part LIMIT 1"
    row = connection.execute(query, (name,)).fetchone()
    return StreamHead(*row) if row else None


def heads(
    connection: sqlite3.Connection, prefix: str, limit: int, after: str
) -> Sequence[StreamHead]:
    """Return streams in order of name."""
    query = f"{_HEAD} WHERE name >= ? AND name < ? AND name > ? ORDER BY name, topic, part LIMIT ?"
    bounds = (prefix, prefix + _BEYOND_ANY_NAME, after, min(limit, EVENTS_MAX))
    return [StreamHead(*row) for row in connection.execute(query, bounds)]


def positions(connection: sqlite3.Connection) -> Mapping[tuple[str, int], int]:
    """Return the offset after the last record read, by topic and partition."""
    rows = connection.execute("SELECT topic, part, upto + 1 FROM logs ORDER BY topic, part")
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def answer(connection: sqlite3.Connection, stream: str, request_id: str) -> AppendAnswer | None:
    """Return what became of a request, None if it is not known."""
    row = connection.execute(
        "SELECT stream, request_id, status, version, appended, part, upto "
        "FROM answers WHERE stream = ? AND request_id = ?",
        (stream, request_id),
    ).fetchone()
    return AppendAnswer(*row) if row else None


def page(
    connection: sqlite3.Connection,
    name: str,
    from_version: int | None,
    limit: int,
    backwards: bool,
    upto: int | None,
) -> Page:
    """Return the events of a page; see `Index.read`."""
    head = find(connection, name)
    if head is None:
        raise UnknownStream(name)
    if upto is not None and upto > head.version:
        raise VersionNotReached(name, upto, head.version)
    first, last = 1, head.version if upto is None else upto
    if from_version is not None:
        first, last = (first, min(last, from_version)) if backwards else (from_version, last)
    bounds = (head.id, first, last, min(limit, EVENTS_MAX))
    rows = connection.execute(_BACKWARDS if backwards else _FORWARDS, bounds)
    events = _until_large(Indexed(*row) for row in rows)
    return Page(head, events, _following(events, first, last, backwards))


def _until_large(events: Iterable[Indexed]) -> Sequence[Indexed]:
    """Return events up to `PAGE_BYTES_MAX`, and at least one, so that every page gets further."""
    taken: list[Indexed] = []
    size = 0
    for event in events:
        size += len(event.event.encode())
        if taken and size > PAGE_BYTES_MAX:
            break
        taken.append(event)
    return taken


def _following(events: Sequence[Indexed], first: int, last: int, backwards: bool) -> int | None:
    if not events:
        return None
    following = events[-1].version + (-1 if backwards else 1)
    return following if first <= following <= last else None
