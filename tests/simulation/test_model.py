"""The reader's rule, exhaustively: every log that three members can write, read in two ways.

A member knows some prefix of the log, which may be long out of date, and writes what it may believe
to be right after it: a claim that expects what that prefix says, or a leader's record in any term
that was ever won. Every log of up to eight such records is read by the kernel and by the second,
independent implementation of the rule. Logs after which both readers, and all that members may
believe, are the same are followed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from folkmoot.contracts.codec import CONTROL, encode_record
from folkmoot.core.kernel import Beat, Claim, Leadership, LogRecord, Resign
from folkmoot.testing.simulation.rule import Reading, Ruling

MEMBERS = ("a", "b", "c")
EPOCHS = (0, 1)
RECORDS_MAX = 8
Control = dict[str, Any]
Misreading = Callable[[Reading, Control], Control]
CONTROLS: dict[str, Control] = {}
AT_STEP_MS = 130
"""Between two records, so that a courtesy begins and ends within a log."""


@dataclass
class Situation:
    """Where a log has led to: both readers, and what members may believe."""

    kernel: Leadership = field(default_factory=Leadership)
    other: Reading = field(default_factory=Reading)
    beliefs: tuple[tuple[int, int], ...] = ((-1, -1),)

    def key(self) -> object:
        """Return what tells this situation from others. Members are alike, whatever their names."""
        mine, other = self.kernel, self.other
        names = (mine.holder, mine.heir, other.holder, other.reserved_for)
        order = [None, *dict.fromkeys(name for name in names if name is not None)]
        return (
            (mine.term, mine.last, mine.epoch, mine.resigned_at),
            (other.term, other.last, other.epoch, other.reserved_until),
            tuple(order.index(name) for name in names),
            self.beliefs,
        )

    def next_records(self, at: int) -> Iterator[LogRecord]:
        for term, last in self.beliefs:
            for member in MEMBERS:
                yield from (Claim(member, at, term, last, epoch) for epoch in EPOCHS)
        for term in dict.fromkeys(term for term, _ in self.beliefs if term >= 0):
            yield Beat(term, at)
            yield from (Resign(term, at, to) for to in (None, *MEMBERS))

    def after(self, offset: int, record: LogRecord, misread: Misreading) -> tuple[Situation, bool]:
        """Return where `record` leads to, and whether the two readers agree on it."""
        kernel, other = copy(self.kernel), copy(self.other)
        counts = kernel.observe(offset, record).counts
        mine = Ruling(counts, kernel.holder, kernel.term, kernel.last)
        agreed = other.rule(offset, misread(other, control(record))) == mine
        beliefs = tuple(sorted({*self.beliefs, (kernel.term, kernel.last)}))
        return Situation(kernel, other, beliefs), agreed


def control(record: LogRecord) -> Control:
    """Return what stands in the log of a record."""
    name = repr(record)
    if name not in CONTROLS:
        CONTROLS[name] = orjson.loads(dict(encode_record(record, "log/0", 0)[1])[CONTROL])
    return CONTROLS[name]


def explore(
    records_max: int, misread: Misreading = lambda _, control: control
) -> tuple[int, list[str]]:
    """Return how many logs there are, and on which records the readers differ."""
    logs, differences = 0, []
    level = {Situation().key(): (Situation(), 1)}
    for offset in range(records_max):
        following: dict[object, tuple[Situation, int]] = {}
        for situation, ways in level.values():
            for record in situation.next_records(AT_STEP_MS * offset):
                reached, agreed = situation.after(offset, record, misread)
                if not agreed:
                    differences.append(f"{record} at {offset} after {situation}")
                key, logs = reached.key(), logs + ways
                _, known_ways = following.get(key, (reached, 0))
                following[key] = (reached, known_ways + ways)
        level = following
    return logs, differences


@pytest.mark.timeout(600)
def test_the_kernel_and_a_second_implementation_read_every_log_alike() -> None:
    logs, differences = explore(RECORDS_MAX)
    assert differences == []
    assert logs > 90_000_000_000


MISREADINGS: dict[str, Misreading] = {
    "a claim need not expect anything": lambda r, c: c | {"expected": [r.term, r.last]},
    "a record may be of any term": lambda r, c: c | {"term": r.term},
    "a claim may be of any epoch": lambda r, c: c | {"epoch": r.epoch},
    "an heir has no courtesy": lambda r, c: c | {"member": r.reserved_for or c.get("member")},
}


@pytest.mark.parametrize("misreading", MISREADINGS)
def test_a_wrong_rule_is_found_out(misreading: str) -> None:
    _, differences = explore(4, MISREADINGS[misreading])
    assert differences != []
