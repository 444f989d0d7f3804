"""One member's replica of everything that agents know together, tied to the bus.

- A change is gossiped within milliseconds, and is durable when a flush has returned.
- What gossip loses is repaired by a summary a second, and by the log, which every replica reads
  on; so knowledge spreads while either bus works, and survives the loss of every agent.
- Nothing that others say ends anything here: it is counted in `problems` and ignored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar

import orjson

from folkmoot.bus.ports import Bus, BusError, Gossiped
from folkmoot.contracts import subjects
from folkmoot.core.crdt import Crdt, Message, Problem, Replica, encode
from folkmoot.sdk.knowledge.bound import BoundKnowledge
from folkmoot.sdk.knowledge.keeping import Keeper, keep_in_time
from folkmoot.sdk.knowledge.reading import Reader

C = TypeVar("C", bound=Crdt)

COALESCE_S = 0.005
"""How long changes wait for others to be told with: a message costs more than what it carries."""

ROUND_S = 1.0
"""How soon what gossip lost is noticed. Each member is off the beat by a share of its own."""

logger = logging.getLogger(__name__)


class Knowledge:
    """A replica. `member` must be new for each incarnation of a process: it makes the dots' ids."""

    def __init__(self, bus: Bus, member: str) -> None:
        self._bus, self._member = bus, member
        self.replica = Replica(member)
        self._reader = Reader(bus.log, self.replica)
        self._keeper = Keeper(bus.log, self.replica, self._reader)
        self._news = asyncio.Event()

    @property
    def problems(self) -> dict[str, int]:
        """How much of what others said could not be used, by kind of problem."""
        heard = {str(kind): count for kind, count in self.replica.problems.items()}
        return heard | {"unreadable": self._reader.unreadable}

    def bound(self, *, saga: str, actor: str) -> BoundKnowledge:
        """Return the knowledge as one step sees it: `actor` is the step's idempotency key."""
        return BoundKnowledge(self, saga, actor)

    def mutate(self, name: str, cls: type[C], change: Callable[[C], C]) -> None:
        """Change a document; tell of it soon, and keep it with the next flush."""
        self._keeper.changed(name, self.replica.mutate(name, cls, change))
        self._news.set()

    async def flush(self) -> None:
        """Return when every local change so far is durable.

        Raises:
            BusError: it could not be written; it will be tried again with the next flush.
        """
        await self._keeper.flush()

    async def load(self) -> None:
        """Learn what is kept in the log. See `catch_up`."""
        await self._reader.catch_up()

    async def catch_up(self) -> None:
        """Return when everything is known here that anybody had flushed before.

        Raises:
            BusError: the log cannot be read now.
        """
        await self._reader.catch_up()

    async def run(self) -> None:
        """Share for as long as this runs."""
        subscription = await self._bus.gossip.subscribe(subjects.GOSSIP, self._hear)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell())
                tasks.create_task(self._beat())
                tasks.create_task(self._reader.follow())
        finally:
            await subscription.close()
            await self._reader.close()
            await self._keeper.close()

    # -- telling ----------------------------------------------------------------------------

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(COALESCE_S)
            self._news.clear()
            for message in self.replica.take_messages():
                await self._publish(message)

    async def _publish(self, message: Message) -> None:
        """Publish; what cannot be told now is told when a later summary shows it is lacking."""
        try:
            subject = subjects.gossip(self._member, message.subject)
            await self._bus.gossip.publish(subject, orjson.dumps(encode(message)))
        except BusError as error:
            logger.debug("gossip was not published: %s", error)

    async def _beat(self) -> None:
        await asyncio.sleep(_share(self._member) * ROUND_S)
        while True:
            self.replica.begin_round()
            self._news.set()
            await keep_in_time(self._keeper)
            await asyncio.sleep(ROUND_S)

    # -- hearing ----------------------------------------------------------------------------

    async def _hear(self, message: Gossiped) -> None:
        sender = subjects.gossip_sender(message.subject)
        if sender == self._member:
            return
        problem = self.replica.hear(sender, _json(message.data))
        if problem is not None:
            self._report(sender, problem)
        if self.replica.has_news():
            self._news.set()

    def _report(self, sender: str, problem: Problem) -> None:
        """Log a problem, loudly the first time of its kind: a peer may repeat it every second."""
        first = self.replica.problems[problem.kind] == 1
        level = logging.WARNING if first else logging.DEBUG
        logger.log(level, "%s gossip from %s: %s", problem.kind, sender, problem.detail)


def _json(data: bytes) -> Any:
    """Return JSON values; None, which is no message, for what is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def _share(member: str) -> float:
    """Return a fraction that differs between members."""
    return int.from_bytes(blake2b(member.encode(), digest_size=2).digest(), "big") / 65536
