"""Folkmoot in one process, on one file."""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from pathlib import Path

from bench.sagas.accounting import size_of
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
        return Running(driver, pids, lambda: size_of(self._folder, "bench.db*"))
