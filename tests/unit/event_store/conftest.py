"""Logs as shards write them, an index in a folder of its own, and what an index holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import encode_record
from folkmoot.core.event_store import EventsAppended
from folkmoot.core.kernel import NOTHING, Beat, Claim, Entry, LogRecord
from folkmoot.core.messages import NewEvent
from folkmoot.event_store.following import Follower
from folkmoot.event_store.index import Index

Contents = dict[str, list[tuple[int, int, int, str]]]


@dataclass
class ShardLog:
    """The log of one shard, led by one member after another."""

    topic: str = "folkmoot.event-store.log"
    partition: int = 0
    records: list[Stored] = field(default_factory=list)
    term: int = NOTHING
    versions: dict[str, int] = field(default_factory=dict)

    @property
    def end(self) -> int:
        return len(self.records)

    def write(self, record: LogRecord) -> int:
        offset = self.end
        value, headers = encode_record(record, f"{self.topic}/{self.partition}", offset)
        self.records.append(Stored(offset, 5_000 + offset, value, None, headers))
        return offset

    def lead(self, member: str = "m") -> int:
        """Let `member` win, whoever led before."""
        self.term = self.write(Claim(member, 1_000 + self.end, self.term, self.end - 1))
        return self.term

    def entry(self, *events: object, term: int | None = None) -> int:
        if self.term == NOTHING:
            self.lead()
        return self.write(Entry(self.term if term is None else term, 1_000 + self.end, events))

    def beat(self) -> int:
        return self.write(Beat(self.term, 1_000 + self.end))

    def append(self, stream: str, *data: object, request_id: str | None = None) -> int:
        """Write what the machine decides for an append of `data` to `stream`."""
        first = self.versions.get(stream, 0) + 1
        request = request_id or f"r{self.end}"
        events = tuple(NewEvent("Noted", d, f"{request}/{n}") for n, d in enumerate(data))
        self.versions[stream] = first + len(data) - 1
        return self.entry(EventsAppended(stream, request, first, events))

    def feed(self, index: Index, at_a_time: int = 100) -> None:
        """Feed the index from where it says until it has all of it, as a service does."""
        follower = Follower(index, self.topic, self.partition)
        position = follower.start(self.end)
        for _ in range(10 * self.end + 10):
            follower.take(self.records[position : position + at_a_time])
            position = follower.next_offset
            if position >= self.end:
                return
        raise AssertionError(f"the index stays at {position} of {self.end}")


def _contents(index: Index) -> Contents:
    found: Contents = {}
    for head in index.streams():
        page = index.read(head.name)
        assert page.next_version is None
        found[head.name] = [(e.version, e.offset, e.at, e.event) for e in page.events]
    return found


@pytest.fixture
def contents() -> Callable[[Index], Contents]:
    """Return what reads all events of all streams."""
    return _contents


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index(tmp_path / "index")
    yield opened
    opened.close()


@pytest.fixture
def new_log() -> type[ShardLog]:
    return ShardLog


@pytest.fixture
def log() -> ShardLog:
    """Return the event store's own log."""
    return ShardLog()


@pytest.fixture
def saga_log() -> ShardLog:
    """Return the log of another service."""
    return ShardLog("folkmoot.saga-orchestrator.log", 1)
