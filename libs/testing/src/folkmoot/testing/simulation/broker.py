"""The broker of a simulated world: partitions, and what can go wrong on the way to them and back.

It keeps what `folkmoot.bus.ports` promises, and makes happen whatever they allow: an append whose
acknowledgement is lost, that lands late, in part or never; reads that are late or fail; a fail-over
after which append times run backwards.

Invariants:

- An append that has left its process is the broker's: it lands, or not, whatever becomes of the
  process.
- What was acknowledged is never lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

from folkmoot.bus.ports import Record, Stored
from folkmoot.testing.simulation.loop import SimulatedLoop
from folkmoot.testing.virtual_time import EPOCH_MS

Place = tuple[str, int]
Fate = Literal["acknowledged", "unanswered", "late", "partial", "lost"]
"""What becomes of an append. All but the first end as uncertain; `partial` lands a part of it."""

LATENCY_S = (0.0002, 0.0015)
"""One way between a process and the broker, or the way to its disk."""

TIMEOUT_S = (0.05, 0.4)
"""How long a process waits for an acknowledgement that does not come."""

SETTLING_S = 0.02
"""When faults cease, what is still under way is over after this."""


@dataclass
class Link:
    """The way between one process and the broker. Shares are from 0 to 1."""

    up: bool = True
    read_delay_s: float = 0.0
    slow: float = 1.0
    fates: dict[Fate, float] = field(default_factory=dict)

    def fate(self, random: Random) -> Fate:
        """Draw what becomes of the next append."""
        drawn = random.random()
        for fate, share in self.fates.items():
            drawn -= share
            if drawn < 0:
                return fate
        return "acknowledged"


@dataclass
class Partition:
    """The records of one partition, when each landed, and who waits for more."""

    records: list[Stored] = field(default_factory=list)
    landed_at: list[float] = field(default_factory=list)
    writers: list[str] = field(default_factory=list)
    waiters: dict[asyncio.Future[None], Link] = field(default_factory=dict)


class Broker:
    """All partitions. `on_land` hears of each append that lands."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop, self.random = loop, random
        self.partitions: dict[Place, Partition] = {}
        self.counts: dict[str, int] = {}
        self.available = True
        self.slow = 1.0
        self.clock_error_ms = 0
        self._under_way: dict[asyncio.Handle, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self._healed = False

    def create(self, topic: str, partitions: int) -> None:
        """Make a topic that is not there yet."""
        if topic not in self.counts:
            self.counts[topic] = partitions
            for partition in range(partitions):
                self.partitions[topic, partition] = Partition()

    def latency_s(self) -> float:
        """Draw how long one way takes."""
        return self.random.uniform(*LATENCY_S) * self.slow

    def eventually(self, delay_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Do what a fault has put off; at once when faults have ceased."""
        delay_s = min(delay_s, SETTLING_S) if self._healed else delay_s

        def happen() -> None:
            del self._under_way[handle]
            callback(*args)

        handle = self.loop.later(delay_s, happen)
        self._under_way[handle] = (callback, args)

    def heal(self) -> None:
        """Let all faults cease; what they put off comes to its end now."""
        self.available, self.slow, self._healed = True, 1.0, True
        under_way, self._under_way = self._under_way, {}
        for handle, (callback, args) in under_way.items():
            handle.cancel()
            self.eventually(SETTLING_S, callback, *args)
        self.stir()

    def stir(self) -> None:
        """Let all who wait look again: something has changed."""
        for partition in self.partitions.values():
            for waiter in partition.waiters:
                _wake(waiter)

    def land(self, place: Place, records: Sequence[Record], writer: str) -> int:
        """Append, and return the first offset."""
        partition = self.partitions[place]
        first, now = len(partition.records), self.loop.now
        timestamp = EPOCH_MS + round(now * 1000) + self.clock_error_ms
        for number, r in enumerate(records):
            stored = Stored(first + number, timestamp, r.value, r.key, r.headers)
            partition.records.append(stored)
            partition.landed_at.append(now)
            partition.writers.append(writer)
        for waiter, link in partition.waiters.items():
            self.loop.later(self.latency_s() + link.read_delay_s, _wake, waiter)
        return first


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
