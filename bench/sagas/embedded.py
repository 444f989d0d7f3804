"""Folkmoot in one process, on one file."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from bench.sagas.contender import Contender, Program, Running, started


class Embedded(Contender):
    """All services, three members and the client in one process. The file is kept between turns."""

    name = "Folkmoot embedded"
    settings = "one process, one SQLite file with synchronous=FULL, three members, all defaults"

    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Make room for the file."""
        self._folder = folder / "embedded"
        self._folder.mkdir(parents=True, exist_ok=True)

    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start the driver, in which all happens."""
        file = self._folder / "bench.db"
        driver = Program(Path(sys.executable), folder / "embedded.log", "embedded", str(file))
        await started(stack, driver)
        pids = {"Folkmoot and client": [driver.pid]}
        return Running(driver, pids, lambda: _size(file))


def _size(file: Path) -> int:
    """Return the size of the database, that of what has not been checkpointed included."""
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
    return int(pages) * int(page_bytes)
