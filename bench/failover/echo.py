"""A machine that does nothing, and the bytes of its inputs and of its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from folkmoot.bus.ports import Bus, Record, Topic
from folkmoot.contracts.codec import encode_record
from folkmoot.contracts.envelope import encode_message
from folkmoot.core.kernel import Beat, Claim, Entry, Progress
from folkmoot.core.kernel.machine import Effect, Position
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.seat import ShardName

AT = 1_700_000_000_000
INBOX, LOG = "bench.echo.inbox", "bench.echo.log"
RECORDS_PER_APPEND = 1_000


@dataclass(frozen=True, slots=True)
class Ping:
    """The input."""

    number: int


@dataclass(frozen=True, slots=True)
class Pinged:
    """The event."""

    number: int


@dataclass(slots=True)
class Count:
    """The state."""

    pings: int = 0


class Echo:
    """The least that a machine can be: it decides one event for each input, and counts them."""

    name = "echo"
    inputs: Mapping[str, type] = by_wire_name(Ping)
    events: Mapping[str, type] = by_wire_name(Pinged)
    outputs: Mapping[str, type] = {}

    def initial(self) -> Count:
        """Return the count before the first."""
        return Count()

    def decide(self, state: Count, message: object, now: int) -> Sequence[object]:
        """Return one event for a ping."""
        return (Pinged(message.number),) if isinstance(message, Ping) else ()

    def apply(self, state: Count, event: object, position: Position) -> Sequence[Effect]:
        """Count."""
        state.pings += 1
        return ()

    def due(self, state: Count) -> int | None:
        """Never."""
        return None


def place(partition: int, log: str = LOG) -> ShardName:
    """Return where the shard of a partition lives."""
    return ShardName("echo", log, (INBOX,), partition)


async def create(bus: Bus, names: Sequence[str], partitions: int) -> None:
    """Create topics that do not stand in anybody's way."""
    await bus.log.create_topics([Topic(name, partitions, {}) for name in names])


def ping(number: int) -> Record:
    """Return an input as it stands in an inbox."""
    value, headers = encode_message(Ping(number), event_id=f"ping/{number}", source="bench", at=AT)
    return Record(value, None, headers)


async def fill_inbox(bus: Bus, partition: int, count: int) -> None:
    """Put `count` inputs into a partition of the inbox."""
    appender = await bus.log.appender()
    for start in range(0, count, RECORDS_PER_APPEND):
        numbers = range(start, min(start + RECORDS_PER_APPEND, count))
        await appender.append(INBOX, partition, [ping(number) for number in numbers])
    await appender.close()


async def fill_log(bus: Bus, log: str, count: int) -> None:
    """Write a shard's log of `count` entries, as one leader would have."""
    source, appender = place(0, log).origin, await bus.log.appender()
    opening = encode_record(Claim("bench", AT, -1, -1), source, 0)
    await appender.append(log, 0, [Record(opening[0], None, opening[1])])
    for start in range(0, count, RECORDS_PER_APPEND):
        stop = min(start + RECORDS_PER_APPEND, count)
        made = (_entry(source, number) for number in range(start, stop))
        await appender.append(log, 0, [Record(value, None, headers) for value, headers in made])
    closing = encode_record(Beat(0, AT), source, count + 1)
    await appender.append(log, 0, [Record(closing[0], None, closing[1])])
    await appender.close()


def _entry(source: str, number: int) -> tuple[bytes, tuple[tuple[str, bytes], ...]]:
    entry = Entry(0, AT, (Pinged(number),), Progress({INBOX: number + 1}))
    return encode_record(entry, source, number + 1)
