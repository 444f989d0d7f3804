"""How commands speak: tables and sentences for people, `--json` for programs, errors to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

SECOND_MS, MINUTE_MS = 1_000, 60_000

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_COMPENSATED = 3
"""The job was undone as a whole: not a success, and not a mess either."""

console = Console(highlight=False)
complaints = Console(stderr=True, highlight=False)


class CommandError(Exception):
    """A command cannot go on. The message says what is wrong and what to do."""

    def __init__(self, sentence: str, status: int = EXIT_FAILED) -> None:
        super().__init__(sentence)
        self.status = status


def fail(sentence: str, status: int = EXIT_FAILED) -> NoReturn:
    """Say what is wrong, and exit."""
    complaints.print(f"[bold red]error:[/] {sentence}", soft_wrap=True)
    raise typer.Exit(status)


def show(value: object, as_json: bool, render: Callable[[Any], object]) -> None:
    """Print `value` as JSON, or as `render` draws it."""
    if as_json:
        console.print_json(json.dumps(value), indent=2)
    else:
        console.print(render(value))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Return a table; empty cells for None."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        made.add_column(column, header_style="dim", overflow="fold")
    for row in rows:
        made.add_row(*("" if cell is None else str(cell) for cell in row))
    return made


def moment(at: int | None) -> str:
    """Return milliseconds since the epoch as a time of day, with the date if it is not today's."""
    if at is None:
        return ""
    when = datetime.fromtimestamp(at / 1000, UTC).astimezone()
    return when.strftime("%Y-%m-%d %H:%M:%S")


def span(ms: int) -> str:
    """Return a time span in the unit that fits it."""
    if ms < SECOND_MS:
        return f"{ms} ms"
    return f"{ms / SECOND_MS:.1f} s" if ms < MINUTE_MS else f"{ms // MINUTE_MS} min"


STATE_STYLE: Mapping[str, str] = {
    "completed": "green",
    "succeeded": "green",
    "closed": "green",
    "running": "cyan",
    "compensating": "yellow",
    "compensated": "yellow",
    "half-open": "yellow",
    "open": "red",
    "failed": "red",
    "stuck": "bold red",
    "refused": "red",
    "terminated": "red",
    "paused": "yellow",
    "skipped": "yellow",
    "compensation-skipped": "bold red",
}


def styled(state: str) -> str:
    """Return a state in the colour that it has everywhere."""
    style = STATE_STYLE.get(state)
    return f"[{style}]{state}[/]" if style else state
