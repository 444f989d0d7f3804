"""Lets the writer's thread run although the event loop is busy.

Why: a thread that waits for the interpreter lock asks for it only after 5 ms without a release. A
busy event loop releases it at every `select`, for a microsecond: the waiting thread starts to wait
anew each time, and may starve for a second. Whoever blocks in a queue gives the lock away for good,
so the loop does that as soon as it finds the writer to have got nowhere.

Invariant: the loop blocks only while an append is overdue, and never longer than `GIVEN_S`.
"""

from __future__ import annotations

import asyncio
import queue

OVERDUE_S = 0.002  # several times what a group takes on a good disk
GIVEN_S = 0.002  # enough for a group that is not held up by the disk


class Handover:
    """Watches over the jobs between the loop, which `expects`, and the thread, which is `done`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._expected = 0
        self._done = 0
        self._wanted = False
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._watch: asyncio.TimerHandle | None = None

    def expect(self) -> None:
        """The loop has given the thread a job."""
        self._expected += 1
        if self._watch is None:
            self._watch = self._loop.call_later(OVERDUE_S, self._look, self._done)

    def done(self, jobs: int) -> None:
        """The thread has done so many jobs."""
        self._done += jobs
        if self._wanted:
            self._wanted = False
            self._signal.put(None)

    def _look(self, done: int) -> None:
        if done == self._done and done < self._expected:
            self._give_way()
        more = self._done < self._expected
        self._watch = self._loop.call_later(OVERDUE_S, self._look, self._done) if more else None

    def _give_way(self) -> None:
        self._wanted = True
        try:
            self._signal.get(timeout=GIVEN_S)
        except queue.Empty:
            self._wanted = False
