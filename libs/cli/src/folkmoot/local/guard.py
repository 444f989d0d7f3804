"""Stops what a supervisor left behind if it dies without stopping it, as after kill -9.

    python -m folkmoot.local.guard DATA_DIR SUPERVISOR_PID

Runs beside each supervisor and reads from a pipe that nobody writes to. The pipe ends when the
supervisor does, however it does; after an orderly stop there is nothing left to do.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from folkmoot.local import state
from folkmoot.local.sweeping import sweep


class Guard:
    """The guard of this process."""

    def __init__(self, data_dir: Path, supervisor_pid: int) -> None:
        module = [sys.executable, "-m", "folkmoot.local.guard"]
        self._child = subprocess.Popen(  # noqa: S603 - this very module
            [*module, str(data_dir.absolute()), str(supervisor_pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Let the guard go: all is stopped."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.kill()
        self._child.wait()


def main(data_dir: Path, supervisor_pid: int) -> None:
    """Wait for the end of the supervisor, and stop what it left."""
    sys.stdin.buffer.read()
    run = state.read(data_dir)
    # What was left running on purpose, or belongs to a newer run, is none of this guard's business.
    if run and run.supervisor and run.supervisor.pid == supervisor_pid:
        asyncio.run(sweep(run.processes))
        if state.read(data_dir) == run:
            state.forget(data_dir)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
