"""Distributions with goals: what was measured, how often, and whether the goal is met.

The 99th percentile is by nearest rank, so of fewer than a hundred samples it is the worst one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from bench.rows import Row

HEADINGS = ("figure, and its peers", "n", "median", "p99", "unit", "goal", "met")


def percentile(samples: Sequence[float], share: float) -> float:
    """Return the smallest sample that at least `share` of all samples do not exceed."""
    return sorted(samples)[max(0, math.ceil(share * len(samples)) - 1)]


@dataclass(slots=True)
class Figure:
    """Samples of one quantity, its goals if it has any, and what it is compared with."""

    name: str
    unit: str = "ms"
    median_max: float | None = None
    p99_max: float | None = None
    peers: Sequence[Figure] = ()
    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Return the median."""
        return percentile(self.samples, 0.5)

    @property
    def p99(self) -> float:
        """Return the 99th percentile."""
        return percentile(self.samples, 0.99)

    def rows(self) -> list[Row]:
        """Return two rows for this figure and for each peer; none for what was not measured."""
        measured = [each for each in self.peers if each.samples]
        own = [
            self._row("median", self.median, self.median_max, measured),
            self._row("99th percentile", self.p99, self.p99_max, measured),
        ]
        return own + [row for peer in measured for row in peer.rows()]

    def _row(self, what: str, value: float, limit: float | None, peers: Sequence[Figure]) -> Row:
        met = None if limit is None else value <= limit
        goal = "" if limit is None else f"at most {limit:,.4g} {self.unit}"
        of_peers = {p.name: p.median if what == "median" else p.p99 for p in peers}
        peer = "; ".join(f"{name}: {figure:,.4g}" for name, figure in of_peers.items())
        return Row(f"{self.name}: {what}", value, self.unit, goal, met, peer, len(self.samples))

    def cells(self) -> tuple[str, ...]:
        """Return this figure as a line of the table."""
        limits = (("median", self.median_max), ("p99", self.p99_max))
        goal = ", ".join(f"{name} ≤ {limit:,.4g}" for name, limit in limits if limit is not None)
        middle = str(len(self.samples)), f"{self.median:,.4g}", f"{self.p99:,.4g}"
        return (self.name, *middle, self.unit, goal, self._met())

    def indented(self) -> tuple[str, ...]:
        """Return this figure as a line below the one that it is a peer of."""
        name, *rest = self.cells()
        return (f"  {name}", *rest)

    def _met(self) -> str:
        limits = [(self.median, self.median_max), (self.p99, self.p99_max)]
        verdicts = [value <= limit for value, limit in limits if limit is not None]
        return "" if not verdicts else "yes" if all(verdicts) else "no"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print a line for each figure, and one for each of its peers."""
    table = Table(title=title, title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in ("n", "median", "p99") else "left")
    for figure in figures:
        table.add_row(*figure.cells())
        for peer in figure.peers:
            if peer.samples:
                table.add_row(*peer.indented(), style="dim")
        table.add_section()
    Console(width=150).print(table)
