"""The reader's rule once more, from its description and not from the code that it judges.

A claim wins if nobody leads, or if it names the leader's term and last record exactly; after a
resignation in favour of an heir only the heir may follow for the courtesy time. What a leader
writes counts while its term is the current one. Everything else was never said.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from folkmoot.bus import Stored

COURTESY_MS = 500


@dataclass(frozen=True)
class Counted:
    """A leader's record that counts. `written_at` is the broker's clock, in milliseconds."""

    offset: int
    written_at: int
    leader: str
    events: tuple[Mapping[str, Any], ...]


def counted(records: Iterable[Stored]) -> Iterator[Counted]:
    """Return what counts among all records of a log, in their order."""
    leader, term, last, epoch = "", -1, -1, 0
    heir, free_at = None, 0
    for record in records:
        said = json.loads(dict(record.headers)["folkmoot"])
        if said["kind"] == "claim":
            invited = heir in (None, said["member"]) or said["at"] >= free_at
            open_to = invited if not leader else said["expected"] == [term, last]
            if not open_to or said["epoch"] < epoch:
                continue
            leader, epoch, heir = said["member"], said["epoch"], None
            term = last = record.offset
        elif leader and said["term"] == term:
            last = record.offset
        else:
            continue
        events = json.loads(record.value) if record.value else []
        yield Counted(record.offset, record.timestamp_ms, leader, tuple(events))
        if said["kind"] == "resign":
            leader, heir, free_at = "", said["to"], said["at"] + COURTESY_MS
