"""A Kafka consumer group over one partition: whoever has the partition leads.

python -m bench.failover.peers.consumer_group SERVER TOPIC SESSION_MS
"""

from __future__ import annotations

import asyncio
import logging
import sys

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from bench.failover.peers.contender import Orders, say, say_leading


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells when the partition comes."""

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Nothing is to be finished."""

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Tell."""
        if assigned:
            say_leading()
        say("ready")


async def main(server: str, topic: str, session_ms: str) -> None:
    """Be a member until there is nobody to tell."""
    logging.disable(logging.WARNING)
    orders = Orders()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=server,
        group_id=f"{topic}-group",
        session_timeout_ms=int(session_ms),
        heartbeat_interval_ms=int(session_ms) // 3,
        retry_backoff_ms=20,
    )
    await consumer.start()
    consumer.subscribe([topic], listener=Listener())
    while not orders.resign.is_set():
        await consumer.getmany(timeout_ms=200)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
