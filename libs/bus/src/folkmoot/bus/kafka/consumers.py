"""Consumers, for what is asked rarely: where partitions end, and how far a group is.

Invariant: letting go of brokers raises nothing. Who does it is on the way to begin anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer

from folkmoot.bus.cancelling import begun, undisturbed
from folkmoot.bus.kafka.brokers import LOST, Brokers
from folkmoot.bus.kafka.clients import close_client
from folkmoot.bus.ports import BusUnavailable

log = logging.getLogger(__name__)


async def start_consumer(brokers: Brokers, **settings: Any) -> AIOKafkaConsumer:
    """Return a consumer that has reached a broker. It commits nothing by itself."""
    consumer = AIOKafkaConsumer(
        **brokers.client(enable_auto_commit=False, auto_offset_reset="none", **settings)
    )
    await begun(consumer.start(), lambda: _stop(consumer))
    return consumer


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, whatever became of its brokers."""
    with contextlib.suppress(BusUnavailable):
        await undisturbed(_stop(consumer))


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop it.

    aiokafka awaits the fetches that it cancels; one that had not begun then ends as if we had been
    cancelled, and leaves the connections open.
    """
    try:
        await consumer.stop()
    except (asyncio.CancelledError, *LOST) as error:
        log.debug("a consumer did not stop cleanly: %r", error)
        await close_client(consumer._client)
