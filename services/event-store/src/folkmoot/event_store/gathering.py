"""Writes what was read of many logs into the index together.

A transaction costs as much as writing ten events, and a thread that is asked for anything as much
as reading a few. So what was read of all logs waits for a moment and then goes in at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from folkmoot.bus.ports import Stored
from folkmoot.contracts.codec import UnreadableRecord
from folkmoot.event_store.errors import IndexUnavailable
from folkmoot.event_store.following import Follower
from folkmoot.event_store.index import Index

GATHER_S = 0.1
"""Nobody waits for the index but who looks at it: it is so much older than the logs at the most."""

Read = tuple[Follower, Sequence[Stored], asyncio.Future[None]]
Problem = UnreadableRecord | IndexUnavailable | None


class Gathering:
    """What was read and is not written yet; at most one read of each log, since who reads waits."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._reads: list[Read] = []
        self._come = asyncio.Event()

    async def take(self, follower: Follower, records: Sequence[Stored]) -> None:
        """Have `follower` take `records` in, and return when they are written.

        Raises:
            UnreadableRecord: as `Follower.take_in` does.
            IndexUnavailable: it cannot be written now; go on from where the follower is later.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reads.append((follower, records, written))
        self._come.set()
        await written

    async def run(self) -> None:
        """Write for as long as this runs."""
        while True:
            await self._come.wait()
            await asyncio.sleep(GATHER_S)
            self._come.clear()
            reads, self._reads = self._reads, []
            problems = await asyncio.to_thread(self._write, reads)
            for (_, _, written), problem in zip(reads, problems, strict=True):
                if written.done():  # whoever waited was cancelled
                    continue
                if problem is None:
                    written.set_result(None)
                else:
                    written.set_exception(problem)

    def _write(self, reads: Sequence[Read]) -> Sequence[Problem]:
        """Write all `reads`; return what came of each. Blocks."""
        problems = [_take_in(follower, records) for follower, records, _ in reads]
        try:
            self._index.flush()
        except IndexUnavailable as problem:
            return [each or problem for each in problems]
        return problems


def _take_in(follower: Follower, records: Sequence[Stored]) -> Problem:
    try:
        follower.take_in(records)
    except (UnreadableRecord, IndexUnavailable) as problem:
        return problem
    return None
