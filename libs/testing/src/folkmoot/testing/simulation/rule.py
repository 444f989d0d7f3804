"""The reader's rule once more, from the bytes of a log, independently of the kernel.

It shares no code with `folkmoot.core.kernel`: the checkers judge the kernel by it, and an
exhaustive model compares the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

COURTESY_MS = 500


class Ruling(NamedTuple):
    """Whether a record counts, and who leads after it: `holder`, since the claim at `term`."""

    counts: bool
    holder: str | None
    term: int
    last: int


@dataclass(slots=True)
class Reading:
    """What a reader has to keep in mind between two records."""

    term: int = -1
    last: int = -1
    holder: str | None = None
    epoch: int = 0
    reserved_for: str | None = None
    reserved_until: int = 0

    def rule(self, offset: int, control: Mapping[str, Any]) -> Ruling:
        """Judge the record at `offset`, of which only the control data matter."""
        if control["kind"] != "claim":
            counts = self.holder is not None and control["term"] == self.term
        elif control["epoch"] < self.epoch:
            counts = False
        elif self.holder is not None:
            counts = control["expected"] == [self.term, self.last]
        else:
            invited = self.reserved_for in (None, control["member"])
            counts = invited or control["at"] >= self.reserved_until
        if counts:
            self._take(offset, control)
        return Ruling(counts, self.holder, self.term, self.last)

    def _take(self, offset: int, control: Mapping[str, Any]) -> None:
        self.last = offset
        if control["kind"] == "claim":
            self.term, self.holder, self.epoch = offset, control["member"], control["epoch"]
            self.reserved_for = None
        elif control["kind"] == "resign":
            self.holder, self.reserved_for = None, control["to"]
            self.reserved_until = control["at"] + COURTESY_MS


def rulings(log: Iterable[Mapping[str, Any]]) -> Iterator[Ruling]:
    """Yield a ruling for each record of a log."""
    reading = Reading()
    for offset, control in enumerate(log):
        yield reading.rule(offset, control)
