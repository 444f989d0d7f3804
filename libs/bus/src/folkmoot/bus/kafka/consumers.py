"""Consumers that belong to no group: made, pointed at one partition, and stopped for good."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer

from folkmoot.bus.kafka.brokers import Brokers


async def start_consumer(brokers: Brokers, **settings: Any) -> AIOKafkaConsumer:
    """Return a consumer that has reached a broker. It commits nothing by itself."""
    consumer = AIOKafkaConsumer(
        **brokers.client(enable_auto_commit=False, auto_offset_reset="none", **settings)
    )
    try:
        await consumer.start()
    except BaseException:
        await stop_consumer(consumer)
        raise
    return consumer


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer.

    aiokafka awaits the fetches that it cancels; one that had not begun then ends as if we had
    been cancelled, and leaves the connections open.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
