"""A machine replicated over one log: the deterministic half of a replica.

The driver (`folkmoot.runtime.replica`) moves bytes and waits; everything that decides is here, so
that the simulator runs the very same code. Two ways in, one state:

- a standby calls `observe` for each record of the log;
- a leader calls `decide` for each input, appends what comes back, and calls `commit` with the
  offset that the append was given. Until then its state is ahead of the log, so any failure in
  between means: throw the shard away and rebuild it by `observe`.

Invariants:

- `decide` acts on an input at most once: its mark or its offset must be above the watermark.
- An effect is handed out only after its entry is committed, and stays pending until `emitted`.
- After `commit` the shard equals what `observe` would have made of the same records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

from folkmoot.core.kernel.leadership import Leadership, Verdict
from folkmoot.core.kernel.machine import Effect, Local, Machine, Position, Refused, S, Send
from folkmoot.core.kernel.records import (
    NOTHING,
    Beat,
    Claim,
    Entry,
    LogRecord,
    Mark,
    Progress,
    Resign,
)
from folkmoot.core.kernel.rejection import InputRejected, Undecodable, dead_letter
from folkmoot.core.names import newest_version, wire_name


class LogTruncated(Exception):
    """The log ends below, or jumps over, what was read of it before: history was lost."""


class AppendedElsewhere(Exception):
    """Somebody wrote between this leader's last read and its append."""


@dataclass(frozen=True, slots=True)
class Received:
    """An input and where it came from. Inputs of the replica itself have no topic."""

    message: object
    topic: str | None = None
    offset: int = NOTHING
    origin: str | None = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """An effect that is not known to have reached its target."""

    mark: Mark
    send: Send
    at: int


