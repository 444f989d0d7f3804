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
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import Generic

from folkmoot.bus.ports import Appender, Bus, BusError, BusUnavailable, CorruptLog, Record, Tail
from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.core.kernel import (
    AppendedElsewhere,
    Led,
    LogRecord,
    Received,
    Refused,
    Shard,
    Tick,
    Undecodable,
)
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.core.names import wire_name
from folkmoot.runtime.cancelling import heed_cancellation
from folkmoot.runtime.candidacy import Absentees, Candidacy
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.emitter import Emitter
from folkmoot.runtime.intake import Intake, Poison, promise
from folkmoot.runtime.timing import Timing

READ_RECORDS_MAX = 2_000
FOLLOW_TIMEOUT_MS = 50
"""How long a standby waits for records before it asks its candidacy again."""

SILENCE_STEP_MS = 2 * FOLLOW_TIMEOUT_MS
"""The most that one read adds to the silence: what it took beyond, this process was stalled."""

VERDICT_TIMEOUT_MS = 10_000
"""For reading one's own claim: it was acknowledged, so it is there, unless the log is not."""

TICKS_MAX = 100
"""Timer decisions in one batch; a machine handles many timers in one."""

HEIR_WAIT_TTLS = 10
"""How long an heir that did not come is not offered the shard again, at first."""

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
        self._absentees = Absentees(HEIR_WAIT_TTLS * timing.ttl_ms)
        self._ahead_ms = 0
        self._intake: Intake | None = None
        self._stopping = asyncio.Event()
        self._committed = asyncio.Event()
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

    async def read(self) -> S:
        """Return the state as it stands in the log. It may not be kept beyond the next await.

        Raises:
            NotLeading: this replica does not lead, so what it knows may be old.
        """
        while self.leads and not self._committed.is_set():
            await self._committed.wait()
        if not self.leads:
            raise NotLeading(f"{self.name.origin} is not led here")
        return self._shard.state

    @property
    def leads(self) -> bool:
        """Whether this replica takes inputs now."""
        return self.role is Role.LEADING

    def submit(self, message: object) -> Future[None]:
        """Have the leader decide `message`, an input of this process.

        Returns:
            A future that is done when the decision is committed. It fails with `Refused` if the
            machine cannot accept the message, with `NotLeading` if it was not committed here.
        """
        if self._intake is None or self._stopping.is_set():
            refused = promise()
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
            pause_ms = 0
            try:
                await self._live()
            except* CorruptLog as lasting:
                self._halt(lasting)
            except* (BusError, AppendedElsewhere, _Defect) as passing:
                pause_ms = self._note(passing)
            except* Exception as lasting:
                self._halt(lasting)
            await self._rest(pause_ms)
        self._become(Role.STOPPED)

    async def _rest(self, pause_ms: int) -> None:
        """Wait before starting over; for ever if halted. Ends at once when stopping."""
        heed_cancellation()
        try:
            async with asyncio.timeout(None if self.role is Role.HALTED else pause_ms / 1000):
                await self._stopping.wait()
        except TimeoutError:
            return

    # -- one life: from an empty state to the first thing that goes wrong -------------------

    async def _live(self) -> None:
        self._shard = Shard(self._machine, self.member)
        self._become(Role.RESTORING)
        async with AsyncExitStack() as opened:
            appender = await self._bus.log.appender()
            opened.push_async_callback(appender.close)
            tail = await self._bus.log.tail(self.name.log, self.name.partition, 0)
            opened.push_async_callback(tail.close)
            while not self._stopping.is_set():
                if await self._follow(tail, appender):
                    await self._lead(appender)
                    tail.seek(self._shard.next_offset)

    def _note(self, group: BaseExceptionGroup[Exception]) -> int:
        """Take notice of what went wrong; how long to wait before starting over."""
        pause_ms = 0
        for error in _leaves(group):
            self.last_error = str(error)
            if isinstance(error, _Defect):
                self._condemn(error)
            if isinstance(error, AppendedElsewhere):
                self.fenced += 1
                logger.info("%s starts over: %s", self.name.origin, error)
            else:
                pause_ms = self._timing.retry_ms
                logger.warning("%s starts over: %s", self.name.origin, error)
        return pause_ms

    def _halt(self, group: BaseExceptionGroup[Exception]) -> None:
        self.last_error = "; ".join(str(error) for error in _leaves(group))
        logger.error("%s halts: %s", self.name.origin, self.last_error, exc_info=group)
        self._become(Role.HALTED)

    def _condemn(self, defect: _Defect) -> None:
        received = defect.received
        if received.topic is not None:
            verdict = Undecodable("defect", str(defect), wire_name(type(received.message)))
            self._poison[received.topic, received.offset] = verdict

    def _become(self, role: Role) -> None:
        if role is not self.role:
            self.role = role
            self._on_role(role)

    def _now(self) -> int:
        """Return log time: this member's clock, but never behind what it or the log has seen pass.

        Log time may not run backwards. If it stood still instead until a clock that was behind, or
        was set back, has caught up, timers and courtesy would stand still with it.
        """
        monotonic = self._clock.monotonic()
        self._ahead_ms = max(self._ahead_ms, self._clock.now() - monotonic)
        return monotonic + self._ahead_ms

    # -- following --------------------------------------------------------------------------

    async def _follow(self, tail: Tail, appender: Appender) -> bool:
        """Read the log until this member's own claim has won; False when stopping."""
        end = await self._end()
        quiet_ms = 0
        while not self._stopping.is_set():
            asked_at = self._clock.monotonic()
            records = await self._read(tail)
            waited_ms = min(self._clock.monotonic() - asked_at, SILENCE_STEP_MS)
            quiet_ms = 0 if self._observe(records) else quiet_ms + waited_ms
            if tail.position < end:
                continue
            self._become(Role.FOLLOWING)
            silence = self._candidacy.silence_ms(self._shard.leadership)
            if silence is not None and not records and quiet_ms >= silence:
                if await self._claim(tail, appender):
                    return True
                quiet_ms = 0
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
        if heard:
            self._ahead_ms = max(self._ahead_ms, self._shard.at - self._clock.monotonic())
        return heard

    async def _claim(self, tail: Tail, appender: Appender) -> bool:
        """Claim the shard and read on to the claim's verdict, and to the end if it has won."""
        heir = self._shard.leadership.heir
        claim: list[Record] = []
        self._encode(self._shard.claim(self._now(), self._candidacy.epoch()), claim)
        offset = await self._append(appender, claim)
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT_MS / 1000):
                while tail.position <= offset or (
                    self._shard.leads and tail.position < await self._end()
                ):
                    self._observe(await self._read(tail))
        except TimeoutError as error:
            raise BusUnavailable(f"the claim at {offset} is not to be read") from error
        won = self._shard.leadership.term == offset and self._shard.leads
        if won and heir not in (None, self.member):
            self._absentees.note(heir, self._clock.monotonic())
        return won

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
                helpers.append(tasks.create_task(self._show_progress()))
                intake.submit(Led(self.member, self._term))
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
            self._committed.set()
            intake.close(NotLeading(f"{self.name.origin} is no longer led here"))
            await effects.close()

    @property
    def _term(self) -> int:
        return self._shard.leadership.term

    async def _decide_until_done(
        self, intake: Intake, appender: Appender, emitter: Emitter
    ) -> None:
        appended_at = started_at = self._clock.monotonic()
        while not self._stopping.is_set():
            if self._is_backed_up:
                await emitter.drained(self._until_beat(appended_at))
            else:
                await intake.wait(self._patience(appended_at))
            if await self._decide_batch(intake, appender, emitter, appended_at):
                appended_at = self._clock.monotonic()
            tenure = self._clock.monotonic() - started_at
            if tenure >= self._timing.ttl_ms and self._heir() is not None:
                return

    @property
    def _is_backed_up(self) -> bool:
        """Whether so many effects are unacknowledged that nothing but beats may be appended."""
        return len(self._shard.pending) > self._timing.pending_effects_max

    def _heir(self) -> str | None:
        heir = self._candidacy.heir(self._shard.leadership)
        if heir is None or self._absentees.excuse(heir, self._clock.monotonic()):
            return None
        return heir

    def _until_beat(self, appended_at: int) -> int:
        return max(0, appended_at + self._timing.beat_ms - self._clock.monotonic())

    def _patience(self, appended_at: int) -> int:
        """Return how long to wait for inputs before a beat or a timer is due."""
        until_beat = self._until_beat(appended_at)
        due = self._shard.due()
        return until_beat if due is None else min(until_beat, max(1, due - self._now()))

    async def _decide_batch(
        self, intake: Intake, appender: Appender, emitter: Emitter, appended_at: int
    ) -> bool:
        """Decide what has arrived and what is due; whether anything was appended."""
        now = self._now()
        records: list[Record] = []
        self._committed.clear()
        if not self._is_backed_up:
            self._decide_inputs(intake, now, records)
            self._decide_timers(now, records)
        if not records and self._until_beat(appended_at) == 0:
            self._encode(self._shard.beat(now), records)
        if records:
            await self._commit(records, appender, emitter)
        self._committed.set()
        intake.settle()
        return bool(records)

    def _decide_inputs(self, intake: Intake, now: int, records: list[Record]) -> None:
        for work in intake.take():
            try:
                self._decide(work.received, now, records)
            except Refused as refusal:
                work.settle(refusal)

    def _decide(self, received: Received, now: int, records: list[Record]) -> bool:
        """Decide one input and put its entry, if any, behind `records`."""
        try:
            entry = self._shard.decide(received, now)
            size = 0 if entry is None else self._encode(entry, records)
        except Refused:
            raise
        except Exception as error:
            name = wire_name(type(received.message))
            logger.exception("%s: deciding %s failed", self.name.origin, name)
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
        """Make consumption visible as group offsets. Only tools look at them."""
        while True:
            await asyncio.sleep(self._timing.commit_every_ms / 1000)
            offsets = {(t, self.name.partition): o for t, o in self._shard.consumed.items()}
            try:
                if offsets:
                    await self._bus.log.commit(f"folkmoot.{self.name.service}", offsets)
            except BusError as error:
                logger.info("%s cannot show its progress: %s", self.name.origin, error)

    async def _hand_over(self, appender: Appender, emitter: Emitter) -> None:
        """Let the effects out, say how far they are, and resign."""
        if not await emitter.drained(self._timing.drain_ms):
            logger.warning("%s resigns with effects unacknowledged", self.name.origin)
        now = self._now()
        farewell: list[Record] = []
        self._encode(self._shard.beat(now), farewell)
        self._encode(self._shard.resign(now, self._heir()), farewell)
        await self._append(appender, farewell)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
