"""The event store's index, as one who opens its file sees it, and what it must say (I8).

The file is read with SQL of its own, and the events that it must hold come from the logs by the
second implementation of the reader's rule.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from folkmoot.contracts.codec import decode_events
from folkmoot.core.event_store import EventsAppended
from folkmoot.core.names import wire_name
from folkmoot.testing.simulation.evidence import Evidence, ShardEvidence, Violation

Place = tuple[str, int]
_POSITIONS = "SELECT topic, part, upto + 1 FROM logs"
_EVENTS = """
    SELECT topic, part, stream, events.version, events.upto, event FROM events
    JOIN streams ON streams.id = stream JOIN logs ON logs.id = log ORDER BY stream, events.version
"""


@dataclass
class IndexContent:
    """How far each log is in an index, and the offset and id of each of its events."""

    positions: dict[Place, int]
    events: dict[Place, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    disorder: list[str] = field(default_factory=list)


def positions(file: Path) -> dict[Place, int]:
    """Return how far an index has read each log; nothing if there is no index."""
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as connection:
        return {(topic, part): upto for topic, part, upto in connection.execute(_POSITIONS)}


def content(file: Path) -> IndexContent:
    """Return what an index holds."""
    found, last = IndexContent(positions(file)), (0, 0, 0)
    with closing(sqlite3.connect(file)) as connection:
        for topic, part, stream, version, offset, event in connection.execute(_EVENTS):
            found.events[topic, part].append((offset, orjson.loads(event)["id"]))
            follows = (stream, version - 1) == last[:2] if version > 1 else stream != last[0]
            if not follows or (version > 1 and offset < last[2]):
                found.disorder.append(f"{topic}/{part} at {offset}")
            last = (stream, version, offset)
    return found


def indexes_tell_what_the_logs_say(evidence: Evidence) -> Iterator[Violation]:
    """I8 for the index: it holds the events of accepted entries, each once, in their order."""
    indexes: Mapping[str, IndexContent] = evidence.seen.indexes
    for member, index in indexes.items():
        for where in index.disorder:
            yield Violation("I8", f"the index of {member} has versions out of order: {where}")
        for origin, shard in evidence.shards.items():
            place = (shard.name.log, shard.name.partition)
            expected = sorted(_events(shard, index.positions.get(place, 0)))
            if (found := sorted(index.events[place])) != expected:
                differing = sorted(set(found) ^ set(expected)) or "some of them twice"
                yield Violation("I8", f"the index of {member} differs from {origin}: {differing}")


def _events(shard: ShardEvidence, upto: int) -> Iterator[tuple[int, str]]:
    """Yield the offset and id of each event of the entries that count, before `upto`."""
    entries = zip(shard.records[:upto], shard.controls, shard.rulings, strict=False)
    for stored, control, ruling in entries:
        if control["kind"] != "entry" or not ruling.counts:
            continue
        for event in decode_events(stored.value or b""):
            if event["type"] == wire_name(EventsAppended):
                yield from ((stored.offset, each["event_id"]) for each in event["data"]["events"])
            else:
                yield stored.offset, event["id"]
