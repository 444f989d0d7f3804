"""`make crash-points`: kill -9 at every entry of the reference saga, on a file and on Kafka."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from folkmoot.runtime.clock import SystemClock
from tests.crashes import on_file, on_kafka
from tests.crashes.judging import LOGS, WORKER, Ran, points
from tests.crashes.report import MEASURED, Crash, Tried, crash, page
from tests.crashes.striking import Point

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "crash-points.md"
ATTEMPTS = 2
"""Of a point that nobody came to: how inputs fall into entries varies a little."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash-points", description=__doc__)
    parser.add_argument("--on", nargs="+", choices=("file", "kafka"), default=("file", "kafka"))
    parser.add_argument("--every", type=int, default=1, help="only each so many-th point")
    parser.add_argument("--only", nargs="+", metavar="LOG", default=(), help="only these logs")
    parser.add_argument("--minutes", type=float, default=600, help="begin no crash after that")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} anew")
    parser.add_argument("--keep", type=Path, help="a folder for logs and files, kept")
    return parser.parse_args()


@dataclass(frozen=True)
class Asked:
    """Which points to crash at, and until when."""

    every: int
    only: Sequence[str]
    until: float

    def of(self, whole: Ran) -> list[Point]:
        """Return the points that were asked for."""
        wanted = [p for p in points(whole) if not self.only or p.log in self.only]
        return wanted[:: self.every]

    @property
    def is_over(self) -> bool:
        """Whether to begin no more."""
        return time.monotonic() > self.until


def each_on_file(folder: Path, asked: Asked, tell: Console) -> Tried:
    """Crash at the points, each in a folder of its own."""
    whole = on_file.run(folder / "whole")
    wanted = asked.of(whole)
    tried = Tried("One process on one file", whole, [])
    for number, point in enumerate(wanted, 1):
        if asked.is_over:
            break
        try:
            crashed = on_file.run(folder / f"{number}", point)
            tried.crashes.append(crash(point, whole, crashed, worker_died=True))
        except on_file.Died as died:
            tried.crashes.append(Crash(point, 0.0, [str(died)]))
        _progress(tell, tried, number, len(wanted))
    return tried


async def each_on_kafka(folder: Path, asked: Asked, tell: Console) -> Tried:
    """Crash at the points, one after the other on one platform."""
    async with on_kafka.running(folder) as running:
        await running.run()  # the first saga finds everybody still making acquaintance
        whole = await running.run()
        assert whole is not None
        wanted = asked.of(whole)
        tried = Tried("Kafka, NATS, and processes", whole, [])
        for number, point in enumerate(wanted, 1):
            if asked.is_over:
                break
            tried.crashes.append(await _on_kafka(running, whole, point))
            _progress(tell, tried, number, len(wanted))
    return tried


async def _on_kafka(running: on_kafka.Platform, whole: Ran, point: Point) -> Crash:
    for _ in range(ATTEMPTS):
        try:
            crashed = await running.run(point)
        except TimeoutError as late:
            return Crash(point, 0.0, [f"it did not end: {late}"])
        if crashed is not None:
            return crash(point, whole, crashed, worker_died=LOGS[point.log] == WORKER)
    return Crash(point, 0.0, [], reached=False)


def _progress(console: Console, tried: Tried, done: int, wanted: int) -> None:
    last = tried.crashes[-1]
    verdict = "; ".join(last.complaints) or ("ok" if last.reached else "nobody came there")
    verdict += f", {last.again} calls again" if last.again else ""
    console.print(f"{done}/{wanted} {last.point}: {verdict}, {last.seconds:.1f} s", soft_wrap=True)


def main() -> int:
    given = arguments()
    asked = Asked(given.every, given.only, time.monotonic() + 60 * given.minutes)
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="folkmoot-crashes-") as temporary:
        folder = (given.keep or Path(temporary)).absolute()
        tried = []
        if "file" in given.on:
            tried.append(each_on_file(folder / "file", asked, console))
        if "kafka" in given.on:
            tried.append(asyncio.run(each_on_kafka(folder / "kafka", asked, console)))
    text = page(tried, SystemClock().now())
    console.print(text.partition(MEASURED)[2], soft_wrap=True)
    if given.write:
        PAGE.write_text(text)
    return 0 if all(not crash.complaints for each in tried for crash in each.crashes) else 1


if __name__ == "__main__":
    sys.exit(main())
