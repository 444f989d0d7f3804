"""The table at the end of a run."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.chaos.run import Outcome

COMPLAINTS_MAX = 20


def report(outcome: Outcome, console: Console) -> None:
    """Print what was done to the platform, and how it stood that."""
    console.print(_faults(outcome))
    console.print(_sagas(outcome))
    console.print(_stalls(outcome))
    verdict = outcome.verdict
    complaints = [*verdict.lost, *verdict.doubled, *verdict.wrong]
    for complaint in complaints[:COMPLAINTS_MAX]:
        console.print(f"- {complaint}")
    if len(complaints) > COMPLAINTS_MAX:
        console.print(f"- and {len(complaints) - COMPLAINTS_MAX} more")


def _faults(outcome: Outcome) -> Table:
    kinds = sorted(set(outcome.faults) | set(outcome.missed))
    rows = [(kind, outcome.faults[kind], outcome.missed[kind]) for kind in kinds]
    total = ("all", outcome.faults.total(), outcome.missed.total())
    return _table("faults", ("kind", "injected", "found nobody"), [*rows, total])


def _sagas(outcome: Outcome) -> Table:
    verdict = outcome.verdict
    rows: list[tuple[object, ...]] = [("acknowledged", outcome.sagas)]
    rows += sorted(outcome.states.items())
    rows += [
        ("effects", len(outcome.evidence.effects)),
        ("appends to streams acknowledged", len(outcome.appended)),
        ("lost", len(verdict.lost)),
        ("doubled", len(verdict.doubled)),
        ("wrong", len(verdict.wrong)),
        ("doubles that fencing prevented", verdict.prevented),
        ("last end of a saga after the last fault, s", f"{outcome.healing.sagas_s:.1f}"),
        ("last answer to an append after it, s", f"{outcome.healing.appends_s:.1f}"),
    ]
    return _table("sagas", ("", "n"), rows)


def _stalls(outcome: Outcome) -> Table:
    found = outcome.evidence
    rows = [
        (shard.removeprefix("folkmoot."), f"{lasted:.1f}", f"{at:.1f}", found.changes[shard])
        for shard, (lasted, at) in sorted(found.stalls.items())
    ]
    return _table("shards", ("log", "longest stall, s", "from, s", "changes of leader"), rows)


def _table(title: str, headings: Iterable[str], rows: Iterable[tuple[object, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="right" if number else "left")
    for row in rows:
        table.add_row(*map(str, row))
    return table
