"""The index's file: its schema, and how one that cannot be used is thrown away.

Everything in it can be read again from the logs, so a file that is damaged or of another version
is replaced, never mended. `synchronous` is NORMAL, not OFF, though that costs a tenth of its
speed: a file torn by a power failure would be served as history without anyone noticing.

Events lie in the order of their arrival, with an index by stream and version: three times as fast
to write as rows in the order of streams, and a stream of ten is still read in 50 microseconds.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Literal

APPLICATION_ID = 0x466F6C49  # "FolI": an index, not the embedded log
SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0
CACHE_KIB = 16 * 1024  # pages kept in memory by each of the two connections
CHECKPOINT_PAGES = 10_000  # 40 MB of WAL: a third faster to fill than with SQLite's 1,000

SCHEMA = """
CREATE TABLE logs (
    topic TEXT NOT NULL, part INTEGER NOT NULL, upto INTEGER NOT NULL, at INTEGER NOT NULL,
    seal INTEGER NOT NULL, leadership TEXT NOT NULL, id INTEGER PRIMARY KEY, UNIQUE (topic, part)
) STRICT;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, log INTEGER NOT NULL, version INTEGER NOT NULL,
    at INTEGER NOT NULL, UNIQUE (name, log)
) STRICT;
CREATE TABLE events (
    stream INTEGER NOT NULL, version INTEGER NOT NULL, upto INTEGER NOT NULL, at INTEGER NOT NULL,
    event TEXT NOT NULL, UNIQUE (stream, version)
) STRICT;
CREATE TABLE answers (
    id INTEGER PRIMARY KEY, stream TEXT NOT NULL, request_id TEXT NOT NULL, status TEXT NOT NULL,
    version INTEGER NOT NULL, appended INTEGER NOT NULL, part INTEGER NOT NULL,
    upto INTEGER NOT NULL, UNIQUE (stream, request_id)
) STRICT;
"""

DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SUFFIXES = ("", "-wal", "-shm", "-journal")


class NotAnIndex(Exception):
    """The file belongs to another program. It was left as it is."""


def connect(path: Path) -> sqlite3.Connection:
    """Open the index at `path`, or an empty one where there is none that can be used.

    Raises:
        NotAnIndex: there is another program's database.
        sqlite3.Error: the file cannot be made.
        OSError: its folder cannot be made, or the old file cannot be removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
    discard(path)
    return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        state = _examine(connection, path)
        if state == "empty":
            _create(connection)
        if state != "outdated":
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    discard(path)
    return _open(path)


def _examine(connection: sqlite3.Connection, path: Path) -> Literal["empty", "current", "outdated"]:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application == APPLICATION_ID:
        return "current" if version == SCHEMA_VERSION else "outdated"
    if application == 0 and tables == 0:
        return "empty"
    raise NotAnIndex(f"{path} is a database of another program; it was left as it is")


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, as opposed to the disk being full or busy."""
    code = getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_ERROR
    return code & 0xFF in DAMAGE


def discard(path: Path) -> None:
    """Remove the index and what SQLite keeps beside it."""
    for suffix in _SUFFIXES:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
