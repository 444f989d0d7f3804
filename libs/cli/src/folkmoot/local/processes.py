"""One child process: started, waited for until it is ready, stopped, killed, started again.

A child leads its own session, so that Ctrl-C in a terminal reaches the supervisor alone, which
stops the children in their order. A child belongs to no event loop: it can be started in one and
stopped in another.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from folkmoot.local import logs, ports
from folkmoot.local.errors import StartFailed, ToolMissing

START_WITHIN_MS = 120_000
"""Twenty times what the slowest process needs on an idle machine: a loaded one is no failure."""

STOP_WITHIN_MS = 15_000
"""How long a process may drain, hand over and flush before it is killed."""

LOOK_EVERY_S = 0.05

READY_PATH = "/health/ready"


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service to run as a process. It is ready when `/health/ready` of its port answers 200.

    `env` is its whole environment; None inherits that of this process.
    """

    name: str
    argv: Sequence[str]
    health_port: int
    env: Mapping[str, str] | None = field(default=None, repr=False)


class ManagedProcess(ABC):
    """A child process and how to run it; a subclass says what to run and when it is ready."""

    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    health_path: str | None = None

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name, self.port, self.log = name, port, log
        self._child: subprocess.Popen[bytes] | None = None

    @abstractmethod
    async def command(self) -> Sequence[str]:
        """Prepare what the process needs, and return the program and its arguments."""

    @abstractmethod
    async def ready(self) -> bool:
        """Return whether the process can do its work now. Never raises."""

    @property
    def address(self) -> str:
        """Where others reach the process."""
        return f"{ports.LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of the latest run."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_status(self) -> int | None:
        """How the latest run ended: a negative number is the signal that ended it."""
        return self._child.poll() if self._child else None

    async def start(
        self,
        within_ms: int = START_WITHIN_MS,
        on_spawn: Callable[[Self], None] = lambda _: None,
    ) -> None:
        """Start the process and return when it is ready. `on_spawn` is called when it has an id.

        Raises:
            PortTaken: another program listens on its port.
            StartFailed: it died, or was not ready in time. It does not run any more.
        """
        ports.require_free(self.port, self.name)
        argv = await self.command()
        self._child = self._spawn(argv)
        try:
            on_spawn(self)
            await self.wait_ready(within_ms)
        except BaseException:
            await self.kill()
            raise

    async def wait_ready(self, within_ms: int = START_WITHIN_MS) -> None:
        """Return when the process can do its work, which it may have stopped doing.

        Raises:
            StartFailed: it has ended, or was not ready in time.
        """
        try:
            async with asyncio.timeout(within_ms / 1000):
                await self._until_ready()
        except TimeoutError:
            raise self._failed(f"it was not ready within {within_ms / 1000:g} s") from None

    def _spawn(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        with logs.open_new(self.log) as log:
            try:
                return subprocess.Popen(  # noqa: S603 - what is run is the subclass's choice
                    [*argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self.env,
                    cwd=self.cwd,
                    start_new_session=True,
                )
            except OSError as error:
                raise ToolMissing(
                    f"{self.name} cannot be run: {argv[0]}: {os.strerror(error.errno or 0)}"
                ) from error

    async def _until_ready(self) -> None:
        while not await self.ready():
            if not self.running:
                raise self._failed(f"it ended with status {self.exit_status}")
            await asyncio.sleep(LOOK_EVERY_S)

    def _failed(self, why: str) -> StartFailed:
        return StartFailed(self.name, why, self.log, logs.last_lines(self.log))

    async def stop(self, within_ms: int = STOP_WITHIN_MS) -> bool:
        """Ask the process to end, and return whether it did so without being killed."""
        if self._child is not None:
            self._child.terminate()
        try:
            async with asyncio.timeout(within_ms / 1000):
                await self.wait()
        except TimeoutError:
            await self.kill()
            return False
        return True

    async def kill(self) -> None:
        """End the process at once, as a crash of it would."""
        self.kill_now()
        await self.wait()

    def kill_now(self) -> None:
        """Send the signal of `kill` and do not wait."""
        if self._child is not None:
            self._child.kill()

    async def wait(self) -> None:
        """Return when the process has ended."""
        while self.running:
            await asyncio.sleep(LOOK_EVERY_S)

    async def restart(self) -> None:
        """Stop the process if it runs, and start it again on the same port and data."""
        await self.stop()
        await self.start()


class ServiceProcess(ManagedProcess):
    """A service of Folkmoot, or anything else with the same readiness path."""

    health_path = READY_PATH

    def __init__(self, spec: ServiceSpec, log: Path) -> None:
        super().__init__(spec.name, spec.health_port, log)
        self.env, self._argv = spec.env, spec.argv

    async def command(self) -> Sequence[str]:
        """Return what the specification says."""
        return self._argv

    async def ready(self) -> bool:
        """Return whether the service says that it is ready."""
        return await ports.answers_ok(self.port, READY_PATH)
