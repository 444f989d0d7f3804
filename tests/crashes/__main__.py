"""`make crash-points`: kill -9 at every entry of the reference saga, on a file and on Kafka."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import tempfile
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
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} anew")
    parser.add_argument("--keep", type=Path, help="a folder for logs and files, kept")
    return parser.parse_args()


def each_on_file(folder: Path, every: int, tell: Console) -> Tried:
    """Crash at the points, each in a folder of its own."""
    whole = on_file.run(folder / "whole")
    wanted = points(whole)[::every]
    tried = Tried("One process on one file", whole, [])
    for number, point in enumerate(wanted, 1):
        try:
            crashed = on_file.run(folder / f"{number}", point)
            tried.crashes.append(crash(point, whole, crashed, worker_died=True))
        except on_file.Died as died:
            tried.crashes.append(Crash(point, 0.0, [str(died)]))
        _progress(tell, tried, number, len(wanted))
    return tried


async def each_on_kafka(folder: Path, every: int, tell: Console) -> Tried:
    """Crash at the points, one after the other on one platform."""
    async with on_kafka.running(folder) as running:
        await running.run()  # the first saga finds everybody still making acquaintance
        whole = await running.run()
        assert whole is not None
        wanted = points(whole)[::every]
        tried = Tried("Kafka, NATS, and processes", whole, [])
        for number, point in enumerate(wanted, 1):
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
    console.print(f"{done}/{wanted} {last.point}: {verdict}, {last.seconds:.1f} s", soft_wrap=True)


def main() -> int:
    asked = arguments()
    logging.basicConfig(level=logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="folkmoot-crashes-") as temporary:
        folder = (asked.keep or Path(temporary)).absolute()
        tried = []
        if "file" in asked.on:
            tried.append(each_on_file(folder / "file", asked.every, console))
        if "kafka" in asked.on:
            tried.append(asyncio.run(each_on_kafka(folder / "kafka", asked.every, console)))
    text = page(tried, SystemClock().now())
    console.print(text.partition(MEASURED)[2], soft_wrap=True)
    if asked.write:
        PAGE.write_text(text)
    return 0 if all(not crash.complaints for each in tried for crash in each.crashes) else 1


if __name__ == "__main__":
    sys.exit(main())
