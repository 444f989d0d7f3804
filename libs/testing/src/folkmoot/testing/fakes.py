"""Gossip in memory that loses, doubles and delays messages as its seed has it.

It is the `Gossip` port without its requests, for tests of what must repair itself. For a log see
`folkmoot.testing.faulty_log`; for gossip without faults, the embedded adapters are quicker to use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from folkmoot.bus.ports import BusUnavailable, Gossiped, Handler, NoResponder, Responder
from folkmoot.bus.subjects import check_pattern, check_subject, matches


@dataclass
class Faults:
    """What becomes of messages: shares from 0 to 1. The same seed gives the same fate."""

    seed: int = 0
    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311, nothing here is secret

    def copies(self) -> int:
        """Return how often the next message arrives."""
        if self.random.random() < self.loss:
            return 0
        return 2 if self.random.random() < self.doubling else 1

    def is_delayed(self) -> bool:
        """Whether the next message arrives after the one that follows it."""
        return self.random.random() < self.delay


class FakeHub:
    """Where fake gossips meet. `faults` may be changed at any time."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.sent: list[Gossiped] = []
        self.subscriptions: set[FakeSubscription] = set()

    def connect(self) -> FakeGossip:
        """Return a new member's gossip."""
        return FakeGossip(self)


class FakeSubscription:
    """The `Subscription` port."""

    def __init__(self, owner: FakeGossip, pattern: str, handler: Handler) -> None:
        self.owner, self.pattern, self._handler = owner, pattern, handler
        self._queue: asyncio.Queue[Gossiped] = asyncio.Queue()
        self._held: list[Gossiped] = []
        self._task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, message: Gossiped, faults: Faults) -> None:
        """Let the message arrive as often, and as late, as the faults have it."""
        held, self._held = self._held, []
        copies = [message] * faults.copies()
        if copies and faults.is_delayed():
            self._held = copies
            copies = []
        for each in [*copies, *held]:
            self._queue.put_nowait(each)

    async def _run(self) -> None:
        while True:
            await self._handler(await self._queue.get())

    async def close(self) -> None:
        """See the port."""
        self.owner.hub.subscriptions.discard(self)
        self._task.cancel()
        await asyncio.wait([self._task])


class FakeGossip:
    """The `Gossip` port. While `offline`, nothing can be sent, and nothing arrives."""

    def __init__(self, hub: FakeHub) -> None:
        self.hub = hub
        self.offline = False

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """See the port."""
        check_subject(subject)
        if self.offline:
            raise BusUnavailable("This member is offline.")
        message = Gossiped(subject, data, headers or {})
        self.hub.sent.append(message)
        for subscription in tuple(self.hub.subscriptions):
            if matches(subscription.pattern, subject) and not subscription.owner.offline:
                subscription.offer(message, self.hub.faults)

    async def subscribe(self, subject: str, handler: Handler) -> FakeSubscription:
        """See the port. A handler that raises ends its subscription: a test should not miss it."""
        check_pattern(subject)
        subscription = FakeSubscription(self, subject, handler)
        self.hub.subscriptions.add(subscription)
        return subscription

    async def respond(self, subject: str, responder: Responder) -> FakeSubscription:
        """See the port; requests are not part of this fake."""
        raise NoResponder("Fake gossip has no requests: use the embedded adapter.")

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """See the port; requests are not part of this fake."""
        raise NoResponder("Fake gossip has no requests: use the embedded adapter.")

    async def close(self) -> None:
        """See the port."""
        for subscription in tuple(self.hub.subscriptions):
            if subscription.owner is self:
                await subscription.close()
