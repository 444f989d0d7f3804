"""The golden histories: logs as they were once written, one file for each."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from folkmoot.contracts.codec import decode_record
from folkmoot.contracts.snapshots import hash_of, schema_of
from folkmoot.core.kernel import Shard
from folkmoot.testing.histories import PLAYERS, Written

PLACE = Path(__file__).parent
NOTED = PLACE / "noted.json"


@dataclass(frozen=True, slots=True)
class Golden:
    """One recorded history. A line is a record: its headers, then its value."""

    path: Path

    def write(self, records: Sequence[Written]) -> None:
        """Write the file."""
        lines = [
            json.dumps([[[k, v.decode()] for k, v in r.headers], r.value.decode()]) for r in records
        ]
        self.path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))

    def read(self) -> list[Written]:
        """Return the records."""
        found = []
        for line in gzip.decompress(self.path.read_bytes()).splitlines():
            headers, value = json.loads(line)
            found.append(Written(value.encode(), tuple((k, v.encode()) for k, v in headers)))
        return found

    def digest(self) -> str:
        """Return the digest of what it says, however it is compressed."""
        return sha256(gzip.decompress(self.path.read_bytes())).hexdigest()

    def shard(self) -> Shard[Any]:
        """Return the shard that the history makes."""
        name = self.path.name.removesuffix(".jsonl.gz").rsplit("-", 1)[0]
        machine = PLAYERS[name]().machine()
        shard = Shard(machine, "reader")
        for offset, record in enumerate(self.read()):
            shard.observe(offset, decode_record(record.value, record.headers, machine.events))
        return shard

    def outcome(self) -> tuple[str, str]:
        """Return the schema of the machine's state, and the hash of the shard."""
        shard = self.shard()
        return schema_of(shard.machine), hash_of(shard)


def load() -> dict[str, Any]:
    """Return what is noted of the histories."""
    noted: dict[str, Any] = json.loads(NOTED.read_text()) if NOTED.exists() else {}
    return noted


def save(noted: dict[str, Any]) -> None:
    """Note it."""
    NOTED.write_text(json.dumps(noted, indent=2, sort_keys=True) + "\n")
