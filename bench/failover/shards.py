"""Folkmoot's own fail-over: a service as three processes on Kafka, and a user who goes on asking.

What is timed ends when this process, which tails the shard's log like anybody, has read the first
input that a new leader decided.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.failover.copies import Copies
from bench.failover.watching import Watch
from folkmoot.bus.ports import Bus
from folkmoot.core.messages import Append, Join, NewEvent, inbox
from folkmoot.local.processes import ServiceProcess
from folkmoot.runtime.clock import SystemClock
from folkmoot.runtime.postbox import Postbox

COPIES = 3
ASK_EVERY_S = 0.005
WARM_UP_S = 0.2


def joining(number: int) -> Join:
    """Return an input that the election decides with an entry each time."""
    return Join("probe", "prober", "bench", 60_000, priority=number)


def appending(number: int) -> Append:
    """Return an input that the event store decides with an entry each time."""
    return Append("probe", (NewEvent("asked", number),), f"request-{number}")


class Shard:
    """Partition 0 of a service, the processes that replicate it, and who asks it."""

    def __init__(
        self, service: str, bus: Bus, copies: Copies, watch: Watch, ask: Callable[[int], object]
    ) -> None:
        self._topic, self._copies, self._watch = inbox(service), copies, watch
        self._make = ask
        self._numbers = itertools.count(1)
        self._gone: ServiceProcess | None = None
        self._postbox = Postbox(bus, "bench", SystemClock())

    async def open(self) -> None:
        """Start the processes, and return when one leads."""
        await self._copies.start(COPIES)
        await self._copies.leader()
        await self._ask()

    async def close(self) -> None:
        """Ask no more. The processes are the supervisor's."""
        await self._postbox.close()

    async def _ask(self) -> None:
        message = self._make(next(self._numbers))
        await self._postbox.send(self._topic, 0, message, "probe")

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        async def ask_on() -> None:
            while True:
                await self._ask()
                await asyncio.sleep(ASK_EVERY_S)

        task = asyncio.create_task(ask_on())
        try:
            await asyncio.sleep(WARM_UP_S)
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def crash_busy(self) -> float:
        """Kill the leader while it is asked all the time."""
        async with self._ended(), self._asking():
            return await self._succession(signal.SIGKILL)

    async def crash_idle(self) -> float:
        """Kill a leader that only beats, and ask at that moment."""
        async with self._ended():
            return await self._succession(signal.SIGKILL, ask_once=True)

    async def hand_over(self) -> float:
        """Have the leader stop in an orderly way while it is asked all the time."""
        async with self._ended(), self._asking():
            return await self._succession(signal.SIGTERM)

    @asynccontextmanager
    async def _ended(self) -> AsyncIterator[None]:
        """Settle before a leader is ended, and replace it afterwards."""
        await self._copies.settle()
        yield
        assert self._gone is not None
        await self._copies.replace(self._gone)

    async def _succession(self, number: signal.Signals, ask_once: bool = False) -> float:
        """Return how many milliseconds after the signal an input was decided by another."""
        self._gone = leader = await self._copies.leader()
        term = self._watch.term
        waiting = self._watch.expect(lambda seen: seen.decided and seen.term > term)
        began = _signal(leader, number)
        if ask_once:
            await self._ask()
        return ((await waiting).at - began) / 1e6


class Team:
    """A team's own shard: led by the member that the election chose, in the epoch it gave."""

    def __init__(self, copies: Copies, watch: Watch) -> None:
        self._copies, self._watch = copies, watch

    async def open(self) -> None:
        """Start the members, and return when one leads the team."""
        await self._copies.start(COPIES)
        await self._copies.leader()

    async def crash(self) -> float:
        """Kill the team's leader; how many milliseconds until another holds a newer epoch."""
        await self._copies.settle()
        leader, epoch = await self._copies.leader(), self._watch.epoch
        waiting = self._watch.expect(lambda seen: seen.epoch > epoch)
        began = _signal(leader, signal.SIGKILL)
        took = ((await waiting).at - began) / 1e6
        await self._copies.replace(leader)
        return took


def _signal(process: ServiceProcess, number: signal.Signals) -> int:
    """Send a signal; when that was, in nanoseconds of the monotonic clock."""
    assert process.pid is not None
    began = time.monotonic_ns()
    os.kill(process.pid, number)
    return began
