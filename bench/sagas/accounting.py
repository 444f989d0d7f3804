"""What a contender uses: processor time, memory and traffic, by process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

Pids = Mapping[str, Sequence[int]]
"""Process ids by what the processes are. Their children count as theirs."""


@dataclass(frozen=True, slots=True)
class Account:
    """What was used up to a moment.

    `wire_bytes` is all that crossed the loopback interface, `disk_bytes` what the processes gave to
    the file system, and `log_bytes` what was kept of it for good, where that can be told.
    """

    processor_s: Mapping[str, float]
    wire_bytes: int
    disk_bytes: int
    log_bytes: int

    def since(self, earlier: Account) -> Account:
        """Return what was used in between."""
        used = {name: total - earlier.processor_s[name] for name, total in self.processor_s.items()}
        return Account(
            used,
            self.wire_bytes - earlier.wire_bytes,
            self.disk_bytes - earlier.disk_bytes,
            self.log_bytes - earlier.log_bytes,
        )


def account(pids: Pids, log_bytes: int) -> Account:
    """Return what has been used up to now.

    Raises:
        psutil.NoSuchProcess: one of the processes has ended.
    """
    used = {name: sum(_family(pid, _processor_s) for pid in each) for name, each in pids.items()}
    loopback = psutil.net_io_counters(pernic=True).get("lo")
    written = sum(_family(pid, _written) for each in pids.values() for pid in each)
    return Account(used, loopback.bytes_sent if loopback else 0, int(written), log_bytes)


def memory_mb(pids: Pids) -> dict[str, float]:
    """Return the memory by what the processes are, in megabytes; what is shared counts once."""
    return {name: sum(_family(pid, _memory) for pid in each) / 1e6 for name, each in pids.items()}


def _family(pid: int, figure: Callable[[psutil.Process], float]) -> float:
    """Return a figure of a process and its children together."""
    process = psutil.Process(pid)
    total = figure(process)
    for child in process.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # its time is its parent's then
            total += figure(child)
    return total


def _processor_s(process: psutil.Process) -> float:
    """Return user and system time, with that of children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _written(process: psutil.Process) -> float:
    return int(process.io_counters().write_bytes)


def _memory(process: psutil.Process) -> float:
    return int(process.memory_full_info().pss)


def size_of(folder: Path, pattern: str) -> int:
    """Return how many bytes the files of that pattern hold, at any depth."""
    return sum(file.stat().st_size for file in folder.rglob(pattern))
