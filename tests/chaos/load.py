"""What is asked of the platform while things go wrong: sagas, and events for streams.

Some sagas are doomed, some are cancelled. What fails is tried again under the same key until it is
acknowledged; only then may it not be lost.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from folkmoot import Client
from folkmoot.bus import Bus, BusError
from folkmoot.contracts.envelope import decode_message
from folkmoot.core.messages import TASK_RESULTS, NewEvent, TaskResult
from folkmoot.core.names import by_wire_name
from folkmoot.sdk.client import Saga
from folkmoot.sdk.errors import ControlRefused, NoAnswer
from tests.chaos.agents import TEAM, Order

TRY_AGAIN_S = 0.2
OPEN_MAX = 60
"""Sagas under way at a time: an outage is not to end in a flood."""

DOOMED, CANCELLED = 0.25, 0.1
STREAMS = 7


@dataclass(frozen=True)
class Submitted:
    """A saga that was acknowledged."""

    saga_id: str
    order: Order
    cancelled: bool


@dataclass
class Load:
    """Submits sagas at a steady rate and watches them end."""

    bus: Bus
    seed: int
    per_second: float
    submitted: dict[str, Submitted] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)

    async def run(self, enough: asyncio.Event) -> None:
        """Submit until `enough`, and watch until cancelled."""
        async with Client.on(self.bus) as client, asyncio.TaskGroup() as group:
            for partition in range((await self.bus.log.topics())[TASK_RESULTS]):
                group.create_task(self._watch(partition))
            drawn = random.Random(self.seed)
            number = 0
            while not enough.is_set():
                if number - len(self.ended) < OPEN_MAX:
                    order = Order(number=number, doomed=drawn.random() < DOOMED)
                    cancelled = drawn.random() < CANCELLED
                    group.create_task(self._submit(client, order, cancelled))
                    group.create_task(self._append(client, number))
                    number += 1
                await asyncio.sleep(1 / self.per_second)

    @property
    def open_sagas(self) -> set[str]:
        """The sagas that were acknowledged and of which no end was heard."""
        return set(self.submitted) - self.ended

    @property
    def open_appends(self) -> set[str]:
        """The appends that were not answered."""
        return self.asked - self.answered

    async def _submit(self, client: Client, order: Order, cancelled: bool) -> None:
        key = f"{self.seed}-{order.number}"
        saga = None
        while saga is None:
            try:
                saga = await client.submit(TEAM, order, idempotency_key=key)
            except (BusError, NoAnswer):
                await asyncio.sleep(TRY_AGAIN_S)
        self.submitted[saga.saga_id] = Submitted(saga.saga_id, order, cancelled)
        if cancelled:
            await self._cancel(saga)

    async def _cancel(self, saga: Saga) -> None:
        while True:
            try:
                await saga.cancel("chaos", "as drawn")
            except (BusError, NoAnswer):
                await asyncio.sleep(TRY_AGAIN_S)
            except ControlRefused:
                return
            else:
                return

    async def _append(self, client: Client, number: int) -> None:
        request, events = f"{self.seed}-{number}", [NewEvent("chaos.noted.v1", number)]
        self.asked.add(request)
        while request not in self.answered:
            try:
                await client.append(f"chaos-{number % STREAMS}", events, request_id=request)
            except (BusError, NoAnswer):
                await asyncio.sleep(TRY_AGAIN_S)
            else:
                self.answered.add(request)

    async def _watch(self, partition: int) -> None:
        offset = 0
        while True:
            try:
                tail = await self.bus.log.tail(TASK_RESULTS, partition, offset)
                try:
                    while True:
                        for record in await tail.read(1_000, 200):
                            self._hear(record.value, record.headers)
                        offset = tail.position
                finally:
                    await tail.close()
            except BusError:
                await asyncio.sleep(TRY_AGAIN_S)

    def _hear(self, value: bytes | None, headers: tuple[tuple[str, bytes], ...]) -> None:
        heard = decode_message(value, headers, by_wire_name(TaskResult)).message
        if isinstance(heard, TaskResult):
            self.ended.add(heard.saga_id)
