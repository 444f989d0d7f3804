"""Gossip inside one process: NATS's subjects and manners, without a server.

All who name the same embedded file in one event loop share one hub, so that a whole mesh in one
process gossips as it would over NATS.

Invariants:

- `publish` never waits and never fails; a subscriber that falls behind loses messages, counted.
- A subscription handles one message at a time, in the order of publishing.
- A handler's failure is logged, counted, and ends nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import weakref
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from folkmoot.bus.ports import (
    BusUnavailable,
    Gossiped,
    Handler,
    NoResponder,
    RecordTooLarge,
    Responder,
)
from folkmoot.bus.subjects import check_pattern, check_subject, matches

log = logging.getLogger(__name__)

PENDING_MESSAGES = 65_536  # what a subscription holds unhandled, as many as nats-py's
MESSAGE_LIMIT_BYTES = 1024 * 1024  # NATS's own default
ROUTES_REMEMBERED = 4_096  # subjects whose subscribers are known without matching again

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Answer = asyncio.Future[bytes]
Receiver = Callable[[Gossiped, Answer | None], Awaitable[None]]


class Hub:
    """Where the gossips of one embedded file meet."""

    def __init__(self) -> None:
        self.subscriptions: set[InProcessSubscription] = set()
        self._routes: dict[str, tuple[list[InProcessSubscription], list[InProcessSubscription]]]
        self._routes = {}
        self._turn = itertools.count()

    def changed(self) -> None:
        """Forget what was matched: a subscription came or went."""
        self._routes.clear()

    def send(self, message: Gossiped, answer: Answer | None = None) -> bool:
        """Hand `message` to its listeners and one responder; return whether there was one."""
        listeners, responders = self._route(message.subject)
        for listener in listeners:
            listener.offer(message, None)
        if responders:
            responders[next(self._turn) % len(responders)].offer(message, answer)
        return bool(listeners or responders)

    def _route(
        self, subject: str
    ) -> tuple[list[InProcessSubscription], list[InProcessSubscription]]:
        route = self._routes.get(subject)
        if route is None:
            route = ([], [])
            for subscription in self.subscriptions:
                if matches(subscription.pattern, subject):
                    route[subscription.shared].append(subscription)
            if len(self._routes) >= ROUTES_REMEMBERED:
                self._routes.clear()
            self._routes[subject] = route
        return route


_hubs: weakref.WeakKeyDictionary[
    asyncio.AbstractEventLoop, weakref.WeakValueDictionary[str, Hub]
] = weakref.WeakKeyDictionary()


def hub(name: str) -> Hub:
    """Return the running event loop's hub of that name."""
    hubs = _hubs.setdefault(asyncio.get_running_loop(), weakref.WeakValueDictionary())
    return hubs.setdefault(name, Hub())


class InProcessSubscription:
    """The `Subscription` port: a bounded queue, and the task that empties it."""

    def __init__(
        self, gossip: InProcessGossip, pattern: str, receive: Receiver, *, shared: bool
    ) -> None:
        self.pattern, self.shared = pattern, shared
        self._gossip, self._receive = gossip, receive
        self._busy = self._closed = False
        self._pending: asyncio.Queue[tuple[Gossiped, Answer | None]] = asyncio.Queue(
            PENDING_MESSAGES
        )
        self._task = asyncio.create_task(self._run(), name=f"gossip {pattern}")

    def offer(self, message: Gossiped, answer: Answer | None) -> None:
        """Queue `message`, or drop it if too many wait."""
        try:
            self._pending.put_nowait((message, answer))
        except asyncio.QueueFull:
            self._gossip.dropped += 1
            self._gossip.last_error = f"A handler of {self.pattern!r} is too slow: messages lost."

    async def close(self) -> None:
        """See the port. What waits is dropped, and requests among it are refused."""
        self._gossip.forget(self)
        self._closed = True
        while not self._pending.empty():
            message, answer = self._pending.get_nowait()
            _refuse(answer, f"The responder on {message.subject!r} has gone.")
        if not self._busy:
            self._task.cancel()
        if asyncio.current_task() is not self._task:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._closed:
            message, answer = await self._pending.get()
            self._busy = True
            try:
                await self._receive(message, answer)
            except Exception as error:
                log.exception("A handler of %s failed on %s", self.pattern, message.subject)
                self._gossip.errors += 1
                self._gossip.last_error = repr(error)
                _refuse(answer, f"The responder on {message.subject!r} failed: {error!r}")
            self._busy = False


class InProcessGossip:
    """The `Gossip` port on a hub.

    `errors` counts what went wrong and `last_error` says what it was last, for readiness and
    metrics; `dropped` counts messages lost to handlers that were too slow.
    """

    def __init__(self, hub_: Hub) -> None:
        self.errors = self.dropped = 0
        self.last_error: str | None = None
        self._hub = hub_
        self._own: set[InProcessSubscription] = set()
        self._closed = False

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return not self._closed

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """See the port."""
        self._hub.send(self._message(subject, data, headers))

    async def subscribe(self, subject: str, handler: Handler) -> InProcessSubscription:
        """See the port."""

        async def receive(message: Gossiped, _answer: Answer | None) -> None:
            await handler(message)

        return self._subscribed(subject, receive, shared=False)

    async def respond(self, subject: str, responder: Responder) -> InProcessSubscription:
        """See the port."""

        async def receive(message: Gossiped, answer: Answer | None) -> None:
            data = await responder(message)
            if answer is not None and not answer.done():
                answer.set_result(data)

        return self._subscribed(subject, receive, shared=True)

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """See the port. A responder that fails is reported at once."""
        answer: Answer = asyncio.get_running_loop().create_future()
        if not self._hub.send(self._message(subject, data), answer):
            raise NoResponder(f"Nobody listens on {subject!r}. Is the service running?")
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
        except TimeoutError:
            raise NoResponder(f"Nobody answered on {subject!r} within {timeout_ms} ms.") from None

    async def close(self) -> None:
        """See the port."""
        self._closed = True
        for subscription in tuple(self._own):
            await subscription.close()

    def forget(self, subscription: InProcessSubscription) -> None:
        """A subscription ends."""
        self._own.discard(subscription)
        self._hub.subscriptions.discard(subscription)
        self._hub.changed()

    def _subscribed(
        self, subject: str, receive: Receiver, *, shared: bool
    ) -> InProcessSubscription:
        check_pattern(subject)
        self._check_open()
        subscription = InProcessSubscription(self, subject, receive, shared=shared)
        self._own.add(subscription)
        self._hub.subscriptions.add(subscription)
        self._hub.changed()
        return subscription

    def _message(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> Gossiped:
        check_subject(subject)
        self._check_open()
        if len(data) > MESSAGE_LIMIT_BYTES:
            raise RecordTooLarge(
                f"A message of {len(data):,} bytes for {subject!r} is over the limit of "
                f"{MESSAGE_LIMIT_BYTES:,}. Send less, or send a reference."
            )
        return Gossiped(subject, data, headers or NO_HEADERS)

    def _check_open(self) -> None:
        if self._closed:
            raise BusUnavailable("This gossip is closed. Connect again.")


def _refuse(answer: Answer | None, why: str) -> None:
    if answer is not None and not answer.done():
        answer.set_exception(NoResponder(why))
