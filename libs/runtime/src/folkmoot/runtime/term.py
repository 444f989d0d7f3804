"""One leader's term of one shard: take inputs, decide, append, let the effects out, hand over.

Every decision is `Shard`'s. Whatever goes wrong (an append of unknown outcome, an effect that
cannot be sent, a defect) ends the term, and with it the state in memory.

Invariants:

- Effects are emitted, and local requests are made, only after their entry is committed.
- What others wrote in between is read before going on. If all of it was in vain, as claims that
  lost are, the term goes on with a state made from the log; otherwise this leader is fenced.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Sequence
from typing import Generic

from folkmoot.bus.ports import BusError, BusUnavailable, Record
from folkmoot.core.kernel import (
    AppendedElsewhere,
    Led,
    Local,
    LogRecord,
    Received,
    Refused,
    Shard,
    Tick,
)
from folkmoot.core.kernel.machine import S
from folkmoot.core.names import wire_name
from folkmoot.runtime.channels import Channels
from folkmoot.runtime.emitter import Emitter
from folkmoot.runtime.intake import Intake
from folkmoot.runtime.seat import NotLeading, Seat

TICKS_MAX = 100
"""Timer decisions in one batch; a machine handles many timers in one."""

ENTRY_BYTES_MAX = 1000 * 1000
"""The largest entry: what a Kafka topic takes by default, less room for headers."""

OWN_RECORD_TIMEOUT_MS = 10_000
"""For reading what one appended: it was acknowledged, so it is there, unless the log is not."""

logger = logging.getLogger(__name__)


class Defect(Exception):
    """Deciding an input failed for a reason that trying again does not cure."""

    def __init__(self, received: Received, detail: str) -> None:
        super().__init__(detail)
        self.received = received


class Term(Generic[S]):
    """The time between a claim that won and whatever ends it."""

    def __init__(
        self, seat: Seat[S], shard: Shard[S], channels: Channels, stopping: asyncio.Event
    ) -> None:
        self._seat, self._channels, self._stopping = seat, channels, stopping
        self._intake = Intake(seat.machine.inputs, seat.timing, seat.poison)
        self._committed = asyncio.Event()
        self._number = shard.leadership.term
        self.appended_at = self._started_at = seat.clock.monotonic()
        self.shard = shard
        """The state. It may be ahead of the log by one batch, until `committed`."""
        self.lag: dict[str, int] = {}
        """Inputs not yet consumed, by topic, as of a moment ago."""
        self.over = False
        self._intake.submit(Led(seat.member, self._number))

    # -- what others ask of it --------------------------------------------------------------

    def submit(self, message: object) -> Future[None]:
        """Queue an input of this process; see `Replica.submit`."""
        return self._intake.submit(message)

    def wake(self) -> None:
        """Look whether it is time to stop."""
        self._intake.wake()

    async def committed(self) -> None:
        """Return when the state is what the log says, or the term is over."""
        while not self.over and not self._committed.is_set():
            await self._committed.wait()

    async def run(self) -> None:
        """Lead until stopped or no longer wanted, and hand over.

        Raises:
            AppendedElsewhere: another member leads.
            BusError: the bus failed; what was appended last may or may not stand.
            Defect: an input cannot be decided.
        """
        logger.info("%s leads %s in term %d", self._seat.member, self._origin, self._number)
        self._channels.fetch(self.shard.consumed)
        log, effects = self._seat.bus.log, self._channels.effects
        tally = self._seat.tally
        emitter = Emitter(self.shard, log, effects, self._origin, self._intake.wake, tally)
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [tasks.create_task(emitter.run())]
                helpers.append(tasks.create_task(self._show_progress()))
                helpers.append(tasks.create_task(self._keep_snapshots()))
                for topic, tail in self._channels.inboxes.items():
                    helpers.append(tasks.create_task(self._intake.pump(topic, tail)))
                await self._decide_until_done(emitter)
                await self._hand_over(emitter)
                for helper in helpers:
                    helper.cancel()
        finally:
            self.close()

    def close(self) -> None:
        """Tell all who wait that nothing more is committed in this term."""
        self.over = True
        self._committed.set()
        self._intake.close(NotLeading(f"{self._origin} is no longer led here"))

    @property
    def _origin(self) -> str:
        return self._seat.name.origin

    # -- deciding ---------------------------------------------------------------------------

    async def _decide_until_done(self, emitter: Emitter) -> None:
        while not self._stopping.is_set():
            if self._is_backed_up:
                await emitter.drained(self._until_beat())
            else:
                await self._intake.wait(self._patience())
            await self._decide_batch(emitter)
            if self._is_to_hand_over():
                return

    def _is_to_hand_over(self) -> bool:
        now = self._seat.clock.monotonic()
        served = now - self._started_at >= self._seat.timing.tenure_ms
        return served and self._heir() is not None and self._seat.candidacy.may_hand_over(now)

    @property
    def _is_backed_up(self) -> bool:
        """Whether so many effects are unacknowledged that nothing but beats may be appended."""
        return len(self.shard.pending) > self._seat.timing.pending_effects_max

    def _heir(self) -> str | None:
        return self._seat.heir(self.shard.leadership)

    def _until_beat(self) -> int:
        due = self.appended_at + self._seat.timing.beat_ms
        return max(0, due - self._seat.clock.monotonic())

    def _patience(self) -> int:
        """Return how long to wait for inputs before a beat or a timer is due."""
        until_beat = self._until_beat()
        due = self.shard.due()
        return until_beat if due is None else min(until_beat, max(1, due - self._seat.clock.now()))

    async def _decide_batch(self, emitter: Emitter) -> None:
        """Decide what has arrived and what is due, and commit it, or a beat if one is due."""
        now = self._seat.clock.now()
        records: list[Record] = []
        self._committed.clear()
        if not self._is_backed_up:
            self._decide_inputs(now, records)
            self._decide_timers(now, records)
        if not records and self._until_beat() == 0:
            self._encode(self.shard.beat(now), records)
        if records:
            await self._commit(records, emitter)
        self._committed.set()
        self._intake.settle()

    def _decide_inputs(self, now: int, records: list[Record]) -> None:
        works = self._intake.take()
        for work in works:
            try:
                self._decide(work.received, now, records)
            except Refused as refusal:
                self._seat.tally.refused += 1
                work.settle(refusal)
        self._seat.tally.note_inputs(len(works), len(records))

    def _decide(self, received: Received, now: int, records: list[Record]) -> bool:
        """Decide one input and put its entry, if any, behind `records`."""
        try:
            entry = self.shard.decide(received, now)
            size = 0 if entry is None else self._encode(entry, records)
        except Refused:
            raise
        except Exception as error:
            name = wire_name(type(received.message))
            logger.exception("%s: deciding %s failed", self._origin, name)
            raise Defect(received, f"{type(error).__name__}: {error}") from error
        if size > ENTRY_BYTES_MAX:
            raise Defect(received, f"its decision has {size:,} bytes, over {ENTRY_BYTES_MAX:,}")
        return entry is not None

    def _decide_timers(self, now: int, records: list[Record]) -> None:
        for _ in range(TICKS_MAX):
            due = self.shard.due()
            if due is None or due > now or not self._decide(Received(Tick()), now, records):
                return

    def _encode(self, record: LogRecord, records: list[Record]) -> int:
        """Put `record` behind `records`; return its size in bytes."""
        encoded = self._seat.encode(record, self.shard.next_offset + len(records))
        records.append(encoded)
        return len(encoded.value or b"")

    # -- committing -------------------------------------------------------------------------

    async def _commit(self, records: Sequence[Record], emitter: Emitter) -> None:
        first = await self._append(records)
        if first == self.shard.next_offset:
            requests = self.shard.commit(first, len(records))
        else:
            requests = await self._read_own(first, first + len(records))
            emitter.follow(self.shard)
        for effect in requests:
            self._seat.on_local(effect.request)
        emitter.wake()

    async def _append(self, records: Sequence[Record]) -> int:
        name, began = self._seat.name, self._seat.clock.monotonic()
        first = await self._channels.log.append(name.log, name.partition, records)
        self._seat.archive.note_appended(records)
        self.appended_at = self._seat.clock.monotonic()
        self._seat.tally.note_append(len(records), self.appended_at - began)
        return first

    async def _read_own(self, first: int, end: int) -> list[Local]:
        """Read what others wrote before `first`, and then what this leader wrote up to `end`.

        Returns:
            The local requests of this leader's entries.

        Raises:
            AppendedElsewhere: what others wrote has ended this term.
        """
        stale = shard = self.shard
        requests: list[Local] = []
        tail = await self._seat.tail(shard.next_offset)
        try:
            if stale.is_ahead:
                shard = await self._seat.archive.restore(tail, upto=first)
            while shard.next_offset < end:
                records = await self._seat.read(tail, OWN_RECORD_TIMEOUT_MS)
                if not records:
                    raise BusUnavailable(f"the entries at {first} are not to be read")
                for offset, record in records:
                    local = shard.observe_own(offset, record)
                    requests += local if offset >= first else ()
        finally:
            await tail.close()
        if not shard.leads or shard.leadership.term != self._number:
            raise AppendedElsewhere(f"{shard.leadership.holder} leads since term {self._number}")
        shard.inherit(stale)
        self.shard = shard
        return requests

    async def _show_progress(self) -> None:
        """Make consumption visible as lag and as group offsets. Only tools and people look at them.

        Nothing waits for this, and a failure is only told.
        """
        while not self.over:
            await asyncio.sleep(self._seat.timing.commit_every_ms / 1000)
            try:
                await self._show_lag()
                await self._show_offsets()
            except BusError as error:
                logger.info("%s cannot show its progress: %s", self._origin, error)

    async def _show_lag(self) -> None:
        partition = self._seat.name.partition
        for topic in self._seat.name.inputs:
            end = await self._seat.bus.log.end_offset(topic, partition)
            self.lag[topic] = max(0, end - self.shard.consumed.get(topic, 0))

    async def _show_offsets(self) -> None:
        name = self._seat.name
        offsets = {(topic, name.partition): o for topic, o in self.shard.consumed.items()}
        if offsets:
            await self._seat.bus.log.commit(f"folkmoot.{name.service}", offsets)

    async def _keep_snapshots(self) -> None:
        """Look once whether the log is still the same; write snapshots if nobody else does.

        Neither is hurried: taking over has the bus to itself.
        """
        await asyncio.sleep(self._seat.timing.ttl_ms / 1000)
        await self._seat.archive.verify()
        while not self.over:
            await asyncio.sleep(self._seat.timing.ttl_ms / 1000)
            if self._seat.archive.is_due(self.shard.next_offset, leads=True):
                await self._seat.archive.write_apart()

    async def _hand_over(self, emitter: Emitter) -> None:
        """Let the effects out, say how far they are, and resign."""
        if not await emitter.drained(self._seat.timing.drain_ms):
            logger.warning("%s resigns with effects unacknowledged", self._origin)
        now = self._seat.clock.now()
        farewell: list[Record] = []
        self._encode(self.shard.beat(now), farewell)
        self._encode(self.shard.resign(now, self._heir()), farewell)
        self.close()  # before the resignation stands and somebody else decides
        await self._append(farewell)