class Shard(Generic[S]):
    """The state of one shard on one member."""

    def __init__(self, machine: Machine[S], member: str) -> None:
        self.machine = machine
        self.member = member
        self.state: S = machine.initial()
        self.leadership = Leadership()
        self.next_offset = 0
        self.at = 0
        self.consumed: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}
        self.emitted = NOTHING
        self.pending: deque[Pending] = deque()
        self._decided: list[tuple[Entry, list[Pending], list[Local]]] = []
        self._unlogged_consumed: dict[str, int] = {}
        self._unlogged_marks: dict[str, Mark] = {}
        self._logged_emitted = NOTHING

    @property
    def leads(self) -> bool:
        """Whether this member holds the shard as of the last record read."""
        return self.leadership.holder == self.member

    @property
    def is_ahead(self) -> bool:
        """Whether something is applied that is not committed, so that it may stand elsewhere."""
        return bool(self._decided)

    @property
    def as_logged(self) -> bool:
        """Whether it knows only what the log says. A leader's shard mostly knows more."""
        ahead = self.is_ahead or self._unlogged_consumed or self._unlogged_marks
        return not ahead and self.emitted == self._logged_emitted

    # -- the reader's side ------------------------------------------------------------------

    def observe(self, offset: int, record: LogRecord) -> Verdict:
        """Take in the record at `offset`; what does not count changes nothing.

        Raises:
            LogTruncated: `offset` is not the next one.
        """
        return self._observe(offset, record)[0]

    def witness(self, offset: int, record: LogRecord) -> tuple[Verdict, list[Local]]:
        """Take in the record at `offset`; return also the local requests that its leader had."""
        return self._observe(offset, record)

    def observe_own(self, offset: int, record: LogRecord) -> list[Local]:
        """Take in a record that this member appended; return its local requests if it counts."""
        return self._observe(offset, record)[1]

    def _observe(self, offset: int, record: LogRecord) -> tuple[Verdict, list[Local]]:
        if offset != self.next_offset:
            raise LogTruncated(
                f"expected the record at offset {self.next_offset}, read {offset}: "
                "the log was truncated or re-created; restore it from a replica or a backup"
            )
        verdict = self.leadership.observe(offset, record)
        self.next_offset = offset + 1
        if verdict is Verdict.ACCEPTED and isinstance(record, Entry | Beat):
            return verdict, self._take_in(offset, record)
        return verdict, []

    def _take_in(self, offset: int, record: Entry | Beat) -> list[Local]:
        self.at = max(self.at, record.at)
        locals_: list[Local] = []
        if isinstance(record, Entry):
            sends, locals_ = self._apply(record.events, Position(offset, record.at))
            self.pending.extend(sends)
        self.consumed.update(record.progress.consumed)
        self.marks.update(record.progress.marks)
        if record.progress.emitted is not None:
            self.resume_emitting(record.progress.emitted)
        return locals_

    def _apply(
        self, events: Sequence[object], position: Position
    ) -> tuple[list[Pending], list[Local]]:
        sends: list[Pending] = []
        locals_: list[Local] = []
        for event in events:
            for effect in self._apply_one(event, position):
                if isinstance(effect, Local):
                    locals_.append(effect)
                else:
                    mark = Mark(position.offset, len(sends))
                    sends.append(Pending(mark, effect, position.at))
        return sends, locals_

    def _apply_one(self, event: object, position: Position) -> Sequence[Effect]:
        if isinstance(event, InputRejected):
            return (dead_letter(event),)
        return self.machine.apply(self.state, event, position)

    # -- the leader's side ------------------------------------------------------------------

    def is_duplicate(self, received: Received) -> bool:
        """Whether the input was acted on before."""
        if received.topic is not None and received.offset < self.consumed.get(received.topic, 0):
            return True
        if received.origin is None or received.mark is None:
            return False
        return received.mark <= self.marks.get(received.origin, Mark(NOTHING, NOTHING))

    def decide(self, received: Received, now: int) -> Entry | None:
        """Decide one input and apply the outcome ahead of the log.

        Returns:
            The entry to append, or None if nothing changed (its consumption is then logged with
            the next record).
        """
        if self.is_duplicate(received):
            self._consume(received)
            return None
        self.at = max(self.at, now)
        events = tuple(self._events(received))
        self._consume(received)
        if not events:
            return None
        offset = self.next_offset + len(self._decided)
        entry = Entry(self.leadership.term, self.at, events, self._progress())
        sends, locals_ = self._apply(events, Position(offset, self.at))
        self._decided.append((entry, sends, locals_))
        return entry

    def _events(self, received: Received) -> Sequence[object]:
        message = received.message
        if isinstance(message, Undecodable):
            return (InputRejected.of(received.topic, received.offset, message),)
        try:
            return self.machine.decide(self.state, message, self.at)
        except Refused as refusal:
            if received.topic is None:
                raise
            refused = Undecodable(refusal.reason, refusal.detail, type=wire_name(type(message)))
            return (InputRejected.of(received.topic, received.offset, refused),)

    def _consume(self, received: Received) -> None:
        if received.topic is not None:
            following = max(self.consumed.get(received.topic, 0), received.offset + 1)
            self.consumed[received.topic] = following
            self._unlogged_consumed[received.topic] = following
        if received.origin is not None and received.mark is not None:
            highest = max(self.marks.get(received.origin, received.mark), received.mark)
            self.marks[received.origin] = highest
            self._unlogged_marks[received.origin] = highest

    def _progress(self) -> Progress:
        emitted = self.emitted if self.emitted != self._logged_emitted else None
        progress = Progress(self._unlogged_consumed, self._unlogged_marks, emitted)
        self._unlogged_consumed, self._unlogged_marks = {}, {}
        self._logged_emitted = self.emitted
        return progress

    def commit(self, first_offset: int, count: int) -> list[Local]:
        """The `count` records made since the last commit stand in the log from `first_offset`.

        Returns:
            The local effects of the entries, in order. The others are now in `pending`.

        Raises:
            AppendedElsewhere: they do not follow on what was read; read the gap to learn why.
        """
        if first_offset != self.next_offset:
            raise AppendedElsewhere(
                f"appended at {first_offset}, but the next offset was {self.next_offset}"
            )
        self.next_offset += count
        self.leadership.last = self.next_offset - 1
        locals_: list[Local] = []
        for _, sends, own in self._decided:
            self.pending.extend(sends)
            locals_.extend(own)
        self._decided.clear()
        return locals_

    def inherit(self, stale: Shard[S]) -> None:
        """Take over what this leader knew beyond the log when its shard was `stale`."""
        self.acknowledge(stale.emitted)
        for topic, following in stale._unlogged_consumed.items():
            self.consumed[topic] = max(self.consumed.get(topic, 0), following)
        for origin, mark in stale._unlogged_marks.items():
            self.marks[origin] = max(self.marks.get(origin, mark), mark)
        self._unlogged_consumed = {**stale._unlogged_consumed}
        self._unlogged_marks = {**stale._unlogged_marks}

    def acknowledge(self, offset: int) -> None:
        """Every effect of the entries up to `offset` has reached its target."""
        self.emitted = max(self.emitted, offset)
        while self.pending and self.pending[0].mark.offset <= offset:
            self.pending.popleft()

    def resume_emitting(self, after: int) -> None:
        """The log says that the effects of the entries up to `after` have reached their targets."""
        self.acknowledge(after)
        self._logged_emitted = self.emitted

    def due(self) -> int | None:
        """Return the log time at which the machine wants a `Tick`."""
        return self.machine.due(self.state)

    def beat(self, now: int) -> Beat:
        """Return the record that says that this leader lives and how far it is."""
        self.at = max(self.at, now)
        return Beat(self.leadership.term, self.at, self._progress())

    def claim(self, now: int, epoch: int = 0) -> Claim:
        """Return a claim that loses if anything was decided after what this shard has read."""
        expected = self.leadership
        version = newest_version(self.machine.events.values())
        return Claim(self.member, max(self.at, now), expected.term, expected.last, epoch, version)

    def resign(self, now: int, to: str | None = None) -> Resign:
        """Return the record that ends this leader's term."""
        return Resign(self.leadership.term, max(self.at, now), to)
