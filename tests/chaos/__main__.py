"""`make chaos SECONDS=n SEED=n`: lets everything go wrong that can, and says what came of it."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.chaos.platform import Size
from tests.chaos.report import report
from tests.chaos.run import Options, run
from tests.chaos.schedule import KINDS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long faults come")
    parser.add_argument("--seed", type=int, default=1, help="what the faults are drawn from")
    parser.add_argument("--every", type=float, default=2.5, help="seconds between two faults")
    parser.add_argument("--nodes", type=int, choices=(1, 3), default=3, help="Kafka nodes")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of fault")
    parser.add_argument("--unfenced", action="store_true", help="switch off the effects' guard")
    parser.add_argument("--keep", type=Path, help="a folder for logs and files, kept")
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(width=100, highlight=False)
    with tempfile.TemporaryDirectory(prefix="folkmoot-chaos-") as temporary:
        options = Options(
            (asked.keep or Path(temporary)).absolute(),
            asked.seed,
            asked.seconds,
            asked.every,
            size=Size(nodes=asked.nodes),
            fenced=not asked.unfenced,
            only=asked.only,
        )
        console.print(f"seed {asked.seed}, {asked.seconds:g} s, {asked.nodes} Kafka nodes")
        for fault in options.schedule():
            console.print(str(fault))
        outcome = asyncio.run(run(options, console.print))
    report(outcome, console)
    return 0 if outcome.verdict.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
