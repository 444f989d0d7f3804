"""What the election's log says of one member: which of its beats count, and when it was too late.

The log is the only place that is certain: it says which beats renewed the session before anybody
could be elected in its stead, and what became of each request. A member reads the shards that its
teams belong to, from the moment it takes part.

A reader that begins in the middle of a log does not know who leads it. It goes by terms: whoever
writes in a term has won it, so once it has seen one it drops what is older. A deposed leader may
be believed until its successor's first record. That is harmless: the successor extends every
session by a whole ttl in that record, so what its predecessor renewed before is still good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from folkmoot.bus.ports import Bus, BusError, Stored
from folkmoot.contracts.codec import UnreadableRecord, decode_control, decode_events
from folkmoot.core.kernel import NOTHING, Claim, Entry
from folkmoot.core.messages import log
from folkmoot.sdk.election.leaders import read_on

LOG = log("election")
RETRY_S = 0.2

_REJECTED = b"folkmoot.input-rejected."
_CONFIRMING = frozenset(
    f"folkmoot.session-{what}.v1" for what in ("opened", "renewed", "ttl-changed")
)

logger = logging.getLogger("folkmoot.election")


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The session was renewed by the beat of this number."""

    shard: int
    beat: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The session ended; nothing that was granted before `offset` counts."""

    shard: int
    offset: int


@dataclass(frozen=True, slots=True)
class Deposed:
    """Another leads `team` from the epoch `offset` on."""

    team: str
    offset: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A request was refused. `team` is empty for a beat, and `offset` set for what is malformed."""

    shard: int
    kind: str
    detail: str
    team: str = ""
    offset: int = NOTHING


Word = Confirmed | Ended | Deposed | Answered


class Confirmations:
    """Follows the election's log for one member, and tells `hear` what it says of it."""

    def __init__(self, bus: Bus, member: str, hear: Callable[[Word], None]) -> None:
        self._bus, self._member, self._hear = bus, member, hear
        self._following: dict[int, asyncio.Task[None]] = {}
        self._beginning = asyncio.Lock()

    async def follow(self, shard: int) -> None:
        """Return when all that the log will say of the future is going to be heard.

        Raises:
            BusError: the log cannot be read now.
        """
        async with self._beginning:
            if shard not in self._following:
                end = await self._bus.log.end_offset(LOG, shard)
                self._following[shard] = asyncio.create_task(self._run(shard, end))

    async def close(self) -> None:
        """Hear nothing more."""
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)

    async def _run(self, shard: int, offset: int) -> None:
        reader = _ShardReader(shard, self._member)
        while True:
            try:
                tail = await self._bus.log.tail(LOG, shard, offset)
                try:
                    while True:
                        for record in await read_on(tail, "what the election decided"):
                            offset = record.offset + 1
                            self._take(reader, record)
                finally:
                    await tail.close()
            except BusError as error:
                logger.warning("the election's log cannot be read now: %s", error)
                await asyncio.sleep(RETRY_S)

    def _take(self, reader: _ShardReader, record: Stored) -> None:
        try:
            for word in reader.words(record):
                self._hear(word)
        except (UnreadableRecord, KeyError, TypeError, ValueError) as error:
            logger.warning("offset %d of %s is passed over: %r", record.offset, LOG, error)


class _ShardReader:
    """Reads one shard's log from somewhere in the middle."""

    def __init__(self, shard: int, member: str) -> None:
        self._shard, self._member = shard, member
        self._quoted = f'"{member}"'.encode()
        self._term = NOTHING

    def words(self, stored: Stored) -> Iterator[Word]:
        """Yield what a record says of the member, if it counts."""
        record = decode_control(stored.headers)
        if isinstance(record, Claim):
            return
        self._term = max(self._term, record.term)
        value = stored.value or b""
        of_interest = self._quoted in value or _REJECTED in value
        if record.term < self._term or not isinstance(record, Entry) or not of_interest:
            return
        for event in decode_events(value):
            word = self._word(event["type"], event["data"], stored.offset)
            if word is not None:
                yield word

    def _word(self, kind: str, data: Mapping[str, Any], offset: int) -> Word | None:
        if kind == "folkmoot.input-rejected.v1":
            return Answered(self._shard, data["reason"], data["detail"], offset=data["offset"])
        if kind == "folkmoot.leader-elected.v1":
            gone = data["previous"] == self._member != data["leader"]
            return Deposed(data["team"], offset) if gone else None
        if data.get("member") != self._member:
            return None
        if kind in _CONFIRMING:
            return Confirmed(self._shard, data.get("beat", 0))
        if kind == "folkmoot.session-ended.v1":
            return Ended(self._shard, offset)
        if kind == "folkmoot.member-withdrew.v1":
            return Deposed(data["team"], offset)
        if kind == "folkmoot.request-refused.v1":
            return Answered(self._shard, data["reason"], data["detail"], data["team"])
        return None
