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
    """What was used up to a moment. `wire` counts all that crosses the loopback interface."""

    processor_s: Mapping[str, float]
    wire_bytes: int
    log_bytes: int

    def since(self, earlier: Account) -> Account:
        """Return what was used in between."""
        used = {name: total - earlier.processor_s[name] for name, total in self.processor_s.items()}
        wire = self.wire_bytes - earlier.wire_bytes
        return Account(used, wire, self.log_bytes - earlier.log_bytes)


def account(pids: Pids, log_bytes: int) -> Account:
    """Return what has been used up to now."""
    used = {name: sum(map(_processor_s, each)) for name, each in pids.items()}
    loopback = psutil.net_io_counters(pernic=True).get("lo")
    return Account(used, loopback.bytes_sent if loopback else 0, log_bytes)


def _processor_s(pid: int) -> float:
    """Return user and system time of a process and its children, those that have ended too."""
    process = psutil.Process(pid)
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(pids: Pids) -> dict[str, float]:
    """Return the resident memory by what the processes are, in megabytes."""
    return {name: sum(map(_memory, each)) / 1e6 for name, each in pids.items()}


def _memory(pid: int) -> int:
    process = psutil.Process(pid)
    family = (process, *process.children(recursive=True))
    return sum(int(each.memory_info().rss) for each in family)


def size_of(folder: Path, pattern: str) -> int:
    """Return how many bytes the files of that pattern hold, at any depth."""
    return sum(file.stat().st_size for file in folder.rglob(pattern))
