"""The one driver loop: a shard's replica, following its log and sometimes leading it.

The replica moves bytes and waits; every decision is `Shard`'s. It knows two situations and one
way back: whatever goes wrong while leading (an append that fails or lands elsewhere, an effect
that cannot be sent, a defect), the state in memory is thrown away and rebuilt from the log, which
is how every replica starts.

Invariants:

- A member leads only in a term that it won with a claim made from the state it has now. In
  particular an append of unknown outcome ends the term.
- Effects are emitted, and local requests are made, only after their entry is committed.
- Silence counts only while reading the log succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic

from folkmoot.bus.ports import Appender, Bus, BusError, Record, Tail
from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.core.kernel import (
    AppendedElsewhere,
    Led,
    LogRecord,
    Received,
    Shard,
    Tick,
    Undecodable,
    Verdict,
)
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.runtime.candidacy import Candidacy
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.emitter import Emitter
from folkmoot.runtime.intake import Intake, Poison, Work
from folkmoot.runtime.timing import Timing

READ_RECORDS_MAX = 2_000
FOLLOW_TIMEOUT_MS = 50
"""How long a standby waits for records before it asks its candidacy again."""

TICKS_MAX = 100
"""Timer decisions in one batch; a machine handles many timers in one."""

ENTRY_BYTES_MAX = 1000 * 1000
"""The largest entry: what a Kafka topic takes by default, less room for headers."""

logger = logging.getLogger(__name__)


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


class _Defect(Exception):
    """Deciding an input failed for a reason that trying again does not cure."""

    def __init__(self, received: Received, detail: str) -> None:
        super().__init__(detail)
        self.received = received


class Replica(Generic[S]):
    """One member's copy of one shard.

    `on_local` is called for each local request of an entry that this replica committed as leader.
    `on_role` is told of each change of role.
    """

    def __init__(
        self,
        machine: Machine[S],
        name: ShardName,
        member: str,
        bus: Bus,
        candidacy: Candidacy,
        clock: Clock,
        timing: Timing,
        on_local: Callable[[object], None] = lambda _request: None,
        on_role: Callable[[Role], None] = lambda _role: None,
    ) -> None:
        self.name, self.member = name, member
        self._machine, self._bus, self._candidacy = machine, bus, candidacy
        self._clock, self._timing = clock, timing
        self._on_local, self._on_role = on_local, on_role
        self._shard: Shard[S] = Shard(machine, member)
        self._poison: Poison = {}
        self._intake: Intake | None = None
        self._stopping = asyncio.Event()
        self.role = Role.RESTORING
        self.last_error: str | None = None
        self.progressed_at = clock.monotonic()
        self.failovers = 0
        self.fenced = 0

    # -- what others ask of it --------------------------------------------------------------

    @property
    def shard(self) -> Shard[S]:
        """The shard's state. On a leader it may be ahead of the log by one batch."""
        return self._shard

    @property
    def leads(self) -> bool:
        """Whether this replica takes inputs now."""
        return self.role is Role.LEADING

    def submit(self, message: object) -> Future[None]:
        """Have the leader decide `message`, an input of this process.

        Returns:
            A future that is done when the decision is committed, or fails with `NotLeading`.
        """
        if self._intake is None or self._stopping.is_set():
            refused: Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(NotLeading(f"{self.name.origin} is not led here"))
            return refused
        return self._intake.submit(message)

    def stop(self) -> None:
        """Finish what was taken, hand the shard over, and let `run` return."""
        self._stopping.set()
        if self._intake is not None:
            self._intake.wake()

    async def run(self) -> None:
        """Follow and lead until stopped. Cancelling it is a crash: nothing is handed over.

        A log that was truncated, or holds what this version cannot read, halts the replica:
        `role` and `last_error` say so, and it is not ready until an operator has mended it.
        """
        while not self._stopping.is_set():
            try:
                await self._live()
            except* (BusError, AppendedElsewhere, _Defect) as passing:
                self._note(passing)
                await self._pause()
            except* Exception as lasting:
                self._halt(lasting)
                await self._stopping.wait()
        self._become(Role.STOPPED)

    # -- one life: from an empty state to the first thing that goes wrong -------------------

    async def _live(self) -> None:
        self._shard = Shard(self._machine, self.member)
        self._become(Role.RESTORING)
        appender = await self._bus.log.appender()
        tail = await self._bus.log.tail(self.name.log, self.name.partition, 0)
        try:
            while not self._stopping.is_set():
                if await self._follow(tail, appender):
                    await self._lead(appender)
                    tail.seek(self._shard.next_offset)
        finally:
            await tail.close()
            await appender.close()

    def _note(self, group: BaseExceptionGroup[Exception]) -> None:
        for error in _leaves(group):
            self.last_error = str(error)
            if isinstance(error, _Defect):
                self._condemn(error)
            if isinstance(error, AppendedElsewhere):
                self.fenced += 1
                logger.info("%s starts over: %s", self.name.origin, error)
            else:
                logger.warning("%s starts over: %s", self.name.origin, error)

    def _halt(self, group: BaseExceptionGroup[Exception]) -> None:
        self.last_error = "; ".join(str(error) for error in _leaves(group))
        logger.error("%s halts: %s", self.name.origin, self.last_error, exc_info=group)
        self._become(Role.HALTED)

    def _condemn(self, defect: _Defect) -> None:
        received = defect.received
        if received.topic is not None:
            verdict = Undecodable("defect", str(defect), type(received.message).__name__)
            self._poison[received.topic, received.offset] = verdict

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._timing.retry_ms / 1000):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _become(self, role: Role) -> None:
        if role is not self.role:
            self.role = role
            self._on_role(role)

    # -- following --------------------------------------------------------------------------

    async def _follow(self, tail: Tail, appender: Appender) -> bool:
        """Read the log until this member's own claim has won; False when stopping."""
        end = await self._end()
        heard_at = self._clock.monotonic()
        while not self._stopping.is_set():
            records = await self._read(tail)
            if self._observe(records):
                heard_at = self._clock.monotonic()
            if tail.position < end:
                continue
            self._become(Role.FOLLOWING)
            silence = self._candidacy.silence_ms(self._shard.leadership)
            quiet_ms = self._clock.monotonic() - heard_at
            if silence is not None and not records and quiet_ms >= silence:
                if await self._claim(tail, appender):
                    return True
                heard_at = self._clock.monotonic()
        return False

    async def _end(self) -> int:
        return await self._bus.log.end_offset(self.name.log, self.name.partition)

    async def _read(self, tail: Tail) -> Sequence[tuple[int, LogRecord]]:
        stored = await tail.read(READ_RECORDS_MAX, FOLLOW_TIMEOUT_MS)
        events = self._machine.events
        return [(r.offset, decode_record(r.value, r.headers, events)) for r in stored]

    def _observe(self, records: Sequence[tuple[int, LogRecord]]) -> bool:
        """Take in what was read; whether any of it came from a leader."""
        heard = False
        for offset, record in records:
            heard |= self._shard.observe(offset, record).counts
        if records:
            self.progressed_at = self._clock.monotonic()
        return heard

    async def _claim(self, tail: Tail, appender: Appender) -> bool:
        """Claim the shard and read on to the claim's verdict."""
        claim: list[Record] = []
        self._encode(self._shard.claim(self._clock.now(), self._candidacy.epoch()), claim)
        offset = await self._append(appender, claim)
        while tail.position <= offset or tail.position < await self._end():
            for at, record in await self._read(tail):
                verdict = self._shard.observe(at, record)
                if at == offset and verdict is not Verdict.WON:
                    logger.info("%s: claim at %d lost", self.name.origin, offset)
        return self._shard.leadership.term == offset and self._shard.leads

    # -- leading ----------------------------------------------------------------------------

    async def _lead(self, appender: Appender) -> None:
        """Decide, append and emit until stopped or no longer wanted."""
        intake = Intake(self._machine.inputs, self._timing, self._poison)
        effects = await self._bus.log.appender()
        emitter = Emitter(self._shard, self._bus.log, effects, self.name.origin, intake.wake)
        self._intake = intake
        self.failovers += 1
        logger.info("%s leads %s in term %d", self.member, self.name.origin, self._term)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(emitter.run())]
                led = intake.submit(Led(self.member, self._term))
                led.add_done_callback(lambda done: done.cancelled() or done.exception())
                for topic in self.name.inputs:
                    offset = self._shard.consumed.get(topic, 0)
                    pump = intake.pump(self._bus.log, topic, self.name.partition, offset)
                    helpers.append(tasks.create_task(pump))
                self._become(Role.LEADING)
                await self._decide_until_done(intake, appender, emitter)
                await self._hand_over(appender, emitter)
                for helper in helpers:
                    helper.cancel()
        finally:
            self._intake = None
            self._become(Role.FOLLOWING)
            intake.close(NotLeading(f"{self.name.origin} is no longer led here"))
            await effects.close()

    @property
    def _term(self) -> int:
        return self._shard.leadership.term

    async def _decide_until_done(
        self, intake: Intake, appender: Appender, emitter: Emitter
    ) -> None:
        appended_at = committed_at = started_at = self._clock.monotonic()
        while not self._stopping.is_set():
            await intake.wait(self._patience(appended_at))
            if await self._decide_batch(intake, appender, emitter, appended_at):
                appended_at = self._clock.monotonic()
            if appended_at - committed_at >= self._timing.commit_every_ms:
                committed_at = appended_at
                await self._show_progress()
            tenure = self._clock.monotonic() - started_at
            if tenure >= self._timing.ttl_ms and self._heir() is not None:
                return

    def _heir(self) -> str | None:
        return self._candidacy.heir(self._shard.leadership)

    def _patience(self, appended_at: int) -> int:
        """Return how long to wait for inputs before a beat or a timer is due."""
        until_beat = appended_at + self._timing.beat_ms - self._clock.monotonic()
        due = self._shard.due()
        return until_beat if due is None else min(until_beat, due - self._clock.now())

    async def _decide_batch(
        self, intake: Intake, appender: Appender, emitter: Emitter, appended_at: int
    ) -> bool:
        """Decide what has arrived and what is due; whether anything was appended."""
        if len(self._shard.pending) > self._timing.pending_effects_max:
            emitter.wake()
            await emitter.drained()
        now = self._clock.now()
        works = intake.take()
        records: list[Record] = []
        for work in works:
            self._decide(work.received, now, records)
        self._decide_timers(now, records)
        if not records and self._clock.monotonic() - appended_at >= self._timing.beat_ms:
            self._encode(self._shard.beat(now), records)
        if records:
            await self._commit(records, appender, emitter)
        _settle(works)
        return bool(records)

    def _decide(self, received: Received, now: int, records: list[Record]) -> bool:
        """Decide one input and put its entry, if any, behind `records`."""
        try:
            entry = self._shard.decide(received, now)
            size = 0 if entry is None else self._encode(entry, records)
        except Exception as error:
            logger.exception("%s: deciding %s failed", self.name.origin, received)
            raise _Defect(received, f"{type(error).__name__}: {error}") from error
        if size > ENTRY_BYTES_MAX:
            raise _Defect(received, f"its decision has {size:,} bytes, over {ENTRY_BYTES_MAX:,}")
        return entry is not None

    def _decide_timers(self, now: int, records: list[Record]) -> None:
        for _ in range(TICKS_MAX):
            due = self._shard.due()
            if due is None or due > now or not self._decide(Received(Tick()), now, records):
                return

    def _encode(self, record: LogRecord, records: list[Record]) -> int:
        """Put `record` behind `records` as it will stand in the log; its size in bytes."""
        offset = self._shard.next_offset + len(records)
        value, headers = encode_record(record, self.name.origin, offset)
        records.append(Record(value, None, headers))
        return len(value)

    async def _commit(
        self, records: Sequence[Record], appender: Appender, emitter: Emitter
    ) -> None:
        first = await self._append(appender, records)
        for effect in self._shard.commit(first, len(records)):
            self._on_local(effect.request)
        self.progressed_at = self._clock.monotonic()
        emitter.wake()

    async def _append(self, appender: Appender, records: Sequence[Record]) -> int:
        return await appender.append(self.name.log, self.name.partition, records)

    async def _show_progress(self) -> None:
        offsets = {(t, self.name.partition): o for t, o in self._shard.consumed.items()}
        if offsets:
            await self._bus.log.commit(f"folkmoot.{self.name.service}", offsets)

    async def _hand_over(self, appender: Appender, emitter: Emitter) -> None:
        """Let the effects out, say how far they are, and resign."""
        try:
            async with asyncio.timeout(self._timing.drain_ms / 1000):
                emitter.wake()
                await emitter.drained()
        except TimeoutError:
            logger.warning("%s resigns with effects unacknowledged", self.name.origin)
        now = self._clock.now()
        farewell: list[Record] = []
        self._encode(self._shard.beat(now), farewell)
        self._encode(self._shard.resign(now, self._heir()), farewell)
        await self._append(appender, farewell)


def _settle(works: Sequence[Work]) -> None:
    for work in works:
        if work.committed is not None and not work.committed.done():
            work.committed.set_result(None)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
