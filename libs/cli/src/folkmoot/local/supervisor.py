"""Runs processes together: starts them, notices when one dies, stops them in reverse order.

Nothing is restarted: a local run is there to be looked at, and a process that dies is news.
Invariants: one supervisor a data directory; whatever was started is stopped, also when starting
fails half-way, is cancelled, or the supervisor is killed (the guard sees to that), unless it is
left running by `leave`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path

from folkmoot.local import logs, state
from folkmoot.local.errors import AlreadyRunning, LocalError
from folkmoot.local.events import (
    Died,
    LeftoversStopped,
    OnEvent,
    Ready,
    Starting,
    Stopped,
    Stopping,
    ignore,
)
from folkmoot.local.guard import Guard
from folkmoot.local.processes import LOOK_EVERY_S, STOP_WITHIN_MS, ManagedProcess
from folkmoot.local.sweeping import sweep


class Supervisor:
    """The processes of one data directory. Like them it belongs to no event loop."""

    def __init__(
        self, data_dir: Path, on_event: OnEvent = ignore, stop_within_ms: int = STOP_WITHIN_MS
    ) -> None:
        self.data_dir = data_dir
        self._on_event = on_event
        self._stop_within_ms = stop_within_ms
        self._processes: list[ManagedProcess] = []
        self._state = state.State(supervisor=state.Identity.of(os.getpid()))
        self._held = contextlib.ExitStack()

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """What runs, in the order in which it was started."""
        return tuple(self._processes)

    async def open(self) -> None:
        """Take the data directory, and stop what an earlier run left in it.

        Raises:
            AlreadyRunning: another supervisor has it, or has left processes running in it.
        """
        self._held.enter_context(state.claimed(self.data_dir))
        earlier = state.read(self.data_dir)
        if earlier and earlier.supervisor is None and earlier.living():
            self._held.close()
            raise AlreadyRunning(self.data_dir)
        if earlier and (names := await sweep(earlier.processes)):
            self._on_event(LeftoversStopped(names))
        self._state.write(self.data_dir)
        self._held.callback(self._forget)
        self._held.callback(Guard(self.data_dir, os.getpid()).dismiss)

    async def start(self, *processes: ManagedProcess) -> None:
        """Start processes at once, and return when all are ready.

        Raises:
            LocalError: one of them did not start. Those started before are still running.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for process in processes:
                    group.create_task(self._start(process))
        except ExceptionGroup as failures:
            known, _ = failures.split(LocalError)
            raise (known or failures).exceptions[0] from None

    async def _start(self, process: ManagedProcess) -> None:
        self._on_event(Starting(process.name))
        began = time.monotonic()
        await process.start(on_spawn=self._record)
        took_ms = round((time.monotonic() - began) * 1000)
        self._on_event(Ready(process.name, process.address, took_ms))

    def _record(self, process: ManagedProcess) -> None:
        assert process.pid is not None
        self._processes.append(process)
        record = state.ProcessRecord(
            name=process.name,
            identity=state.Identity.of(process.pid),
            address=process.address,
            port=process.port,
            health_path=process.health_path,
            log=process.log.absolute(),
        )
        recorded = (*self._state.processes, record)
        self._state = self._state.model_copy(update={"processes": recorded})
        self._state.write(self.data_dir)

    async def death(self) -> Died:
        """Return when a process has ended by itself."""
        while True:
            for process in self._processes:
                if not process.running:
                    return self._died(process)
            await asyncio.sleep(LOOK_EVERY_S)

    def _died(self, process: ManagedProcess) -> Died:
        status = process.exit_status
        assert status is not None
        died = Died(process.name, status, logs.last_lines(process.log))
        self._on_event(died)
        return died

    async def stop(self) -> None:
        """Stop everything, the last first, and let go of the data directory."""
        for process in reversed(self._processes):
            if process.running:
                self._on_event(Stopping(process.name))
                orderly = await process.stop(self._stop_within_ms)
                self._on_event(Stopped(process.name, killed=not orderly))
        self._let_go()

    def leave(self) -> None:
        """Let go of the directory and let everything run on, until `down` stops it."""
        self._state = self._state.model_copy(update={"supervisor": None})
        self._state.write(self.data_dir)
        self._let_go()

    def _let_go(self) -> None:
        self._processes.clear()
        self._held.close()

    def _forget(self) -> None:
        if self._state.supervisor is not None:
            state.forget(self.data_dir)

    def kill_all(self) -> None:
        """Kill everything now; a `stop` under way ends soon after."""
        for process in self._processes:
            process.kill_now()
