"""Who leads, from the compacted topic `folkmoot.leaders`: the truth, for whoever wants to know.

A replica of the election that was paused may still write an old record late, so the last record
that is read is not always the newest: `Leaders` keeps, for each team, the one decided last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from folkmoot.bus.ports import Bus, BusUnavailable, Stored, Tail
from folkmoot.contracts.envelope import decode_message
from folkmoot.core.kernel import NOTHING, Mark
from folkmoot.core.messages import LEADERS, Leader
from folkmoot.core.names import by_wire_name

READ_RECORDS_MAX = 1_000
READ_TIMEOUT_MS = 200
CHUNK = 100
"""Records that are taken in before anything else gets a turn."""

RETRY_S = 0.5

logger = logging.getLogger("folkmoot.election")

BEFORE_ALL = Mark(NOTHING, NOTHING)


class Leaders:
    """The newest record of each team, of those that `wanted` asks for; of all by default."""

    def __init__(self, wanted: Callable[[str], bool] = lambda _: True) -> None:
        self._wanted = wanted
        self._marks: dict[str, Mark] = {}
        self.of: dict[str, Leader] = {}

    def take(self, record: Stored) -> Leader | None:
        """Take in a record of the topic; what it says, if that is news."""
        if record.key is None or not self._wanted(record.key.decode("utf-8", "replace")):
            return None
        decoded = decode_message(record.value, record.headers, by_wire_name(Leader))
        leader, mark = decoded.message, decoded.mark
        if not isinstance(leader, Leader) or mark is None:
            return None
        if mark <= self._marks.get(leader.team, BEFORE_ALL):
            return None
        self._marks[leader.team], self.of[leader.team] = mark, leader
        return leader

    def forget(self, team: str) -> None:
        """Keep nothing of `team`; but what was old news stays old news."""
        self.of.pop(team, None)


async def read_leaders(bus: Bus) -> Mapping[str, Leader]:
    """Return who leads each team, as of now.

    Raises:
        UnknownTopic: Folkmoot has never been started on this bus.
    """
    leaders = Leaders()
    end = await bus.log.end_offset(LEADERS, 0)
    tail = await bus.log.tail(LEADERS, 0, 0)
    try:
        while tail.position < end:
            for record in await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS):
                leaders.take(record)
    finally:
        await tail.close()
    return leaders.of


async def follow_leaders(bus: Bus, leaders: Leaders | None = None) -> AsyncIterator[Leader]:
    """Yield who leads each team, and then every change of its record, as it comes.

    An outage of the bus is waited for, and nothing is missed.

    Raises:
        UnknownTopic: Folkmoot has never been started on this bus.
        BusUnavailable: it is away before anything was read.
    """
    leaders = leaders or Leaders()
    tail = await bus.log.tail(LEADERS, 0, 0)
    try:
        while True:
            records = await read_on(tail, "who leads")
            for number, record in enumerate(records, start=1):
                if (news := leaders.take(record)) is not None:
                    yield news
                if number % CHUNK == 0:
                    await asyncio.sleep(0)
    finally:
        await tail.close()


async def read_on(tail: Tail, what: str) -> Sequence[Stored]:
    """Return what comes next, however long the bus is away; `what` is not known meanwhile.

    The tail is kept: to open another is dear, and the less there is of something the less one
    should use of it.
    """
    while True:
        try:
            return await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS)
        except BusUnavailable as error:
            logger.warning("%s is not known now: %s", what, error)
            await asyncio.sleep(RETRY_S)
