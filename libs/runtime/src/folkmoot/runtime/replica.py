"""The one driver loop: a shard's replica, following its log and sometimes leading it.

The replica moves bytes and waits; every decision is `Shard`'s. It knows two situations and one
way back: whatever goes wrong while leading (an append that fails or lands elsewhere, an effect
that cannot be sent, a defect), the state in memory is thrown away and rebuilt from the log, which
is how every replica starts.

Invariants:

- A member leads only in a term that it won with a claim made from the state it has now. In
  particular an append of unknown outcome ends the term.
- Silence counts only while reading the log succeeds.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Generic

from folkmoot.bus.cancelling import alive, heed_cancellation
from folkmoot.bus.ports import Bus, BusError, BusUnavailable, CorruptLog, Tail
from folkmoot.contracts.envelope import prepare
from folkmoot.core.kernel import (
    AppendedElsewhere,
    Local,
    LogRecord,
    Resign,
    Shard,
    Undecodable,
    Verdict,
)
from folkmoot.core.kernel.machine import Machine, S
from folkmoot.core.names import wire_name
from folkmoot.runtime.candidacy import Absentees, Candidacy
from folkmoot.runtime.channels import Channels, channels
from folkmoot.runtime.clock import Clock, LogClock
from folkmoot.runtime.intake import promise
from folkmoot.runtime.seat import NotLeading, Role, Seat, ShardName
from folkmoot.runtime.snapshots import Archive
from folkmoot.runtime.tally import Tally
from folkmoot.runtime.term import Defect, Term
from folkmoot.runtime.timing import Timing

FOLLOW_TIMEOUT_MS = 50
"""How long a standby waits for records before it asks its candidacy again."""

GATHER_MS = 25
"""How long a standby lets records gather after some have come. It reads everything that its leader
writes, and pays by the read rather than by the record; a leader that goes on is not in doubt."""

SILENCE_STEP_MS = 2 * FOLLOW_TIMEOUT_MS
"""The most that one read adds to the silence: what it took beyond, this process was stalled."""

VERDICT_TIMEOUT_MS = 10_000
"""For reading one's own claim: it was acknowledged, so it is there, unless the log is not."""

HEIR_WAIT_TTLS = 10
"""How long an heir that did not come is not offered the shard again, at first."""

logger = logging.getLogger(__name__)


