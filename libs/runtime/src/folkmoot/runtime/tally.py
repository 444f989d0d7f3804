"""What one replica has done, counted a batch at a time, so that it costs nothing to speak of.

Only scrapes read it. It outlives terms, so its numbers never go down while the process lives.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from folkmoot.contracts.metrics import APPEND_BUCKETS_S

MS = 1000


class Histogram:
    """Counts values by the first of `bounds` that they do not exceed, and those beyond the last."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return how many values are not above each bound, as Prometheus has it."""
        total, made = 0, []
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            made.append((bound, float(total)))
        return made


@dataclass(slots=True)
class Tally:
    """The counts of one replica. `inputs` are those taken, `entries` those that had an entry."""

    inputs: int = 0
    entries: int = 0
    refused: int = 0
    records: int = 0
    effects: int = 0
    dead_letters: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    appends: Histogram = field(default_factory=lambda: Histogram(APPEND_BUCKETS_S))

    def note_inputs(self, inputs: int, entries: int) -> None:
        """Note a batch of inputs, and how many of them changed something."""
        self.inputs += inputs
        self.entries += entries

    def note_append(self, records: int, took_ms: int) -> None:
        """Note an append that was acknowledged."""
        self.records += records
        self.appends.observe(took_ms / MS)

    def note_effects(self, effects: int, dead_letters: int) -> None:
        """Note effects that were acknowledged, and the dead letters among them."""
        self.effects += effects
        self.dead_letters += dead_letters
