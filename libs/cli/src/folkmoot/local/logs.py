"""What processes write: kept in one file each, read back, followed.

A process writes into its file by itself, not through a pipe, so that it neither blocks on nor
dies with whoever reads along. The log of the run before is kept as `NAME.log.1`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rich.text import Text

LAST_LINES = 20
TAIL_BYTES = 64 * 1024
"""As much as is read from the end of a log to find its last lines, and at once when following."""

FOLLOW_EVERY_S = 0.1
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta")


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that the process `name` wrote."""

    name: str
    text: str


def open_new(path: Path) -> BinaryIO:
    """Open an empty log for writing, keeping the one before as `NAME.log.1`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))
    return path.open("wb")


def last_lines(path: Path, count: int = LAST_LINES) -> tuple[str, ...]:
    """Return the last lines of a log; none if there is no log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ()
    return tuple(lines[-count:])


def follow(logs: Mapping[str, Path], *, from_start: bool = False) -> AsyncGenerator[LogLine, None]:
    """Return the lines that are written to the logs from now on, as they are written, without end.

    Logs may appear, and be replaced by those of a new run, while they are followed.
    """
    return _lines([_Reader(name, path, from_start) for name, path in logs.items()])


async def _lines(readers: Sequence[_Reader]) -> AsyncGenerator[LogLine, None]:
    while True:
        lines = [line for reader in readers for line in reader.new_lines()]
        for line in lines:
            yield line
        if not lines:
            await asyncio.sleep(FOLLOW_EVERY_S)


class _Reader:
    def __init__(self, name: str, path: Path, from_start: bool) -> None:
        self.name, self.path = name, path
        self._run: int | None = None
        self._offset = 0
        if not from_start and path.exists():
            found = path.stat()
            self._run, self._offset = found.st_ino, found.st_size

    def new_lines(self) -> list[LogLine]:
        try:
            with self.path.open("rb") as file:
                data = self._read(file)
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        if not complete and len(data) == TAIL_BYTES:
            complete = data  # a line longer than what is read at once is shown in pieces
        self._offset += len(complete)
        text = complete.decode("utf-8", "replace")
        return [LogLine(self.name, line) for line in text.splitlines()]

    def _read(self, file: BinaryIO) -> bytes:
        run = self.path.stat().st_ino
        if run != self._run:
            self._run, self._offset = run, 0
        file.seek(self._offset)
        return file.read(TAIL_BYTES)


class Prefixer:
    """Draws log lines with the name of their process before them, each name in its own colour."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._width = max(map(len, names), default=0)
        self._colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}

    def __call__(self, line: LogLine) -> Text:
        """Return the line for a rich console, whatever markup it may seem to hold left alone."""
        name = line.name.ljust(self._width)
        return Text.assemble((f"{name} │ ", self._colours.get(line.name, "")), line.text)
