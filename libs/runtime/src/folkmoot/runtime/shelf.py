"""How snapshots lie in their compacted topic: two places for each shard, overwritten in turn.

A snapshot is its chunks, and behind them a manifest that names all of them. A new one overwrites
the older of the two, so that a whole one is always left, the topic stays as small as two snapshots,
and what a writer that crashed has left is overwritten as well. Writers that overwrite each other
spoil one place: the ids tell, and the other place is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import orjson

from folkmoot.bus.ports import Record, Stored
from folkmoot.contracts.snapshots import UnreadableSnapshot

PLACES = ("a", "b")
CHUNK_BYTES = 512 * 1024
"""Half of what a Kafka topic takes by default."""

ID = "snapshot"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a snapshot is. `id` is the hash of all else that is said here, so also of the content.

    `content` is the hash of the chunks, one behind the other. `last` is the hash of the log's last
    record before `upto`: a log that has another record there is another log. `at` is when it was
    taken, in log time; `size` is in bytes.
    """

    id: str
    place: str
    upto: int
    last: str
    schema: str
    content: str
    chunks: int
    size: int
    member: str
    at: int


def sealed(manifest: Manifest) -> Manifest:
    """Return `manifest` with the id that it must have."""
    said = orjson.dumps(asdict(replace(manifest, id="")))
    return replace(manifest, id=sha256(said).hexdigest())


def fingerprint(record: Stored) -> str:
    """Return the hash of what a record says."""
    content = sha256(record.value or b"")
    for name, value in record.headers:
        content.update(b"%d %s=%d " % (len(name), name.encode(), len(value)))
        content.update(value)
    return content.hexdigest()[:32]


class Shelf:
    """What the topic holds, told by its records in their order. With `content`, also the bytes."""

    def __init__(self, *, content: bool) -> None:
        self.next_offset = 0
        self._content = content
        self._chunks: dict[bytes, tuple[str, bytes]] = {}
        self._manifests: dict[str, Manifest] = {}

    def take(self, record: Stored) -> None:
        """Take in the next record; what makes no sense is as good as absent."""
        self.next_offset = record.offset + 1
        key = record.key or b""
        place = key.decode("utf-8", "replace")
        if record.value is None:
            self._chunks.pop(key, None)
        elif place not in PLACES:
            value = record.value if self._content else b""
            self._chunks[key] = (dict(record.headers).get(ID, b"").decode("latin-1"), value)
        else:
            self._manifests.pop(place, None)
            try:
                self._manifests[place] = Manifest(**orjson.loads(record.value))
            except (TypeError, ValueError):
                return

    def whole(self) -> list[Manifest]:
        """Return the snapshots of which nothing is missing, the newest first."""
        found = [m for m in self._manifests.values() if self._is_whole(m)]
        return sorted(found, key=lambda manifest: manifest.upto, reverse=True)

    def broken(self) -> list[Manifest]:
        """Return the others."""
        return [m for m in self._manifests.values() if not self._is_whole(m)]

    def _is_whole(self, manifest: Manifest) -> bool:
        ids = (self._chunks.get(key, ("", b""))[0] for key in _keys(manifest))
        return all(found == manifest.id for found in ids)

    def free_place(self) -> str:
        """Return where to write next: not over the newest whole one."""
        newest = next(iter(self.whole()), None)
        return next(place for place in PLACES if newest is None or place != newest.place)

    def leftovers(self, manifest: Manifest) -> list[bytes]:
        """Return the keys at the manifest's place that it does not use."""
        mine = set(_keys(manifest))
        prefix = f"{manifest.place}/".encode()
        return [key for key in self._chunks if key.startswith(prefix) and key not in mine]

    def read(self, manifest: Manifest) -> bytes:
        """Return the content of a whole snapshot.

        Raises:
            UnreadableSnapshot: it is not what was written.
        """
        content = b"".join(self._chunks[key][1] for key in _keys(manifest))
        if sealed(manifest) != manifest or sha256(content).hexdigest() != manifest.content:
            raise UnreadableSnapshot("it is not what was written: the hashes differ")
        return content


def records_of(manifest: Manifest, chunks: Sequence[bytes]) -> list[Record]:
    """Return the records of a snapshot, in the order to append them."""
    header = ((ID, manifest.id.encode()),)
    keys = _keys(manifest)
    parts = [Record(chunk, key, header) for key, chunk in zip(keys, chunks, strict=True)]
    return [*parts, Record(orjson.dumps(asdict(manifest)), manifest.place.encode())]


def _keys(manifest: Manifest) -> list[bytes]:
    return [f"{manifest.place}/{number}".encode() for number in range(manifest.chunks)]
