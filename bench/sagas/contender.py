"""What is measured: something that is started for its turn, given loads, and stopped again.

Only one contender runs at a time, so that none pays for another's idling. Kafka, NATS and
PostgreSQL run through, with next to nothing to do while nobody asks anything of them.
"""

from __future__ import annotations

import asyncio
import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.sagas.accounting import Account, Pids, account
from bench.sagas.loops import Load, Outcome

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = "bench.sagas.programs"
LINE_BYTES_MAX = 256 * 1024 * 1024
READY_WITHIN_S = 120.0


class NotMeasured(Exception):
    """A contender cannot be had here; says why."""


class Failed(Exception):
    """A driver could not do what it was told."""


class Program:
    """A program of this package as a process, which is ready when it says so."""

    def __init__(self, python: Path, log: Path, module: str, *arguments: str) -> None:
        self._argv = [str(python), "-m", f"{PROGRAMS}.{module}", *arguments]
        self._log = log
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._child is not None
        return self._child.pid

    async def start(self) -> None:
        """Start it, and return when it is ready.

        Raises:
            Failed: it is not, and will not be.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *self._argv,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=LINE_BYTES_MAX,
            )
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while (line := await self._line()) not in ("ready", ""):
                    pass
        except TimeoutError:
            line = ""
        if not line:
            said = self._log.read_text(errors="replace")[-300:]
            raise Failed(f"{self._argv[2]} did not start: {said}")

    async def _line(self) -> str:
        assert self._child is not None
        assert self._child.stdout is not None
        return (await self._child.stdout.readline()).decode().strip()

    async def run(self, load: Load) -> Outcome:
        """Have a driver run a load.

        Raises:
            Failed: a saga did not end as it should.
        """
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        answer = json.loads(await self._line() or '{"error": "the driver has died"}')
        if "error" in answer:
            raise Failed(f"{self._argv[2]}, {load}: {answer['error']}")
        return Outcome(**answer["outcome"])

    async def stop(self) -> None:
        """End it."""
        if self._child is not None and self._child.returncode is None:
            self._child.kill()
            await self._child.wait()


@dataclass(frozen=True, slots=True)
class Running:
    """A contender in its turn. `log_bytes` tells how large its log is, where that can be told."""

    driver: Program
    pids: Pids
    log_bytes: Callable[[], int] = lambda: 0

    def account(self) -> Account:
        """Return what has been used up to now.

        Raises:
            Failed: a process has died.
        """
        try:
            return account(self.pids, self.log_bytes())
        except psutil.NoSuchProcess as error:
            gone = [name for name, pids in self.pids.items() if error.pid in pids]
            raise Failed(f"a process of {gone} has died") from error


class Contender(ABC):
    """One of those compared."""

    name: str
    in_flight_max: int = 512
    shapes: Sequence[str] = ("three", "undo", "wide")

    @property
    @abstractmethod
    def settings(self) -> str:
        """What was set for it, for people."""

    @abstractmethod
    async def prepare(self, stack: AsyncExitStack, folder: Path) -> None:
        """Get what it needs, and start what runs through; `stack` ends it.

        Raises:
            NotMeasured: it cannot be had here.
        """

    @abstractmethod
    async def start(self, stack: AsyncExitStack, folder: Path) -> Running:
        """Start all of it for a turn; `stack` ends it."""

    @asynccontextmanager
    async def turn(self, folder: Path) -> AsyncIterator[Running]:
        """Run it for the length of a block."""
        async with AsyncExitStack() as stack:
            yield await self.start(stack, folder)


async def started(stack: AsyncExitStack, *programs: Program) -> None:
    """Start programs at once, to be stopped with `stack`."""
    for program in programs:
        stack.push_async_callback(program.stop)
    await asyncio.gather(*(program.start() for program in programs))
