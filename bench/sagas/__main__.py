"""Sagas a second, how soon, and at what cost: Folkmoot on Kafka, others, and a bare loop.

One contender runs at a time, all of its processes on this machine, in rounds, so that whatever else
the machine does meets all alike. See docs/reference/benchmarks.md for what each of them is.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.rows import Row, options, report, write
from bench.sagas import killing, scale
from bench.sagas.contender import Contender, Failed
from bench.sagas.embedded import Embedded
from bench.sagas.goals import goals
from bench.sagas.kafka import Bare, Brokers, Folkmoot
from bench.sagas.measuring import Bench, Plan
from bench.sagas.peers import DbosOnPostgres, DbosOnSqlite, Restate
from bench.sagas.plot import plot
from bench.sagas.points import Results
from bench.sagas.reporting import missing, rows, show
from bench.sagas.scale import Scale

QUICK = Plan(
    rounds=1,
    seconds=0.5,
    warm_up_s=0.5,
    idle_s=0.2,
    open_s=0.5,
    in_flight=(1, 8),
    widths=(20,),
)
PLAN, SCALE = Plan(), Scale()
PARTS = ("closed", "open", "kill", "scale")
USUAL = ("closed", "open", "kill")


def contenders() -> list[Contender]:
    """Return all that can be measured."""
    brokers = Brokers()
    ours = [Folkmoot(brokers), Bare(brokers, "whole"), Bare(brokers, "short"), Embedded()]
    return [*ours, Restate(), DbosOnSqlite(), DbosOnPostgres()]


async def measure(
    chosen: Sequence[Contender], plan: Plan, parts: Sequence[str], size: Scale
) -> tuple[Results, list[Row]]:
    """Run the benchmark; return what the loops gave, and the rows of the other parts."""
    more: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as name:
        folder = Path(name)
        async with Bench(chosen, folder, plan) as bench:
            for contender in bench.contenders:
                print(f"{contender.name}: {contender.settings}")
            if "closed" in parts:
                await bench.closed()
            if "open" in parts:
                await bench.open()
            for contender in bench.contenders:
                if isinstance(contender, Folkmoot):
                    more += await _on_folkmoot(contender, folder, parts, size)
    return bench.results, more


async def _on_folkmoot(
    contender: Folkmoot, folder: Path, parts: Sequence[str], size: Scale
) -> list[Row]:
    made: list[Row] = []
    try:
        if "kill" in parts:
            made += await killing.measure(contender, folder / "kill")
        if "scale" in parts:
            made += await scale.measure(contender, folder / "scale", size)
    except Failed as trouble:
        made.append(missing(f"{contender.name}: {' and '.join(parts)}", str(trouble)))
    return made


def arguments(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the command line."""
    parser = options(__doc__ or "")
    parser.add_argument("--part", action="append", choices=PARTS, help=f"of {', '.join(USUAL)}")
    parser.add_argument("--only", action="append", choices=names, help="only this one; repeat")
    parser.add_argument("--shape", action="append", choices=PLAN.shapes, help="only this; repeat")
    parser.add_argument("--in-flight", type=int, action="append", help="only so many; repeat")
    parser.add_argument("--rounds", type=int, help=f"of closed loops, instead of {PLAN.rounds}")
    parser.add_argument("--seconds", type=float, help=f"of each load, instead of {PLAN.seconds:g}")
    parser.add_argument("--minutes", type=float, help="begin no round that would end after these")
    parser.add_argument("--open-sagas", type=int, default=SCALE.open_sagas, help="of part scale")
    parser.add_argument("--ended-sagas", type=int, default=SCALE.ended_sagas, help="of part scale")
    parser.add_argument("--plot", type=Path, help="draw throughput against latency in this file")
    return parser


def plan_of(given: argparse.Namespace) -> Plan:
    """Return the plan that the command line asks for."""
    asked = {
        "shapes": given.shape,
        "in_flight": given.in_flight,
        "rounds": given.rounds,
        "seconds": given.seconds,
        "seconds_max": given.minutes and 60 * given.minutes,
    }
    return replace(
        QUICK if given.quick else PLAN, **{name: value for name, value in asked.items() if value}
    )


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    known = contenders()
    names = [contender.name for contender in known]
    given = arguments(names).parse_args()
    chosen = [contender for contender in known if contender.name in (given.only or names)]
    size = Scale(given.open_sagas, given.ended_sagas)
    results, more = asyncio.run(measure(chosen, plan_of(given), given.part or USUAL, size))
    show(results)
    for name, reason in results.not_measured.items():
        print(f"not measured: {name}: {reason}", file=sys.stderr)
    wanted = [*goals(results), *more]
    report("Goals", wanted, None)
    if given.json is not None:
        write([*wanted, *rows(results)], given.json)
    if given.plot is not None:
        given.plot.write_text(plot(results))


if __name__ == "__main__":
    main()
