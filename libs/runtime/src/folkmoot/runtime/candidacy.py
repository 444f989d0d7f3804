"""Who may claim a shard, and when: policy around the reader's rule, never part of it.

Whatever a candidacy says, the log decides. A bad candidacy costs time, not safety.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Protocol

from folkmoot.core.kernel import COURTESY_MS, Leadership
from folkmoot.runtime.timing import Timing

ORDERLY_MS = 50
"""Silence after which the elected claims over whoever holds the shard: several appends."""


def rendezvous(members: Sequence[str], shard: str) -> list[str]:
    """Return `members` by preference for `shard`: highest random weight first.

    Adding or removing a member moves only that member's shards (Thaler and Ravishankar, 1998).
    """
    return sorted(members, key=lambda member: _weight(member, shard), reverse=True)


def _weight(member: str, shard: str) -> bytes:
    return blake2b(f"{member}\n{shard}".encode(), digest_size=8).digest()


class Candidacy(Protocol):
    """What a replica asks before it claims or keeps a shard."""

    def silence_ms(self, leadership: Leadership) -> int | None:
        """Return how long nothing may have been heard before claiming; None: not at all."""
        ...

    def epoch(self) -> int:
        """Return the grant to claim with."""
        ...

    def heir(self, leadership: Leadership) -> str | None:
        """Return who should lead instead of this leader, if anybody."""
        ...

    def may_hand_over(self, now: int) -> bool:
        """Whether a shard may be handed over to an heir at `now`; if so, it counts as one."""
        ...


class Pace:
    """Lets one thing happen in any `period_ms`, so that many shards do not move at once."""

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._next_at: int | None = None

    def take(self, now: int) -> bool:
        """Whether it may happen at `now`; if so, it counts as happened."""
        if self._next_at is not None and now < self._next_at:
            return False
        self._next_at = now + self._period_ms
        return True


class OpenCandidacy:
    """Any live member may lead; those whom the shard prefers claim first.

    `members` returns who is known to be alive; who is not among them, yet or any more, does not
    claim. A leader hands over to the member that the shard prefers once that `follows`, at the
    `pace` that it shares with the other shards of its process. While `busy`, it keeps what it has,
    since handing over would interrupt its work.
    """

    def __init__(
        self,
        member: str,
        shard: str,
        timing: Timing,
        members: Callable[[], Sequence[str]],
        follows: Callable[[str], bool] = lambda _member: True,
        pace: Pace | None = None,
    ) -> None:
        self._member, self._shard, self._timing = member, shard, timing
        self._members, self._follows = members, follows
        self._pace = pace or Pace(timing.ttl_ms)
        self.busy: Callable[[], bool] = lambda: False

    def silence_ms(self, leadership: Leadership) -> int | None:
        """Wait for a live holder's ttl, and for those who come before this member."""
        if leadership.holder == self._member:
            return 0 if self._member in self._members() else None
        rank = self._rank(but=leadership.holder)
        if rank is None:
            return None
        delay = rank * self._timing.stagger_ms
        if leadership.holder is not None:
            return self._timing.ttl_ms + delay
        if leadership.heir not in (None, self._member):
            return COURTESY_MS + delay
        return 0 if leadership.heir == self._member else delay

    def epoch(self) -> int:
        """Return 0: nobody grants these shards."""
        return 0

    def heir(self, leadership: Leadership) -> str | None:
        """Return the member that the shard prefers, if it is another one."""
        ranking = rendezvous(self._members(), self._shard)
        if self.busy() or not ranking or ranking[0] == self._member:
            return None
        return ranking[0] if self._follows(ranking[0]) else None

    def may_hand_over(self, now: int) -> bool:
        """Whether no other shard was handed over within a ttl."""
        return self._pace.take(now)

    def _rank(self, but: str | None) -> int | None:
        """Return how many claim before this member, now that `but` is silent."""
        members = [member for member in self._members() if member != but]
        ranking = rendezvous(members, self._shard)
        return ranking.index(self._member) if self._member in ranking else None


class ElectedCandidacy:
    """Only the member that the election service chose may lead.

    `granted` returns the elected member and its epoch as last heard.
    """

    def __init__(self, member: str, granted: Callable[[], tuple[str | None, int]]) -> None:
        self._member, self._granted = member, granted

    def silence_ms(self, leadership: Leadership) -> int | None:
        """Claim when elected: a compare-and-swap against whoever led before.

        A leader that lives has heard of it too and hands over by itself, its effects first.
        """
        elected, epoch = self._granted()
        if elected != self._member or epoch < leadership.epoch:
            return None
        return 0 if leadership.holder in (None, self._member) else ORDERLY_MS

    def epoch(self) -> int:
        """Return the epoch of the last grant."""
        return self._granted()[1]

    def heir(self, leadership: Leadership) -> str | None:
        """Return whom the election service has chosen since."""
        elected, epoch = self._granted()
        newer = epoch > leadership.epoch and elected != self._member
        return elected if newer else None

    def may_hand_over(self, now: int) -> bool:
        """Whether it may be done now: always, since the election has decided it."""
        return True


class Absentees:
    """Members that a shard was handed to and that did not take it.

    They live, or the candidacy would not name them, but they do not follow: they have still much to
    read, or are halted. Each hand-over in vain costs the shard the courtesy, so they are offered it
    ever more rarely.
    """

    def __init__(self, first_wait_ms: int) -> None:
        self._first_wait_ms = first_wait_ms
        self._waits: dict[str, int] = {}
        self._until: dict[str, int] = {}

    def note(self, member: str, now: int) -> None:
        """`member` did not come; wait twice as long as the last time before it is asked again."""
        wait_ms = self._waits.get(member, self._first_wait_ms)
        self._waits[member] = 2 * wait_ms
        self._until[member] = now + wait_ms

    def excuse(self, member: str, now: int) -> bool:
        """Return whether `member` is not to be asked at `now`."""
        return now < self._until.get(member, now)
