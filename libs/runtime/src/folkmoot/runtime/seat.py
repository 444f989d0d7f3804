"""What a member brings to a shard, whether it follows there or leads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic

from folkmoot.bus.ports import Bus, Record, Tail
from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.core.kernel import Leadership, LogRecord
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.runtime.candidacy import Absentees, Candidacy
from folkmoot.runtime.clock import LogClock
from folkmoot.runtime.intake import Poison
from folkmoot.runtime.snapshots import Archive
from folkmoot.runtime.tally import Tally
from folkmoot.runtime.timing import Timing

READ_RECORDS_MAX = 2_000


class NotLeading(Exception):
    """This replica does not lead, or ceased to before the input was committed."""


class Role(Enum):
    """What a replica is doing."""

    RESTORING = "restoring"
    FOLLOWING = "following"
    LEADING = "leading"
    HALTED = "halted"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ShardName:
    """Where a shard lives: its log, and the inboxes that it consumes, at one partition number."""

    service: str
    log: str
    inputs: tuple[str, ...]
    partition: int

    @property
    def origin(self) -> str:
        """How this shard signs its effects."""
        return f"{self.log}/{self.partition}"


@dataclass(frozen=True)
class Seat(Generic[S]):
    """One member's place at one shard, and what it has there in every term."""

    machine: Machine[S]
    name: ShardName
    member: str
    bus: Bus
    candidacy: Candidacy
    clock: LogClock
    timing: Timing
    absentees: Absentees
    archive: Archive[S]
    on_local: Callable[[object], None]
    poison: Poison = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)

    def heir(self, leadership: Leadership) -> str | None:
        """Return who should lead instead of this member, unless it did not come when asked."""
        heir = self.candidacy.heir(leadership)
        if heir is None or self.absentees.excuse(heir, self.clock.monotonic()):
            return None
        return heir

    def encode(self, record: LogRecord, offset: int) -> Record:
        """Return `record` as it will stand in the log, hopefully at `offset`."""
        value, headers = encode_record(record, self.name.origin, offset)
        return Record(value, None, headers)

    async def tail(self, offset: int) -> Tail:
        """Return a tail of the shard's log."""
        return await self.bus.log.tail(self.name.log, self.name.partition, offset)

    async def read(self, tail: Tail, timeout_ms: int) -> Sequence[tuple[int, LogRecord]]:
        """Return the next records of the shard's log with their offsets, none after `timeout_ms`.

        Raises:
            UnreadableRecord: this version cannot read one of them.
        """
        stored = await tail.read(READ_RECORDS_MAX, timeout_ms)
        self.archive.note(stored)
        events = self.machine.events
        return [(r.offset, decode_record(r.value, r.headers, events)) for r in stored]

    async def end(self) -> int:
        """Return the offset that the log's next record will have."""
        return await self.bus.log.end_offset(self.name.log, self.name.partition)
