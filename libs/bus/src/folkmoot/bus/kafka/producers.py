"""Idempotent producers: made, and got rid of even while they hold what cannot be delivered."""

from __future__ import annotations

import asyncio
import logging

from aiokafka import AIOKafkaProducer

from folkmoot.bus.cancelling import begun
from folkmoot.bus.kafka.brokers import LOST, Brokers
from folkmoot.bus.kafka.consumers import close_client

log = logging.getLogger(__name__)

LAST_WORDS_S = 1.0  # how long requests in flight may take once their producer is given up


async def start_producer(brokers: Brokers, batch_bytes: int) -> AIOKafkaProducer:
    """Return an idempotent producer that has reached a broker."""
    producer = AIOKafkaProducer(
        **brokers.client(
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=batch_bytes,
        )
    )
    async with asyncio.timeout(brokers.client()["request_timeout_ms"] / 1000):
        await begun(producer.start(), lambda: bury(producer))
    return producer


async def bury(producer: AIOKafkaProducer) -> None:
    """Stop a producer, whatever it holds: what is not delivered within `LAST_WORDS_S` is dropped.

    `AIOKafkaProducer.stop` alone waits until everything is delivered, which an idempotent producer
    tries for ever, and may end as if we had been cancelled, since it awaits the sender that it
    cancels. Cancelled, it leaves its sender running and its connections open.
    """
    sender = producer._sender.sender_task
    for _ in range(2):  # the second time, requests in flight are cancelled too
        if sender is not None and not sender.done():
            sender.cancel()
            await asyncio.wait([sender], timeout=LAST_WORDS_S)
    accumulator = producer._message_accumulator
    for batches in (*accumulator._batches.values(), tuple(accumulator._pending_batches)):
        for batch in batches:
            accumulator._pending_batches.add(batch)  # it is taken out there, also if it was already
            batch.done_noack()
    try:
        await producer.stop()
    except (asyncio.CancelledError, *LOST) as error:
        log.debug("a producer did not stop cleanly: %r", error)
        await close_client(producer.client)
