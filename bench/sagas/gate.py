"""Fails when Folkmoot has become slower, beside the bare loop, than when it was last recorded.

    make bench-gate                 compare with bench/recorded.json
    make bench-gate ARGS=--record   measure, and record that

Figures of one machine say nothing of another's, nor of the same one's with other work beside it;
the share of the bare loop, measured in turns, does. So does the processor time of a saga in that of
the bare loop's, which is steadier.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bench.rows import Row, report
from bench.sagas.goals import BARE, OURS, share_of
from bench.sagas.kafka import Bare, Brokers, Folkmoot
from bench.sagas.measuring import Bench, Plan
from bench.sagas.points import Results

RECORDED = Path(__file__).resolve().parents[1] / "recorded.json"
LOSS_MAX = 0.15
PLAN = Plan(rounds=3, seconds=5.0, in_flight=(64, 512), shapes=("three",), open_s=0.0)
NOTHING_RECORDED, SLOWER = 2, 1


async def measure(plan: Plan) -> Results:
    """Run Folkmoot and the bare loop in turns."""
    brokers = Brokers()
    with tempfile.TemporaryDirectory(prefix="folkmoot-bench-") as folder:
        contenders = [Folkmoot(brokers), Bare(brokers, "whole")]
        async with Bench(contenders, Path(folder), plan) as bench:
            await bench.closed()
    return bench.results


def shares(results: Results) -> dict[str, float]:
    """Return what is compared: shares of the bare loop, so more is better."""
    found: dict[str, float] = {}
    for in_flight in sorted({point.load.in_flight for point in results.measured()}):
        ours = results.find(OURS, "three", in_flight)
        bare = results.find(BARE, "three", in_flight)
        if ours and bare:
            found[f"throughput, {in_flight} in flight"] = share_of(ours, bare)
            processor = bare.own_processor_ms / ours.own_processor_ms
            found[f"processor time, {in_flight} in flight"] = processor
    return found


def compared(found: Mapping[str, float], recorded: Mapping[str, float]) -> list[Row]:
    """Return a row for each share, with what it must not fall below."""
    rows = []
    for name, before in recorded.items():
        least, now = before * (1 - LOSS_MAX), found.get(name, 0.0)
        goal, peer = f"at least {least:.3f}", f"recorded: {before:.3f}"
        rows.append(Row(f"share of the bare loop: {name}", now, "times", goal, now >= least, peer))
    return rows


def main() -> int:
    """Measure and compare, or record. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="record what is measured")
    parser.add_argument("--rounds", type=int, default=PLAN.rounds)
    given = parser.parse_args()
    if not given.record and not RECORDED.exists():
        print(f"there is no {RECORDED}: make bench-gate ARGS=--record", file=sys.stderr)
        return NOTHING_RECORDED
    found = shares(asyncio.run(measure(replace(PLAN, rounds=given.rounds))))
    if given.record:
        RECORDED.write_text(json.dumps(found, indent=2) + "\n")
    rows = compared(found, json.loads(RECORDED.read_text()))
    report("Folkmoot beside the bare loop", rows, None)
    return 0 if all(row.met for row in rows) else SLOWER


if __name__ == "__main__":
    sys.exit(main())
