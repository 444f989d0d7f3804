"""What a leader has to decide next: records of its inboxes, and words from its own process.

Bounded: an inbox is read no further than `batch_inputs_max` inputs or `waiting_bytes_max` bytes
ahead, and by what one read returns, so that a slow leader slows its senders' effect, never fills
its memory.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from folkmoot.bus.ports import Log, Stored
from folkmoot.contracts.envelope import decode_message
from folkmoot.core.kernel import Received, Undecodable
from folkmoot.runtime.timing import Timing

READ_TIMEOUT_MS = 500

Poison = dict[tuple[str, int], Undecodable]
"""Records that broke a decision before, by topic and offset, and what they become instead."""


@dataclass(slots=True)
class Work:
    """An input to decide, and who waits for the decision to be committed."""

    received: Received
    committed: Future[None] | None = None
    size_bytes: int = 0

    def settle(self, problem: Exception | None = None) -> None:
        """Tell who waits that the decision is committed, or why it never will be."""
        if self.committed is None or self.committed.done():
            return
        if problem is None:
            self.committed.set_result(None)
        else:
            self.committed.set_exception(problem)


def promise() -> Future[None]:
    """Return a future whose failure is nobody's fault if nobody waits for it."""
    made: Future[None] = asyncio.get_running_loop().create_future()
    made.add_done_callback(lambda done: done.cancelled() or done.exception())
    return made


class Intake:
    """The queue in front of `Shard.decide`."""

    def __init__(self, types: Mapping[str, type], timing: Timing, poison: Poison) -> None:
        self._types, self._timing, self._poison = types, timing, poison
        self._works: deque[Work] = deque()
        self.waiting_bytes = 0
        """Size of the records that are not taken yet."""
        self._taken: list[Work] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def waiting(self) -> int:
        """How many inputs are not taken yet."""
        return len(self._works)

    def submit(self, message: object) -> Future[None]:
        """Queue an input of this process; the future is done when its decision is committed."""
        committed = promise()
        self._works.append(Work(Received(message), committed))
        self._arrived.set()
        return committed

    async def wait(self, timeout_ms: int) -> None:
        """Wait until there is something to take, or for `timeout_ms`."""
        if self._works or timeout_ms <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await self._arrived.wait()
        except TimeoutError:
            return

    def take(self) -> list[Work]:
        """Return the inputs to decide next, at most a batch, to be settled before the next."""
        count = min(len(self._works), self._timing.batch_inputs_max)
        self._taken = [self._works.popleft() for _ in range(count)]
        if not self._works:
            self._arrived.clear()
        self.waiting_bytes -= sum(work.size_bytes for work in self._taken)
        if not self._is_full:
            self._room.set()
        return self._taken

    @property
    def _is_full(self) -> bool:
        return (
            len(self._works) >= self._timing.batch_inputs_max
            or self.waiting_bytes >= self._timing.waiting_bytes_max
        )

    def settle(self) -> None:
        """What was taken is committed."""
        taken, self._taken = self._taken, []
        for work in taken:
            work.settle()

    def wake(self) -> None:
        """Let `wait` return now."""
        self._arrived.set()

    async def pump(self, log: Log, topic: str, partition: int, offset: int) -> None:
        """Read `topic` from `offset` for as long as this leader leads."""
        tail = await log.tail(topic, partition, offset)
        try:
            while True:
                await self._room.wait()
                records = await tail.read(self._timing.batch_inputs_max, READ_TIMEOUT_MS)
                if records:
                    self._take_in(topic, records)
        finally:
            await tail.close()

    def _take_in(self, topic: str, records: Sequence[Stored]) -> None:
        for record in records:
            size_bytes = len(record.value or b"")
            self._works.append(Work(self._received(topic, record), size_bytes=size_bytes))
            self.waiting_bytes += size_bytes
        self._arrived.set()
        if self._is_full:
            self._room.clear()

    def _received(self, topic: str, record: Stored) -> Received:
        decoded = decode_message(record.value, record.headers, self._types)
        message = self._poison.get((topic, record.offset), decoded.message)
        return Received(message, topic, record.offset, decoded.origin, decoded.mark)

    def close(self, reason: Exception) -> None:
        """Tell all who wait that this leader will not commit what they asked for."""
        for work in (*self._taken, *self._works):
            work.settle(reason)
        self._works.clear()