class Replica(Generic[S]):
    """One member's copy of one shard.

    `on_local` is called for each local request of an entry that this replica committed as leader.
    `on_witnessed` is called for those of the entries that it reads, which their leader may not have
    lived to perform, and for each `Resign` of one that has. `on_role` is told of each change of
    role. While a replica reads to the end of its log for the first time, it holds a place of
    `restoring`.
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
        restoring: asyncio.Semaphore | None = None,
        on_witnessed: Callable[[object], None] | None = None,
    ) -> None:
        prepare(machine.inputs)
        absentees = Absentees(HEIR_WAIT_TTLS * timing.ttl_ms)
        self.name, self.member = name, member
        self.archive = Archive(bus.log, machine, name.log, name.partition, member, timing)
        self._seat = Seat(
            machine,
            name,
            member,
            bus,
            candidacy,
            LogClock(clock),
            timing,
            absentees,
            self.archive,
            on_local,
        )
        self._clock, self._on_role, self._on_witnessed = clock, on_role, on_witnessed
        self._restoring = restoring or asyncio.Semaphore()
        self._shard: Shard[S] = Shard(machine, member)
        self._term: Term[S] | None = None
        self._stopping = asyncio.Event()
        self._turned = asyncio.Event()
        self._hurried = asyncio.Event()
        self._observed_at = self._began_at = clock.monotonic()
        self.restored_ms = 0
        self.role = Role.RESTORING
        self.last_error: str | None = None
        self.failovers = 0
        self.fenced = 0

    # -- what others ask of it --------------------------------------------------------------

    @property
    def shard(self) -> Shard[S]:
        """The shard's state. On a leader it may be ahead of the log by one batch."""
        return self._shard if self._term is None else self._term.shard

    @property
    def progressed_at(self) -> int:
        """When, by the monotonic clock, something was last read of the log or appended to it."""
        if self._term is None:
            return self._observed_at
        return max(self._observed_at, self._term.appended_at)

    @property
    def tally(self) -> Tally:
        """What this replica has done while it led, in all its terms."""
        return self._seat.tally

    @property
    def lag(self) -> Mapping[str, int]:
        """Inputs not yet consumed, by topic, as of a moment ago; nothing if this does not lead."""
        return {} if self._term is None else self._term.lag

    async def read(self) -> S:
        """Return the state as it stands in the log. It may not be kept beyond the next await.

        Raises:
            NotLeading: this replica does not lead, so what it knows may be old.
        """
        term = self._term
        if term is not None:
            await term.committed()
        if term is None or term.over:
            raise NotLeading(f"{self.name.origin} is not led here")
        return term.shard.state

    @property
    def turned(self) -> asyncio.Event:
        """What is set when the role changes next; get it before looking at the role."""
        return self._turned

    @property
    def leads(self) -> bool:
        """Whether this replica takes inputs now."""
        return self._term is not None and not self._term.over

    def submit(self, message: object) -> Future[None]:
        """Have the leader decide `message`, an input of this process.

        Returns:
            A future that is done when the decision is committed. It fails with `Refused` if the
            machine cannot accept the message, with `NotLeading` if it was not committed here.
        """
        if self._term is None or self._term.over or self._stopping.is_set():
            refused = promise()
            refused.set_exception(NotLeading(f"{self.name.origin} is not led here"))
            return refused
        return self._term.submit(message)

    def hurry(self, leaving: str) -> None:
        """Read everything at once from now on, if it is `leaving` who leads: it hands over soon."""
        if self._shard.leadership.holder == leaving:
            self._hurried.set()

    def stop(self) -> None:
        """Finish what was taken, hand the shard over, and let `run` return."""
        self._stopping.set()
        if self._term is not None:
            self._term.wake()

    async def run(self) -> None:
        """Follow and lead until stopped. Cancelling it is a crash: nothing is handed over.

        A log that was truncated, or holds what this version cannot read, halts the replica:
        `role` and `last_error` say so, and it is not ready until an operator has mended it.
        """
        while not self._stopping.is_set():
            pause_ms = 0
            try:
                await alive(self._live())
            except* CorruptLog as lasting:
                self._halt(lasting)
            except* (BusError, AppendedElsewhere, Defect) as passing:
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
        self._become(Role.RESTORING)
        self._began_at = self._clock.monotonic()
        async with AsyncExitStack() as opened, asyncio.TaskGroup() as beside:
            tail = await self._seat.tail(0)
            opened.push_async_callback(tail.close)
            async with self._restoring:
                self._shard = await self.archive.restore(tail)
                await self._read_to_end(tail)
            while not self._stopping.is_set():
                async with channels(self._seat.bus.log, self.name) as ready:
                    if await self._follow(tail, ready, beside):
                        await self._lead(ready)
                        tail.seek(self._shard.next_offset)

    async def _read_to_end(self, tail: Tail) -> None:
        end = await self._seat.end()
        while tail.position < end and not self._stopping.is_set():
            self._observe(await self._seat.read(tail, FOLLOW_TIMEOUT_MS))

    async def _lead(self, ready: Channels) -> None:
        self._term = term = Term(self._seat, self._shard, ready, self._stopping)
        self.failovers += 1
        self._become(Role.LEADING)
        try:
            await term.run()
        finally:
            self._shard, self._term = term.shard, None
            self._observed_at = max(self._observed_at, term.appended_at)
            self._become(Role.FOLLOWING)

    def _note(self, group: BaseExceptionGroup[Exception]) -> int:
        """Take notice of what went wrong; how long to wait before starting over."""
        pause_ms = 0
        for error in _leaves(group):
            self.last_error = str(error)
            if isinstance(error, Defect):
                self._condemn(error)
            if isinstance(error, AppendedElsewhere):
                self.fenced += 1
                logger.info("%s starts over: %s", self.name.origin, error)
            else:
                self.tally.failures["defect" if isinstance(error, Defect) else "bus"] += 1
                pause_ms = self._seat.timing.retry_ms
                logger.warning("%s starts over: %s", self.name.origin, error)
        return pause_ms

    def _halt(self, group: BaseExceptionGroup[Exception]) -> None:
        self.last_error = "; ".join(str(error) for error in _leaves(group))
        logger.error("%s halts: %s", self.name.origin, self.last_error, exc_info=group)
        self._become(Role.HALTED)

    def _condemn(self, defect: Defect) -> None:
        received = defect.received
        if received.topic is not None:
            verdict = Undecodable("defect", str(defect), wire_name(type(received.message)))
            self._seat.poison[received.topic, received.offset] = verdict

    def _become(self, role: Role) -> None:
        if role is not self.role:
            if self.role is Role.RESTORING:
                self.restored_ms = self._clock.monotonic() - self._began_at
            self.role = role
            self._on_role(role)
            self._turned.set()
            self._turned = asyncio.Event()

    # -- following --------------------------------------------------------------------------

    async def _follow(self, tail: Tail, ready: Channels, beside: asyncio.TaskGroup) -> bool:
        """Read the log until this member's own claim has won; False when stopping."""
        end = await self._seat.end()
        quiet_ms = self._since_resignation()
        look_ms = FOLLOW_TIMEOUT_MS
        while not self._stopping.is_set():
            asked_at = self._clock.monotonic()
            records = await self._seat.read(tail, look_ms)
            waited_ms = min(self._clock.monotonic() - asked_at, SILENCE_STEP_MS)
            quiet_ms = 0 if self._observe(records) else quiet_ms + waited_ms
            if tail.position < end:
                continue
            self._become(Role.FOLLOWING)
            await self._keep_snapshots(beside)
            if records and self._shard.leadership.holder is not None:
                quiet_ms = await self._let_gather()
            silence = self._seat.candidacy.silence_ms(self._shard.leadership)
            if silence is not None and not records and quiet_ms >= silence:
                if await self._claim(tail, ready):
                    return True
                quiet_ms = 0
                silence = None  # for a moment: whoever won is about to be heard
            look_ms = _look_ms(silence, quiet_ms)
        return False

    async def _let_gather(self) -> int:
        """Read nothing for a moment, unless hurried; the milliseconds for which nothing was."""
        if self._hurried.is_set():
            return 0
        try:
            async with asyncio.timeout(GATHER_MS / 1000):
                await self._hurried.wait()
        except TimeoutError:
            return GATHER_MS
        return 0

    def _since_resignation(self) -> int:
        """Return how long, in log time, the shard has been without a leader that resigned.

        A member that begins to follow only then need not wait out the courtesy once more.
        """
        resigned_at = self._shard.leadership.resigned_at
        return 0 if resigned_at is None else max(0, self._seat.clock.now() - resigned_at)

    async def _keep_snapshots(self, beside: asyncio.TaskGroup) -> None:
        """Take a snapshot if it is time to; the shard stands still only until it is encoded."""
        if self.archive.is_due(self._shard.next_offset, leads=False):
            draft = await self.archive.draft(self._shard)
            if draft is not None:
                beside.create_task(self.archive.publish(draft))

    def _observe(self, records: Sequence[tuple[int, LogRecord]]) -> bool:
        """Take in what was read; whether any of it came from a leader."""
        heard = False
        for offset, record in records:
            verdict, requests = self._shard.witness(offset, record)
            heard |= verdict.counts
            if verdict is Verdict.WON:
                self._hurried.clear()
            if self._on_witnessed is not None and verdict.counts:
                self._tell_witnessed(record, requests)
        if records:
            self._observed_at = self._clock.monotonic()
        if heard:
            self._seat.clock.hear(self._shard.at)
        return heard

    def _tell_witnessed(self, record: LogRecord, requests: Sequence[Local]) -> None:
        assert self._on_witnessed is not None
        for effect in requests:
            self._on_witnessed(effect.request)
        if isinstance(record, Resign):
            self._on_witnessed(record)

    async def _claim(self, tail: Tail, ready: Channels) -> bool:
        """Claim the shard and read on to the claim's verdict, and to the end if it has won.

        The inboxes are fetched meanwhile: if the claim wins, nothing was consumed in between. An
        heir need not look for the end: out of courtesy nobody writes after its claim.
        """
        ready.fetch(self._shard.consumed)
        heir = self._shard.leadership.heir
        claim = self._shard.claim(self._seat.clock.now(), self._seat.candidacy.epoch())
        record = self._seat.encode(claim, self._shard.next_offset)
        offset = await ready.log.append(self.name.log, self.name.partition, [record])
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT_MS / 1000):
                while tail.position <= offset or (
                    heir != self.member
                    and self._shard.leads
                    and tail.position < await self._seat.end()
                ):
                    self._observe(await self._seat.read(tail, FOLLOW_TIMEOUT_MS))
        except TimeoutError as error:
            raise BusUnavailable(f"the claim at {offset} is not to be read") from error
        won = self._shard.leadership.term == offset and self._shard.leads
        if won and heir not in (None, self.member):
            self._seat.absentees.note(heir, self._clock.monotonic())
        return won


def _look_ms(silence_ms: int | None, quiet_ms: int) -> int:
    """Return how long to wait for records: no longer than until a claim would be due."""
    if silence_ms is None:
        return FOLLOW_TIMEOUT_MS
    return min(max(0, silence_ms - quiet_ms), FOLLOW_TIMEOUT_MS)


def _leaves(group: BaseExceptionGroup[Exception]) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
