"""What a shard's log holds: entries, beats, claims and resignations.

The log is the only thing that members of a shard share. A record says who wrote it (its term) and
what it assumes (a claim's `expected`); whether it counts is decided by each reader alike
(`leadership.py`), never by its writer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NOTHING = -1
"""An offset or term before the first."""


class Mark(NamedTuple):
    """Where an effect came from within its origin's log: the de-duplication watermark's unit.

    Marks of one origin grow in the order in which the effects are emitted.
    """

    offset: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What changed, besides the machine's state, since the leader's previous record.

    `consumed` maps an input topic to the offset to read next; `marks` maps an origin to the
    highest mark acted on; every effect of entries up to `emitted` has been acknowledged.
    """

    consumed: Mapping[str, int] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    emitted: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """What the leader decided for one input. `at` is log time, milliseconds since the epoch."""

    term: int
    at: int
    events: tuple[object, ...]
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True)
class Beat:
    """The leader lives."""

    term: int
    at: int
    progress: Progress = Progress()


@dataclass(frozen=True, slots=True)
class Claim:
    """A member wants to lead, provided that nothing was decided since what it has seen.

    `expected_term` and `expected_last` make it a compare-and-swap inside the log. `epoch` is the
    grant of the election service where one is needed, else 0. `version` is the newest event
    version that the member can read.
    """

    member: str
    at: int
    expected_term: int
    expected_last: int
    epoch: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Resign:
    """The leader hands over, to `to` if given."""

    term: int
    at: int
    to: str | None = None


LogRecord = Entry | Beat | Claim | Resign
