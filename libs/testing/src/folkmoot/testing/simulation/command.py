"""The command `folkmoot-sim`: runs one seed and tells it, or many and counts them."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Sequence
from typing import get_args

from folkmoot.testing.simulation.draw import Scope
from folkmoot.testing.simulation.run import Report, run_many, run_seed
from folkmoot.testing.simulation.transcript import replay_command

FAILURES_SHOWN_MAX = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 1 if an invariant does not hold."""
    parser = argparse.ArgumentParser("folkmoot-sim", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="run this seed and print what happened")
    what.add_argument("--seeds", type=_range, metavar="A:B", help="run seeds A to B-1")
    parser.add_argument("--scope", choices=get_args(Scope), help="whatever the seed would draw")
    parser.add_argument("--jobs", type=int, help="processes at once (default: one for each core)")
    parser.add_argument("--quiet", action="store_true", help="print no transcript")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return _one(options.seed, options.scope, tell=not options.quiet)
    return _many(options.seeds, options.scope, options.jobs, tell=not options.quiet)


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end)) if end else range(int(first))


def _one(seed: int, scope: Scope | None, *, tell: bool) -> int:
    report = run_seed(seed, scope, tell=tell)
    if tell:
        print(report.draw)
        print(report.transcript)
    for violation in report.violations:
        print(violation)
    print(f"seed {seed}: " + ("an invariant does not hold" if report.violations else "all is well"))
    return 1 if report.violations else 0


def _many(seeds: Sequence[int], scope: Scope | None, jobs: int | None, *, tell: bool) -> int:
    """Run until the first seed that fails, or until interrupted; then say how many ran."""
    began, count, records, terms = time.monotonic(), 0, 0, 0
    with contextlib.suppress(KeyboardInterrupt):
        for report in run_many(seeds, scope, jobs):
            count += 1
            records += report.records
            terms += report.terms
            if report.violations:
                print(failure(report, scope, tell=tell))
                return 1
    took_s = time.monotonic() - began
    print(
        f"{count:,} seeds, {terms:,} terms, {records:,} log records: every invariant holds "
        f"({took_s:.0f} s)"
    )
    return 0


def failure(report: Report, scope: Scope | None, *, tell: bool) -> str:
    """Return what happened in a run that failed, what does not hold, and how to see it again."""
    seed = report.draw.seed
    lines = [run_seed(seed, scope, tell=True).transcript] if tell else []
    lines += [f"seed {seed}: {violation}" for violation in report.violations[:FAILURES_SHOWN_MAX]]
    return "\n".join([*lines, f"replay it with: {replay_command(seed, scope)}"])


if __name__ == "__main__":
    sys.exit(main())
