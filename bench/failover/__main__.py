"""Fail-over, hand-over and what the kernel costs, beside what others take for the same.

Everything runs at once on this machine and is measured in turns, so that whatever else the machine
does meets all alike: Folkmoot's event store (ttl 1 s) and election (its default of 1.5 s) as three
processes each on Kafka, a team of three members, and three contenders of each peer. An election is
never idle, since members beat to it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.failover.measuring import Plan, kernel_figures, leading_figures
from bench.figures import Figure, show
from bench.rows import options, write

PLAN = Plan(rounds=40, inputs=5_000, entries=1_000_000, restores=3)
QUICK = Plan(rounds=1, inputs=200, entries=1_000, restores=1)


async def measure(plan: Plan, parts: Sequence[str], folder: Path) -> list[Figure]:
    """Return what was measured of the wanted parts. Data and logs of all processes in `folder`."""
    figures: list[Figure] = []
    if "leading" in parts:
        figures += await leading_figures(folder / "leading", plan)
    if "kernel" in parts:
        figures += await kernel_figures(folder / "kernel", plan)
    return figures


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    parser = options(__doc__ or "")
    parser.add_argument("--part", choices=["leading", "kernel"], help="measure only this part")
    parser.add_argument("--rounds", type=int, help=f"instead of {PLAN.rounds}")
    parser.add_argument("--minutes", type=float, help="begin no round of fail-overs after so many")
    parser.add_argument("--folder", type=Path, help="keep data and logs here")
    given = parser.parse_args()
    plan = QUICK if given.quick else PLAN
    if given.rounds:
        plan = replace(plan, rounds=given.rounds)
    if given.minutes:
        plan = replace(plan, seconds_max=60 * given.minutes)
    parts = [given.part] if given.part else ["leading", "kernel"]
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as name:
        figures = asyncio.run(measure(plan, parts, given.folder or Path(name)))
    show("Folkmoot: fail-over, hand-over, kernel", figures)
    if given.json is not None:
        write([row for figure in figures for row in figure.rows()], given.json)


if __name__ == "__main__":
    main()
