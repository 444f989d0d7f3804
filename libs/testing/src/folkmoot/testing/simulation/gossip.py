"""Gossip in a simulated world: late, doubled, re-ordered, lost, and cut off between processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random

from folkmoot.bus.ports import BusError, BusUnavailable, Gossiped, Handler, NoResponder, Responder
from folkmoot.bus.subjects import check_pattern, check_subject, matches
from folkmoot.testing.simulation.loop import SimulatedLoop
from folkmoot.testing.simulation.process import Process

LATENCY_S = (0.0001, 0.001)
SCATTER_S = 0.2
"""How much later than others a message may come while messages are re-ordered."""

Answer = asyncio.Future[bytes]
Receiver = Callable[[Gossiped, Answer | None], Awaitable[None]]


@dataclass
class Weather:
    """What becomes of messages: shares from 0 to 1."""

    loss: float = 0.0
    doubling: float = 0.0
    scatter: float = 0.0


class SimulatedNetwork:
    """Where the processes' gossips meet. `islands` are the processes that are cut off."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop, self.random = loop, random
        self.weather = Weather()
        self.islands: set[str] = set()
        self.subscriptions: dict[SimulatedSubscription, None] = {}
        self._turn = 0

    def join(self, process: Process) -> SimulatedGossip:
        """Return the gossip of a new process."""
        return SimulatedGossip(self, process)

    def leave(self, process: Process) -> None:
        """A process is gone, and its connection with it."""
        for subscription in tuple(self.subscriptions):
            if subscription.owner.process is process:
                del self.subscriptions[subscription]

    def heal(self) -> None:
        """Let all faults cease."""
        self.weather, self.islands = Weather(), set()

    def send(self, sender: Process, message: Gossiped, answer: Answer | None = None) -> bool:
        """Pass a message on to listeners and one responder; whether there was one."""
        found = [s for s in self.subscriptions if matches(s.pattern, message.subject)]
        for listener in found:
            if not listener.shared:
                self._carry(sender, listener, message, None)
        responders = [s for s in found if s.shared]
        if responders:
            self._turn += 1
            chosen = responders[self._turn % len(responders)]
            self._carry(sender, chosen, message, answer)
        return bool(found)

    def _carry(
        self,
        sender: Process,
        to: SimulatedSubscription,
        message: Gossiped,
        answer: Answer | None,
    ) -> None:
        random, weather = self.random, self.weather
        names = {sender.name, to.owner.process.name}
        if len(names & self.islands) == 1 or random.random() < weather.loss:
            return
        for _ in range(2 if random.random() < weather.doubling else 1):
            delay_s = random.uniform(*LATENCY_S)
            if random.random() < weather.scatter:
                delay_s += random.uniform(0, SCATTER_S)
            self.loop.later(delay_s, to.offer, message, answer)


class SimulatedSubscription:
    """The `Subscription` port: a queue, and the task of its process that empties it."""

    def __init__(
        self, owner: SimulatedGossip, pattern: str, receive: Receiver, *, shared: bool
    ) -> None:
        self.owner, self.pattern, self._receive, self.shared = owner, pattern, receive, shared
        self._queue: asyncio.Queue[tuple[Gossiped, Answer | None]] = asyncio.Queue()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def offer(self, message: Gossiped, answer: Answer | None) -> None:
        """A message arrives."""
        if self in self.owner.network.subscriptions:
            self._queue.put_nowait((message, answer))

    async def _run(self) -> None:
        while True:
            message, answer = await self._queue.get()
            try:
                await self._receive(message, answer)
            except BusError:
                continue  # an outage, which the port's adapters log and survive
            except Exception as error:
                told = {"message": "a handler of gossip failed", "exception": error}
                self.owner.network.loop.call_exception_handler(told)

    async def close(self) -> None:
        """See the port."""
        self.owner.network.subscriptions.pop(self, None)
        if asyncio.current_task() is not self._task:
            self._task.cancel()
            await asyncio.wait([self._task])


class SimulatedGossip:
    """The `Gossip` port of one process."""

    def __init__(self, network: SimulatedNetwork, process: Process) -> None:
        self.network, self.process = network, process

    def _check(self) -> None:
        if self.process.dead:
            raise BusUnavailable("this process is dead")

    async def publish(
        self, subject: str, data: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """See the port."""
        check_subject(subject)
        self._check()
        self.network.send(self.process, Gossiped(subject, data, headers or {}))

    async def subscribe(self, subject: str, handler: Handler) -> SimulatedSubscription:
        """See the port."""

        async def receive(message: Gossiped, _answer: Answer | None) -> None:
            await handler(message)

        return self._subscribed(subject, receive, shared=False)

    async def respond(self, subject: str, responder: Responder) -> SimulatedSubscription:
        """See the port."""

        async def receive(message: Gossiped, answer: Answer | None) -> None:
            data = await responder(message)
            network = self.network
            if answer is not None and network.random.random() >= network.weather.loss:
                network.loop.later(network.random.uniform(*LATENCY_S), _answer, answer, data)

        return self._subscribed(subject, receive, shared=True)

    def _subscribed(
        self, subject: str, receive: Receiver, *, shared: bool
    ) -> SimulatedSubscription:
        check_pattern(subject)
        self._check()
        made = SimulatedSubscription(self, subject, receive, shared=shared)
        self.network.subscriptions[made] = None
        return made

    async def request(self, subject: str, data: bytes, timeout_ms: int) -> bytes:
        """See the port."""
        check_subject(subject)
        self._check()
        answer: Answer = asyncio.get_running_loop().create_future()
        if not self.network.send(self.process, Gossiped(subject, data, {}), answer):
            raise NoResponder(f"nobody listens on {subject!r}")
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await answer
        except TimeoutError:
            raise NoResponder(f"nobody answered on {subject!r} in time") from None

    async def close(self) -> None:
        """See the port."""
        for subscription in tuple(self.network.subscriptions):
            if subscription.owner is self:
                await subscription.close()


def _answer(answer: Answer, data: bytes) -> None:
    if not answer.done():
        answer.set_result(data)
