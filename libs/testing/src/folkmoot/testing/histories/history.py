"""A shard's log as its leaders write it, made from a seed without any waiting.

Leaders change, beat, and acknowledge their effects late; zombies write under terms that are over;
claims lose. The records are bytes, encoded and decoded as a replica does.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from folkmoot.contracts.codec import decode_record, encode_record
from folkmoot.contracts.envelope import Headers
from folkmoot.core.kernel import (
    Beat,
    Claim,
    Effect,
    Led,
    LogRecord,
    Machine,
    Mark,
    Received,
    Refused,
    Shard,
    Tick,
    Undecodable,
)

START_MS = 1_750_000_000_000
MEMBERS = ("ann", "ben", "cat")
INBOX, ORIGIN = "folkmoot.history.inbox", "folkmoot.history.log/0"


class Player(Protocol):
    """Those who send to a machine, and hear what it sends."""

    def machine(self) -> Machine[Any]:
        """Return a new machine."""
        ...

    def hear(self, effect: Effect) -> None:
        """Take notice of an effect."""
        ...

    def next(self, random: Random, now: int) -> object:
        """Return the next input."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """A record of the log."""

    value: bytes
    headers: Headers


class History:
    """One shard's log, its leader's shard, and what anybody else makes of it."""

    def __init__(self, player: Player, seed: int = 0, *, calm: bool = False) -> None:
        """Begin with a leader. In `calm` times it leads for ever, and nobody disturbs it."""
        self.player = player
        self.records: list[Written] = []
        self.now = START_MS
        self._random = Random(seed)  # noqa: S311, nothing here is secret
        self._inputs, self._calm = 0, calm
        self.leader = self._elect(MEMBERS[0])

    def play(self, inputs: int) -> History:
        """Let that many inputs come, and whatever goes with them."""
        for _ in range(inputs):
            self.now += self._random.randrange(40)
            self._step()
        return self

    def shard(self, member: str = "reader", count: int | None = None) -> Shard[Any]:
        """Return what a reader makes of the first `count` records, or of all."""
        shard = Shard(self.player.machine(), member)
        self.observe(shard, len(self.records) if count is None else count)
        return shard

    def observe(self, shard: Shard[Any], upto: int) -> None:
        """Let `shard` read on up to the offset `upto`."""
        events = shard.machine.events
        for offset in range(shard.next_offset, upto):
            written = self.records[offset]
            shard.observe(offset, decode_record(written.value, written.headers, events))

    # -- what happens ---------------------------------------------------------------------------

    def _step(self) -> None:
        luck = self._random.uniform(0.06 if self._calm else 0, 1)
        if luck < 0.02:
            self._elect(self._random.choice(MEMBERS))
        elif luck < 0.05:
            self._write(self.leader.beat(self.now))
            self.leader.commit(len(self.records) - 1, 1)
        elif luck < 0.06:
            self._be_disturbed()
        elif luck < 0.30:
            self._acknowledge()
        self._decide(self._received(self.player.next(self._random, self.now)))
        while (due := self.leader.due()) is not None and due <= self.now:
            if not self._decide(Received(Tick())):
                break

    def _received(self, message: object) -> Received:
        self._inputs += 1
        if self._random.random() < 0.01:
            message = Undecodable("not-json", "not JSON", excerpt="...")
        origin = f"origin-{self._random.randrange(3)}"
        return Received(message, INBOX, self._inputs, origin, Mark(self._inputs, 0))

    def _decide(self, received: Received) -> bool:
        try:
            entry = self.leader.decide(received, self.now)
        except Refused:
            return False
        if entry is None:
            return False
        before = len(self.leader.pending)
        self._write(entry)
        for local in self.leader.commit(len(self.records) - 1, 1):
            self.player.hear(local)
        for pending in list(self.leader.pending)[before:]:
            self.player.hear(pending.send)
        return True

    def _acknowledge(self) -> None:
        if self.leader.pending:
            some = self._random.choice(self.leader.pending)
            self.leader.acknowledge(some.mark.offset)

    def _be_disturbed(self) -> None:
        """A claim loses, and a leader of old writes; the present one finds a gap and goes on."""
        term = self.leader.leadership.term
        self._write(Claim("zoe", self.now, term, 0))
        self._write(Beat(term - 1, self.now))
        self.leader = self._rebuilt(self.leader.member)

    def _elect(self, member: str) -> Shard[Any]:
        """Let `member` lead from now on, be it the same one again."""
        self.leader = self._rebuilt(member)
        self._write(self.leader.claim(self.now))
        self.observe(self.leader, len(self.records))
        assert self.leader.leads
        self._decide(Received(Led(member, self.leader.leadership.term)))
        return self.leader

    def _rebuilt(self, member: str) -> Shard[Any]:
        shard = self.shard(member)
        assert not self.records or shard.next_offset == len(self.records)
        return shard

    def _write(self, record: LogRecord) -> None:
        self.records.append(Written(*encode_record(record, ORIGIN, len(self.records))))
