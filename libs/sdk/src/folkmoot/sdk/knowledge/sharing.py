"""Shares knowledge over gossip: changes at once, digests every second, and what a peer lacks."""

from __future__ import annotations

import asyncio
import logging
from hashlib import blake2b
from typing import Any

import orjson

from folkmoot.bus.ports import Bus, BusError, Gossiped
from folkmoot.core.crdt import Crdt, LimitExceeded, MalformedState, Replica, from_json, parts_of
from folkmoot.sdk.knowledge.bound import BoundKnowledge
from folkmoot.sdk.knowledge.keeping import Keeper, read_all

DIGEST = "_digest"
DIGEST_EVERY_S = 1.0
"""How soon what gossip lost is noticed. Each replica is off the beat by a share of its own."""

logger = logging.getLogger(__name__)


class Knowledge:
    """One member's replica of everything that agents know together."""

    def __init__(self, bus: Bus, member: str) -> None:
        self._bus = bus
        self._token = member.replace(".", "_")
        self.replica = Replica(member)
        self._keeper = Keeper(bus, self.replica)
        self._untold: dict[str, Crdt] = {}
        self._news = asyncio.Event()
        self.malformed = 0

    def bound(self, *, saga: str, actor: str) -> BoundKnowledge:
        """Return the knowledge as one step sees it."""
        return BoundKnowledge(self.replica, saga, actor, self._changed)

    def _changed(self, document: str, delta: Crdt) -> None:
        self._keeper.changed(document, delta)
        self._tell(document, delta)

    def _tell(self, document: str, delta: Crdt) -> None:
        if document in self._untold:
            self._untold[document].merge(delta)  # type: ignore[arg-type]
        else:
            self._untold[document] = from_json(delta.to_json())
        self._news.set()

    async def flush(self) -> None:
        """Return when every local change so far is durable."""
        await self._keeper.flush()

    async def load(self) -> None:
        """Learn what is kept in the log."""
        for document, crdt in (await read_all(self._bus.log)).items():
            self._learn(document, crdt)

    async def run(self) -> None:
        """Share for as long as this runs."""
        subscription = await self._bus.gossip.subscribe("folkmoot.gossip.>", self._hear)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._tell_news())
                tasks.create_task(self._tell_digests())
        finally:
            await subscription.close()
            await self._keeper.close()

    # -- telling ----------------------------------------------------------------------------

    async def _tell_news(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            untold, self._untold = self._untold, {}
            for document, delta in untold.items():
                for part in parts_of(delta):
                    await self._publish(document, {"document": document, "delta": part.to_json()})

    async def _tell_digests(self) -> None:
        await asyncio.sleep(_share(self._token) * DIGEST_EVERY_S)
        while True:
            await self._publish(DIGEST, {"digest": self.replica.digest()})
            await asyncio.sleep(DIGEST_EVERY_S)

    async def _publish(self, token: str, body: dict[str, Any]) -> None:
        """Publish; what cannot be told now is told by a later digest."""
        try:
            subject = f"folkmoot.gossip.{self._token}.{token}"
            await self._bus.gossip.publish(subject, orjson.dumps(body))
        except BusError as error:
            logger.debug("gossip was not published: %s", error)

    # -- hearing ----------------------------------------------------------------------------

    async def _hear(self, message: Gossiped) -> None:
        _, _, sender, token = message.subject.split(".", 3)
        if sender == self._token:
            return
        try:
            body = orjson.loads(message.data)
            if token == DIGEST:
                self._answer(body["digest"])
            else:
                self._learn(body["document"], from_json(body["delta"]))
        except (orjson.JSONDecodeError, KeyError, TypeError, MalformedState, LimitExceeded) as bad:
            self.malformed += 1
            logger.warning("ignored gossip from %s: %s", sender, bad)

    def _learn(self, document: str, crdt: Crdt) -> None:
        try:
            self.replica.receive(document, crdt)
        except ValueError as bad:
            self.malformed += 1
            logger.warning("ignored what was said of document %r: %s", document, bad)

    def _answer(self, digest: Any) -> None:
        """Tell everybody what one peer lacks: likely it is not the only one."""
        for document, delta in self.replica.answer(digest).items():
            self._tell(document, delta)


def _share(token: str) -> float:
    """Return a fraction that differs between replicas."""
    return int.from_bytes(blake2b(token.encode(), digest_size=2).digest(), "big") / 65536
