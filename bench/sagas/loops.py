"""The loads: a closed loop and an open one, over anything that runs one saga.

Standard library only, since peers run it in environments of their own.

A closed loop keeps a number in flight: each is followed by the next as soon as it ends. It stops
beginning at an end, when its time is over and three times as many have ended as are in flight, so
that what is divided holds whole rounds; one that is so slow that they never do stops at four times
its time. In an open loop sagas begin at moments that were drawn beforehand (a Poisson process,
seeded, so that all contenders meet the same), and each latency counts from that moment, however
late the saga really began: otherwise a system that stalls would be asked less while it does.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

RunOne = Callable[[int], Awaitable[None]]
"""Runs the saga of that number to its end, and raises if it did not end as it should."""

ROUNDS_MIN = 3
PATIENCE = 4
SEED = 1
DRAIN_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be run. An open loop has a rate, a closed one a number in flight."""

    shape: str
    seconds: float
    in_flight: int = 0
    per_second: float = 0.0
    width: int = 1
    """Of a fan-out: how many steps."""


@dataclass(slots=True)
class Outcome:
    """What came of it: of each saga, when it ended (after the beginning) and how long it took."""

    began_s: float = 0.0
    """By the machine's monotonic clock, which all processes share."""
    window_s: float = 0.0
    ended_s: list[float] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        """Sagas that ended within the window, per second."""
        return sum(at <= self.window_s for at in self.ended_s) / self.window_s


async def run(load: Load, one: RunOne, numbers: Iterator[int]) -> Outcome:
    """Run a load to the end of its last saga.

    Raises:
        Exception: whatever a saga raised first; the others are cancelled.
    """
    loop = _Open(load, one, numbers) if load.per_second else _Closed(load, one, numbers)
    loop.outcome.began_s = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE * load.seconds + DRAIN_WITHIN_S):
            await loop.run()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return loop.outcome


class _Loop:
    def __init__(self, load: Load, one: RunOne, numbers: Iterator[int]) -> None:
        self._load, self._one, self._numbers = load, one, numbers
        self.outcome = Outcome()

    def _elapsed(self) -> float:
        return time.monotonic() - self.outcome.began_s

    async def _timed(self, since_s: float) -> None:
        await self._one(next(self._numbers))
        now = self._elapsed()
        self.outcome.ended_s.append(now)
        self.outcome.latencies_ms.append((now - since_s) * 1000)


class _Closed(_Loop):
    _over = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._load.in_flight):
                group.create_task(self._one_after_another())

        self.outcome.window_s = self.outcome.window_s or self.outcome.ended_s[-1]

    async def _one_after_another(self) -> None:
        while not self._over:
            await self._timed(self._elapsed())
            self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        whole = len(self.outcome.ended_s) >= ROUNDS_MIN * self._load.in_flight
        patience_s = self._load.seconds * (1 if whole else PATIENCE)
        if self._over or self._elapsed() < patience_s:
            return
        self._over = True
        if whole:
            self.outcome.window_s = self.outcome.ended_s[-1]


class _Open(_Loop):
    async def run(self) -> None:
        draw = random.Random(SEED)  # moments, not secrets
        gaps = (draw.expovariate(self._load.per_second) for _ in itertools.count())
        self.outcome.window_s = self._load.seconds
        async with asyncio.TaskGroup() as group:
            for moment in itertools.accumulate(gaps):
                if moment > self._load.seconds:
                    break
                await asyncio.sleep(max(0.0, moment - self._elapsed()))
                group.create_task(self._timed(moment))
