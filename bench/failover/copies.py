"""Processes of one service, as many as are asked for, one of which leads the shard watched."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from bench.failover.watching import Watch
from folkmoot.local.processes import ServiceProcess, ServiceSpec
from folkmoot.local.supervisor import Supervisor

PHASE_S = 0.5
"""At random up to so long more, so that a leader dies anywhere between two beats."""


class Copies:
    """The copies of one service. `spec(name)` says how to run one; its node is its name.

    A leader that led for `settle_s` without handing over is the one that the shard prefers.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        spec: Callable[[str], ServiceSpec],
        watch: Watch,
        settle_s: float,
    ) -> None:
        self._supervisor, self._spec, self._watch = supervisor, spec, watch
        self._settle_s = settle_s
        self._alive: list[ServiceProcess] = []
        self._started = 0

    async def start(self, count: int) -> None:
        """Start `count` more and return when they are ready."""
        await asyncio.gather(*(self._start() for _ in range(count)))

    async def _start(self) -> None:
        self._started += 1
        spec = self._spec(f"copy-{self._started}")
        process = ServiceProcess(spec, self._supervisor.data_dir / f"{spec.name}.log")
        await self._supervisor.start(process)
        self._alive.append(process)

    async def settle(self) -> None:
        """Let hand-overs that a newcomer may cause be over, and a random while pass."""
        while (left_s := self._watch.led_since + self._settle_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)
        await asyncio.sleep(random.uniform(0, PHASE_S))

    async def leader(self) -> ServiceProcess:
        """Return the process whose member leads the shard."""
        while True:
            for process in self._alive:
                if (self._watch.holder or "").startswith(f"{process.name}-{process.pid}-"):
                    return process
            await asyncio.sleep(0.02)

    async def replace(self, process: ServiceProcess) -> None:
        """Wait for the end of `process`, which was killed or told to stop, and start another."""
        await process.wait()
        self._alive.remove(process)
        await self.start(1)
