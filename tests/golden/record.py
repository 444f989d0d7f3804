"""Records a new golden history, or accepts the hashes of the recorded ones under a new schema.

    python -m tests.golden.record NAME     a new history of every machine, `MACHINE-NAME.jsonl.gz`
    python -m tests.golden.record          hashes under a schema that has none yet

Neither changes what is there already.
"""

from __future__ import annotations

import sys

from folkmoot.testing.histories import PLAYERS, History
from tests.golden.golden import PLACE, Golden, load, save

INPUTS = 1_000
"""Enough that every event of every machine happens."""


def record(name: str) -> None:
    """Record one history of each machine."""
    for machine, player in PLAYERS.items():
        path = PLACE / f"{machine}-{name}.jsonl.gz"
        if path.exists():
            sys.exit(f"{path} exists: a recorded history is never changed, take another name")
        seed = int.from_bytes(name.encode(), "big")
        Golden(path).write(History(player(), seed).play(INPUTS).records)


def accept() -> None:
    """Note digests and hashes that are not noted yet."""
    known = load()
    for path in sorted(PLACE.glob("*.jsonl.gz")):
        golden = Golden(path)
        entry = known.setdefault(path.name, {"sha256": golden.digest(), "states": {}})
        entry["states"].setdefault(*golden.outcome())
    save(known)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        record(sys.argv[1])
    accept()
