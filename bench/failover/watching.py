"""Reads a shard's log as it grows: who leads, and when each input was seen to be decided."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from folkmoot.bus.ports import Bus, BusUnavailable, Stored
from folkmoot.contracts.codec import decode_control
from folkmoot.core.kernel import Claim, Entry, Leadership

READ_RECORDS_MAX = 2_000
READ_TIMEOUT_MS = 1_000
WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Seen:
    """An accepted record, read at `at` (nanoseconds of the monotonic clock), and who led then."""

    at: int
    term: int
    epoch: int
    holder: str | None
    decided: bool


class Watch:
    """A reader of one shard's log."""

    def __init__(self, bus: Bus, log: str, partition: int = 0) -> None:
        self._bus, self._log, self._partition = bus, log, partition
        self._leadership = Leadership()
        self._wanted: list[tuple[Callable[[Seen], bool], asyncio.Future[Seen]]] = []
        self._task: asyncio.Task[None] | None = None
        self._next_offset = 0
        self.led_since = 0.0
        """When, by the monotonic clock in seconds, the present term's claim was read."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_error: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    @property
    def term(self) -> int:
        """The term as of the last record read."""
        return self._leadership.term

    @property
    def epoch(self) -> int:
        """The epoch as of the last record read."""
        return self._leadership.epoch

    @property
    def holder(self) -> str | None:
        """Who leads as of the last record read."""
        return self._leadership.holder

    async def _follow(self) -> None:
        while True:
            try:
                await self._read_on()
            except BusUnavailable as outage:
                print(f"the watch of {self._log} reads on after: {outage}", file=sys.stderr)

    async def _read_on(self) -> None:
        tail = await self._bus.log.tail(self._log, self._partition, self._next_offset)
        try:
            while True:
                for stored in await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS):
                    self._take_in(stored, time.monotonic_ns())
                    self._next_offset = stored.offset + 1
        finally:
            await tail.close()

    def _take_in(self, stored: Stored, at: int) -> None:
        record = decode_control(stored.headers)
        if not self._leadership.observe(stored.offset, record).counts:
            return
        if isinstance(record, Claim):
            self.led_since = at / 1e9
        decided = isinstance(record, Entry) and bool(record.progress.consumed)
        kept = self._leadership
        seen = Seen(at, kept.term, kept.epoch, kept.holder, decided)
        for wanted, found in self._wanted:
            if not found.done() and wanted(seen):
                found.set_result(seen)
        self._wanted = [each for each in self._wanted if not each[1].done()]

    def expect(self, wanted: Callable[[Seen], bool]) -> asyncio.Task[Seen]:
        """Return what will be the first accepted record, read from now on, that is `wanted`."""
        found: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self._wanted.append((wanted, found))
        return asyncio.create_task(self._within_reason(found))

    async def _within_reason(self, found: asyncio.Future[Seen]) -> Seen:
        async with asyncio.timeout(WITHIN_S):
            return await found
