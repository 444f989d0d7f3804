"""What a contender uses: processor time, memory and traffic, by process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """Return what has been used up to now."""
    used = {name: sum(map(_processor_s, each)) for name, each in pids.items()}
    loopback = psutil.net_io_counters(pernic=True).get("lo")
    written = sum(_written(pid) for each in pids.values() for pid in each)
    return Account(used, loopback.bytes_sent if loopback else 0, written, log_bytes)


def _family(pid: int) -> Sequence[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _written(pid: int) -> int:
    return sum(int(each.io_counters().write_bytes) for each in _family(pid))


def _processor_s(pid: int) -> float:
    """Return user and system time of a process and its children, those that have ended too."""
    total = 0.0
    for each in _family(pid):
        times = each.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pids: Pids) -> dict[str, float]:
    """Return the memory by what the processes are, in megabytes; what is shared counts once."""
    return {name: sum(map(_memory, each)) / 1e6 for name, each in pids.items()}


def _memory(pid: int) -> int:
    return sum(int(each.memory_full_info().pss) for each in _family(pid))


def size_of(folder: Path, pattern: str) -> int:
    """Return how many bytes the files of that pattern hold, at any depth."""
    return sum(file.stat().st_size for file in folder.rglob(pattern))
