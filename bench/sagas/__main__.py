"""Sagas a second, how soon, and at what cost: Folkmoot on Kafka, others, and a bare loop.

One contender runs at a time, all of its processes on this machine, in rounds, so that whatever else
the machine does meets all alike. See docs/reference/benchmarks.md for what each of them is.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.rows import options, report, write
from bench.sagas.contender import Contender
from bench.sagas.embedded import Embedded
from bench.sagas.goals import goals
from bench.sagas.kafka import Bare, Brokers, Folkmoot
from bench.sagas.measuring import Bench, Plan
from bench.sagas.peers import DbosOnPostgres, DbosOnSqlite, Restate
from bench.sagas.points import Results
from bench.sagas.reporting import rows, show

QUICK = Plan(
    rounds=1,
    seconds=0.5,
    warm_up_s=0.5,
    idle_s=0.2,
    open_s=0.5,
    in_flight=(1, 8),
    widths=(20,),
)


def contenders() -> list[Contender]:
    """Return all that can be measured."""
    brokers = Brokers()
    ours = [Folkmoot(brokers), Bare(brokers, "whole"), Bare(brokers, "short"), Embedded()]
    return [*ours, Restate(), DbosOnSqlite(), DbosOnPostgres()]


async def measure(chosen: Sequence[Contender], plan: Plan) -> Results:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        async with Bench(chosen, Path(folder), plan) as bench:
            for contender in bench.contenders:
                print(f"{contender.name}: {contender.settings}", file=sys.stderr)
            await bench.closed()
            if plan.open_s:
                await bench.open()
    return bench.results


def main() -> None:
    """Measure, print, and write the rows if asked to."""
    parser = options(__doc__ or "")
    known = contenders()
    names = [contender.name for contender in known]
    parser.add_argument("--only", action="append", choices=names, help="only this one; repeat")
    parser.add_argument("--shape", action="append", choices=["three", "undo", "wide"])
    parser.add_argument("--in-flight", type=int, action="append", help="only so many; repeat")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each load")
    parser.add_argument("--minutes", type=float, help="begin no round that would end after these")
    given = parser.parse_args()
    plan = QUICK if given.quick else Plan()
    if given.shape:
        plan = replace(plan, shapes=given.shape)
    if given.in_flight:
        plan = replace(plan, in_flight=given.in_flight)
    if given.rounds:
        plan = replace(plan, rounds=given.rounds)
    if given.seconds:
        plan = replace(plan, seconds=given.seconds)
    if given.minutes:
        plan = replace(plan, seconds_max=60 * given.minutes)
    chosen = [contender for contender in known if contender.name in (given.only or names)]
    results = asyncio.run(measure(chosen, plan))
    show(results)
    report("Goals", goals(results), None)
    if given.json is not None:
        write([*goals(results), *rows(results)], given.json)


if __name__ == "__main__":
    main()
