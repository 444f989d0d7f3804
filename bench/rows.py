"""The rows that every benchmark reports, as a table for people and as JSON for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `met` is None where there is no goal, `peer` names what it is compared with."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    peer: str = ""
    n: int = 1


def options(description: str) -> argparse.ArgumentParser:
    """Return the command line that all benchmarks share, for more to be added."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="write the rows to this file as well")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: for tests")
    return parser


def write(rows: Sequence[Row], file: Path) -> None:
    """Write the rows for programs."""
    file.write_text(json.dumps([asdict(row) for row in rows], indent=2))


def report(title: str, rows: Sequence[Row], file: Path | None) -> None:
    """Print the rows, and write them to `file` if given."""
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "value", "unit", "goal", "met", "peer", "n"):
        table.add_column(heading, justify="right" if heading in ("value", "n") else "left")
    for row in rows:
        met = {None: "", True: "yes", False: "no"}[row.met]
        value = f"{row.value:,.2f}" if row.value < 100 else f"{row.value:,.0f}"
        table.add_row(row.name, value, row.unit, row.goal, met, row.peer, str(row.n))
    Console(width=120).print(table)
    if file is not None:
        write(rows, file)
