"""How a record becomes a row of the file, and comes back checked.

Headers are kept as JSON so that a person with the `sqlite3` tool can read them; bytes go through
Latin-1, which maps every byte to one character and back.
"""

from __future__ import annotations

from pathlib import Path
from zlib import crc32

import orjson

from folkmoot.bus.ports import Headers, Record, Stored
from folkmoot.bus.sqlite.file import OFFSET_MASK, damaged

Row = tuple[bytes | None, bytes | None, str | None, int]  # key, value, headers, checksum
StoredRow = tuple[int, int, bytes | None, bytes | None, str | None, int]  # id, at, then a Row


def encode(record: Record) -> Row:
    """Return the record's columns."""
    headers = _encode_headers(record.headers) if record.headers else None
    return record.key, record.value, headers, _checksum(record.key, record.value, headers)


def decode(row: StoredRow, path: Path) -> Stored:
    """Return the record of `row`.

    Raises:
        CorruptLog: the checksum differs.
    """
    number, at, key, value, headers, checksum = row
    if _checksum(key, value, headers) != checksum:
        raise damaged(path, f"the checksum of record {number & OFFSET_MASK} differs")
    return Stored(number & OFFSET_MASK, at, value, key, _decode_headers(headers) if headers else ())


def _checksum(key: bytes | None, value: bytes | None, headers: str | None) -> int:
    start = crc32(key) if key else 0
    if headers:
        start = crc32(headers.encode(), start)
    return crc32(value, start) if value else start


def _encode_headers(headers: Headers) -> str:
    return orjson.dumps([(name, value.decode("latin-1")) for name, value in headers]).decode()


def _decode_headers(text: str) -> Headers:
    return tuple([(name, value.encode("latin-1")) for name, value in orjson.loads(text)])
