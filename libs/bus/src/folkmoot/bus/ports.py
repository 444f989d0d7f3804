"""The two ports through which everything leaves a process: the durable log and the gossip.

Why two: a log record decides something and must never be lost; gossip repairs itself and may be.
No other module of Folkmoot knows Kafka, SQLite or NATS; `folkmoot.bus.connect` chooses by address.

Invariants that every adapter keeps (one behaviour suite runs on all of them):

- A partition's records have dense, increasing offsets in the order of their appends.
- One appender's appends to one partition land in the order in which they were called.
- `Appender.append` returns only when every record is durable; the records of one call are
  adjacent. If it raises `AppendUncertain` they may land, now or later, or never.
- A tail returns records in offset order without gaps, starting at the offset it was given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Record:
    """A record to append. A `value` of None is a tombstone on a compacted topic."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """A record as it stands in a partition."""

    offset: int
    timestamp_ms: int
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic must be like. `config` holds Kafka's own topic settings."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)

    @property
    def compacted(self) -> bool:
        """Whether only the last record of a key is kept."""
        return self.config.get("cleanup.policy") == "compact"


class BusError(Exception):
    """A port could not do what was asked. The message says what is wrong and what to do."""


class BusUnavailable(BusError):
    """The broker or file cannot be reached now. Worth trying again."""


class AppendUncertain(BusError):
    """An append was not acknowledged; it may still land. Its appender is to be thrown away."""


class RecordTooLarge(BusError):
    """A record is over the limit. Nothing of its append was written."""


class UnknownTopic(BusError):
    """The topic does not exist. Nothing was written."""


class TopicMismatch(BusError):
    """A topic exists with settings that would lose history or misplace keys."""


class CorruptLog(BusError):
    """What is stored cannot be read. Nothing was changed."""


class Appender(Protocol):
    """Writes to partitions in order. Not shared between tasks that need separate failures."""

    async def append(self, topic: str, partition: int, records: Sequence[Record]) -> int:
        """Append all `records`, adjacent and in order, and wait until they are durable.

        Concurrent calls for different partitions proceed side by side; calls for one partition
        land in the order in which they were made. A call without records writes nothing and only
        opens the way, so that the next one need not.

        Returns:
            The offset of the first record, or of the one to come.

        Raises:
            AppendUncertain: not acknowledged in time; the records may still land.
            RecordTooLarge: a record is over the limit; nothing was written.
            UnknownTopic: there is no such topic; nothing was written.
        """
        ...

    async def close(self) -> None:
        """Let go of it. Appends not yet acknowledged become uncertain."""
        ...


class Tail(Protocol):
    """Reads one partition forwards, waiting at its end. Used by one task at a time."""

    @property
    def position(self) -> int:
        """The offset that the next read starts at."""
        ...

    async def read(self, max_records: int, timeout_ms: int) -> Sequence[Stored]:
        """Return what there is, as soon as there is something; empty after `timeout_ms`.

        Raises:
            BusUnavailable: the log cannot be reached; silence then means nothing.
            CorruptLog: the log ends before the position: what was there is gone.
        """
        ...

    def seek(self, offset: int) -> None:
        """Read on from `offset`; what was fetched ahead of another is dropped.

        Fetching may begin at once, so that the next read finds something.
        """
        ...

    async def close(self) -> None:
        """Stop reading."""
        ...


class Log(Protocol):
    """The durable, partitioned log."""

    async def create_topics(self, topics: Sequence[Topic]) -> None:
        """Create what is missing; leave alone what is as asked.

        Raises:
            TopicMismatch: a topic exists with other partitions or with settings that would lose
                history; the message names the topic, the setting, and how to mend it.
        """
        ...

    async def topics(self) -> Mapping[str, int]:
        """Return the partition count of each topic that exists, by name."""
        ...

    async def appender(self) -> Appender:
        """Return a new appender with failures of its own."""
        ...

    async def tail(self, topic: str, partition: int, offset: int) -> Tail:
        """Return a reader of `partition` that starts at `offset`.

        Raises:
            UnknownTopic: there is no such topic or partition.
        """
        ...

    async def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset that the next record will get."""
        ...

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Make progress visible to tools. Nothing in Folkmoot depends on it."""
        ...

    async def close(self) -> None:
        """Close every appender and tail and let go of the broker or file."""
        ...


@dataclass(frozen=True, slots=True)
class Gossiped:
    """A gossip message as received."""

    subject: str
    data: bytes
    headers: Mapping[str, str]


Handler = Callable[[Gossiped], Awaitable[None]]
Responder = Callable[[Gossiped], Awaitable[bytes]]


class Subscription(Protocol):
    """A standing interest in a subject."""

    async def close(self) -> None:
        """End it; a message being handled is finished first."""
        ...


class NoResponder(BusError):
    """Nobody answers on that subject now."""


class Gossip(Protocol):
    """Messages that may be lost, doubled and re-ordered. Subjects and wildcards are NATS's."""

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Send to whoever listens now. Returns before anybody has received it.

        Raises:
            BusUnavailable: not connected, and the outgoing buffer is full.
        """
        ...

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Call `handler` for each message. `*` stands for one token, `>` for the rest.

        A handler that raises is logged and counted, and the next message is handled.
        """
        ...

    async def respond(self, subject: str, responder: Responder) -> Subscription:
        """Answer requests on `subject`; replicas that respond on one subject share the load."""
        ...

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """Ask and return the first answer.

        Raises:
            NoResponder: nobody listens, or nobody answered within `timeout_ms`.
        """
        ...

    async def close(self) -> None:
        """Flush what can be flushed and disconnect."""
        ...


@dataclass(slots=True)
class Refusals:
    """What the brokers did not let this process do, for readiness and metrics.

    A refusal does not pass by itself: somebody has to grant what is missing, and to start the
    process again.
    """

    kafka: int = 0
    nats: int = 0
    latest: str | None = None

    def note(self, broker: Literal["kafka", "nats"], what: str) -> None:
        """Count one, and keep what it was."""
        if broker == "kafka":
            self.kafka += 1
        else:
            self.nats += 1
        self.latest = what


@dataclass(frozen=True, slots=True)
class Bus:
    """Both ports, connected."""

    log: Log
    gossip: Gossip
    address: str
    refusals: Refusals = field(default_factory=Refusals)

    async def close(self) -> None:
        """Close both, gossip first, so that nobody is told of what the log has not kept."""
        await self.gossip.close()
        await self.log.close()
