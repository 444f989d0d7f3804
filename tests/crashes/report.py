"""The page about a complete run: what was crashed where, and what came of it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.crashes.judging import LOGS, Ran, complaints, points
from tests.crashes.striking import Point

HEADINGS = (
    *("log", "killed", "entries", "crash points", "as without", "calls run again"),
    *("s, median", "s, most"),
)
MEASURED = "## Measured on"
INTRODUCTION = Path(__file__).with_name("page.md")


@dataclass(frozen=True, slots=True)
class Crash:
    """A run with a crash, and in what it was otherwise than the one without."""

    point: Point
    seconds: float
    complaints: Sequence[str] = ()
    again: int = 0
    reached: bool = True


def crash(point: Point, whole: Ran, crashed: Ran, *, worker_died: bool) -> Crash:
    """Return a run with a crash beside the one without."""
    found = complaints(whole, crashed, worker_died=worker_died)
    return Crash(point, crashed.seconds, found, (crashed.calls - whole.calls).total())


@dataclass(frozen=True, slots=True)
class Tried:
    """All runs in one place, with the one without a crash."""

    where: str
    whole: Ran
    crashes: list[Crash]


def page(tried: Sequence[Tried], now: int) -> str:
    """Return the page, in Markdown."""
    date = datetime.fromtimestamp(now / 1000, UTC).date().isoformat()
    parts = [INTRODUCTION.read_text().rstrip(), f"{MEASURED} {date}"]
    for each in tried:
        parts += [f"### {each.where}", "\n".join(_table(each)), _summary(each)]
        parts += ["\n".join(_complaints(each))] if any(_complaints(each)) else []
    return "\n\n".join(parts) + "\n"


def _table(tried: Tried) -> Iterator[str]:
    yield f"| {' | '.join(HEADINGS)} |"
    yield "| --- | --- | --: | --: | --: | --: | --: | --: |"
    for name, service in LOGS.items():
        crashes = [each for each in tried.crashes if each.point.log == name and each.reached]
        if not crashes:
            continue
        good = sum(not each.complaints for each in crashes)
        again = sum(each.again for each in crashes)
        took = [each.seconds for each in crashes]
        yield (
            f"| `{name}` | {service} | {tried.whole.entries[name]} | {len(crashes)} | {good} "
            f"| {again} | {statistics.median(took):.1f} | {max(took):.1f} |"
        )


def _summary(tried: Tried) -> str:
    reached = [each for each in tried.crashes if each.reached]
    good = sum(not each.complaints for each in reached)
    missed = len(tried.crashes) - len(reached)
    said = (
        f"{good} of {len(reached)} crashed runs ended as the one without a crash "
        f"({tried.whole.seconds:.1f} s). There are {len(points(tried.whole))} points."
    )
    return said + (f" Nobody came to {missed} more points." if missed else "")


def _complaints(tried: Tried) -> Iterator[str]:
    for each in tried.crashes:
        if each.complaints:
            yield f"- {each.point}: {'; '.join(each.complaints)}"
