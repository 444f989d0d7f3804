"""The embedded log's file: its schema, how it is opened, and what its errors mean.

Layout: one row of `records` is one record; its id is `shard << OFFSET_BITS | offset`, so that a
partition is one contiguous range of the primary key and appending to it is a B-tree append.

Invariants:

- The primary key makes offsets dense across processes: two writers cannot both take an offset.
- Every row carries a checksum, because SQLite notices a broken page but not a flipped byte.
- A file that is not a Folkmoot log, or a newer one, is never written to.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Literal

from folkmoot.bus.ports import BusError, BusUnavailable, CorruptLog

APPLICATION_ID = 0x466F6C6B  # "Folk", so that `file` and a careful program can tell
SCHEMA_VERSION = 1
OFFSET_BITS = 40  # a million million records a partition, eight million partitions a file
OFFSET_MASK = (1 << OFFSET_BITS) - 1
LOCK_TIMEOUT_S = 5.0  # how long another process may hold the write lock
OPEN_ATTEMPTS = 50  # the switch to WAL fails at once while another process makes it
OPEN_RETRY_S = 0.02
STATEMENT_CACHE = 128  # every length of a batched insert is a statement of its own

Synchronous = Literal["FULL", "NORMAL"]

SCHEMA = """
CREATE TABLE topics (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, config TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE shards (
    id INTEGER PRIMARY KEY, topic TEXT NOT NULL, part INTEGER NOT NULL, UNIQUE (topic, part)
) STRICT;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, key BLOB, value BLOB, headers TEXT,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE latest (
    shard INTEGER NOT NULL, key BLOB NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (shard, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE commits (
    name TEXT NOT NULL, shard INTEGER NOT NULL, upto INTEGER NOT NULL, PRIMARY KEY (name, shard)
) STRICT, WITHOUT ROWID;
CREATE VIEW log AS
    SELECT topic, part, records.id & 0xFFFFFFFFFF AS upto, at, key, value, headers
    FROM records JOIN shards ON shards.id = records.id >> 40;
"""


def open_file(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Open the log at `path`, or make it, with its parent folders.

    Raises:
        BusUnavailable: the file cannot be opened or made, or stays locked.
        CorruptLog: it is damaged, no Folkmoot log, or one of a newer version.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            path,
            timeout=LOCK_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENT_CACHE,
        )
    except (OSError, sqlite3.Error) as error:
        raise _unavailable(path, str(error)) from error
    try:
        _prepare(connection, path, synchronous)
    except sqlite3.Error as error:
        connection.close()
        raise explain(error, path) from error
    except BusError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: Synchronous) -> None:
    if not _is_ours(connection, path):
        _create(connection, path)
    connection.execute(f"PRAGMA synchronous = {synchronous}")


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Return False for an empty file; raise for one that is not to be touched.

    The tables are counted first: they come with the identity in one transaction, so that a file
    which another process makes meanwhile looks empty or ours, never foreign.
    """
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables == 0 and application in (0, APPLICATION_ID):
        return False
    if application != APPLICATION_ID:
        raise CorruptLog(
            f"{path} is an SQLite database of another program. Name another file in the bus "
            "address; this one was left as it is."
        )
    if version != SCHEMA_VERSION:
        raise CorruptLog(
            f"{path} has version {version} of the log's format; this program reads version "
            f"{SCHEMA_VERSION}. Use the program that wrote it, or name another file."
        )
    return True


def _create(connection: sqlite3.Connection, path: Path) -> None:
    for attempt in range(OPEN_ATTEMPTS):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if _primary(error) != sqlite3.SQLITE_BUSY or attempt == OPEN_ATTEMPTS - 1:
                raise
            time.sleep(OPEN_RETRY_S)
    connection.execute("BEGIN IMMEDIATE")
    if not _is_ours(connection, path):  # another process may have made it meanwhile
        for statement in SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def explain(error: sqlite3.Error, path: Path) -> BusError:
    """Return the typed error, with advice, for what SQLite reported about the log at `path`."""
    match _primary(error):
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return damaged(path, str(error))
        case sqlite3.SQLITE_FULL:
            return BusUnavailable(
                f"The disk that holds {path} is full; nothing was written. Free some space."
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return BusUnavailable(
                f"Another process has held {path} locked for {LOCK_TIMEOUT_S:.0f} s; nothing "
                "was written. Find it (for example: fuser FILE) and let it finish."
            )
        case _:
            return _unavailable(path, str(error))


def damaged(path: Path, why: str) -> CorruptLog:
    """Return the error for a log that cannot be read."""
    return CorruptLog(
        f"The log {path} is damaged ({why}); nothing was changed. Restore it from a copy, or "
        f"move it away together with {path.name}-wal and {path.name}-shm to start a new one."
    )


def _unavailable(path: Path, why: str) -> BusUnavailable:
    return BusUnavailable(
        f"The log {path} cannot be used ({why}). Check that the path is a file in a folder this "
        "user may write to, or name another one in the bus address."
    )


def is_io_error(error: sqlite3.Error) -> bool:
    """Return whether the disk itself failed, so that what was written may or may not stand."""
    return _primary(error) == sqlite3.SQLITE_IOERR


def _primary(error: sqlite3.Error) -> int:
    return (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR) & 0xFF
