"""The reader's rule: who leads, decided by every reader alike from the order of the log.

Invariants:

- At each offset there is at most one holder, and terms strictly increase: a term is the offset
  of the claim that won it.
- A claim never beats a leader's record ordered before it, unless that leader resigned.
- No clock is read: `at` comes from the records and only serves the courtesy window.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from folkmoot.core.kernel.records import NOTHING, Claim, LogRecord, Resign

COURTESY_MS = 500
"""For so long, in log time, only the named heir may follow a leader that resigned.

Long enough for the heir to read the resignation and claim (two appends), short enough to be no
outage when the heir has just died.
"""


class Verdict(Enum):
    """What a record turned out to be."""

    ACCEPTED = "accepted"
    WON = "won"
    LOST = "lost"
    FENCED = "fenced"

    @property
    def counts(self) -> bool:
        """Whether the record changes anything."""
        return self in (Verdict.ACCEPTED, Verdict.WON)


@dataclass(slots=True)
class Leadership:
    """Who leads a shard as of the last record read."""

    term: int = NOTHING
    holder: str | None = None
    last: int = NOTHING
    epoch: int = 0
    heir: str | None = None
    resigned_at: int | None = None

    def observe(self, offset: int, record: LogRecord) -> Verdict:
        """Apply the rule to the record at `offset`. Records must come in offset order."""
        if isinstance(record, Claim):
            return self._observe_claim(offset, record)
        if self.holder is None or record.term != self.term:
            return Verdict.FENCED
        self.last = offset
        if isinstance(record, Resign):
            self.holder, self.heir, self.resigned_at = None, record.to, record.at
        return Verdict.ACCEPTED

    def _observe_claim(self, offset: int, claim: Claim) -> Verdict:
        if claim.epoch < self.epoch or not self._is_open_to(claim):
            return Verdict.LOST
        self.term = self.last = offset
        self.holder, self.epoch = claim.member, claim.epoch
        self.heir = self.resigned_at = None
        return Verdict.WON

    def _is_open_to(self, claim: Claim) -> bool:
        if self.holder is not None:
            return (claim.expected_term, claim.expected_last) == (self.term, self.last)
        if self.resigned_at is None or self.heir in (None, claim.member):
            return True
        return claim.at >= self.resigned_at + COURTESY_MS
