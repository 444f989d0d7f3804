"""Sends messages for a process that is no shard: a client, or a member talking of itself.

Such a message is not exactly once, since nothing remembers whether it was sent before; what it
asks for must be idempotent.
"""

from __future__ import annotations

import asyncio

from folkmoot.bus.ports import Appender, Bus, BusError, Record
from folkmoot.contracts.envelope import encode_message
from folkmoot.runtime.clock import Clock


class Postbox:
    """One sender's appender, opened when first needed and replaced after a failure."""

    def __init__(self, bus: Bus, source: str, clock: Clock) -> None:
        self._bus, self._source, self._clock = bus, source, clock
        self._appender: Appender | None = None
        self._opening = asyncio.Lock()
        self._sent = 0

    async def send(
        self, topic: str, partition: int, message: object, key: str, event_id: str | None = None
    ) -> int:
        """Send and wait until the message is durable.

        Returns:
            Its offset.

        Raises:
            TooLarge: the message is over the limit; nothing was sent.
            BusError: it could not be sent, or may or may not have been.
        """
        self._sent += 1
        value, headers = encode_message(
            message,
            event_id=event_id or f"{self._source}/{self._sent}",
            source=self._source,
            at=self._clock.now(),
        )
        appender = await self._open()
        try:
            return await appender.append(topic, partition, [Record(value, key.encode(), headers)])
        except BusError:
            await self.close()
            raise

    async def _open(self) -> Appender:
        async with self._opening:
            if self._appender is None:
                self._appender = await self._bus.log.appender()
            return self._appender

    async def close(self) -> None:
        """Let go of the appender; the next message opens another."""
        if self._appender is not None:
            appender, self._appender = self._appender, None
            await appender.close()
