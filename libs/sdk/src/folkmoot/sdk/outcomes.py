"""How sagas end: heard as it is published, or asked of the orchestrator, which remembers it.

Invariant: nothing is missed. What is published before anybody waits for it is asked for; only the
saga that this client has just begun under a key that nobody else has is not asked after at once,
since its end cannot have been published before it was listened for.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from weakref import WeakValueDictionary

from pydantic import TypeAdapter

from folkmoot.bus.ports import Bus, BusError
from folkmoot.contracts.envelope import decode_message
from folkmoot.core.messages import TASK_RESULTS, TaskResult
from folkmoot.core.names import by_wire_name
from folkmoot.runtime.service import QueryError
from folkmoot.sdk.asking import ASK_AGAIN_S
from folkmoot.sdk.errors import NoAnswer
from folkmoot.sdk.queries import ask, partition_count

READ_RECORDS_MAX = 1_000
READ_TIMEOUT_MS = 500

_RESULT: TypeAdapter[TaskResult] = TypeAdapter(TaskResult)

logger = logging.getLogger("folkmoot")


class Outcomes:
    """The ends of sagas, for those who wait for them and for nobody else."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._expected: WeakValueDictionary[str, Future[TaskResult]] = WeakValueDictionary()
        self._tails: list[asyncio.Task[None]] = []
        self._beginning = asyncio.Lock()

    async def listen(self) -> None:
        """Follow what is published from now on.

        Raises:
            NoAnswer: Folkmoot has never been started on this bus.
        """
        async with self._beginning:
            if self._tails:
                return
            partitions = range(await partition_count(self._bus, TASK_RESULTS))
            ends = [await self._bus.log.end_offset(TASK_RESULTS, each) for each in partitions]
            self._tails = [
                asyncio.create_task(self._follow(partition, end))
                for partition, end in enumerate(ends)
            ]

    def expect(self, saga_id: str) -> Future[TaskResult]:
        """Return what is done when the end of `saga_id` is heard, for as long as it is kept."""
        new: Future[TaskResult] = asyncio.get_running_loop().create_future()
        return self._expected.setdefault(saga_id, new)

    async def asked(self, saga_id: str, partition: int) -> TaskResult:
        """Wait for the end of a saga that may be over already."""
        expected = self.expect(saga_id)
        if not expected.done():
            self._hear(await self._remembered(saga_id, partition))
        return await self.heard(expected, saga_id, partition)

    async def heard(self, expected: Future[TaskResult], saga_id: str, partition: int) -> TaskResult:
        """Wait for what was expected; ask now and then, since a word may be lost."""
        while True:
            await asyncio.wait([expected], timeout=ASK_AGAIN_S)
            if expected.done():
                return expected.result()
            self._hear(await self._remembered(saga_id, partition))

    async def close(self) -> None:
        """Follow no more."""
        for task in self._tails:
            task.cancel()
        await asyncio.gather(*self._tails, return_exceptions=True)

    async def _follow(self, partition: int, offset: int) -> None:
        types = by_wire_name(TaskResult)
        try:
            tail = await self._bus.log.tail(TASK_RESULTS, partition, offset)
            try:
                while True:
                    for record in await tail.read(READ_RECORDS_MAX, READ_TIMEOUT_MS):
                        self._hear(decode_message(record.value, record.headers, types).message)
            finally:
                await tail.close()
        except BusError as error:
            logger.info("results are asked for, since they cannot be followed: %s", error)

    def _hear(self, message: object) -> None:
        if not isinstance(message, TaskResult):
            return
        expected = self._expected.get(message.saga_id)
        if expected is not None and not expected.done():
            expected.set_result(message)

    async def _remembered(self, saga_id: str, partition: int) -> TaskResult | None:
        request = {"op": "outcome", "saga_id": saga_id}
        try:
            found = await ask(self._bus, "saga-orchestrator", partition, request)
        except (NoAnswer, QueryError):
            return None
        return None if found is None else _RESULT.validate_python(found)
