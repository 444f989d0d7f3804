"""One connection to the brokers: opened, told who leads what, and closed.

Invariant: letting go of brokers raises nothing. Who does it is on the way to begin anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaConnectionError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from folkmoot.bus.cancelling import begun, leave
from folkmoot.bus.kafka.brokers import LOST, Brokers

RETRY_S = 0.1  # before a request is sent again: brokers that fail over have more to do

log = logging.getLogger(__name__)


@asynccontextmanager
async def starting_client(brokers: Brokers) -> AsyncIterator[AIOKafkaClient]:
    """Give a client that has reached a broker, to be made ready; closed unless that succeeds."""
    client = AIOKafkaClient(**brokers.client())
    await begun(client.bootstrap(), lambda: close_client(client))
    try:
        yield client
    except BaseException:
        leave(close_client(client))
        raise


async def close_client(client: AIOKafkaClient) -> None:
    """Close a client's connections, also when its task that looks after the metadata has failed.

    aiokafka tells of such a failure when it is closed, and closes nothing then.
    """
    try:
        await client.close()
    except LOST as error:
        log.debug("a client's metadata were not kept up: %r", error)
        client._sync_task = None
        await client.close()


async def leader_of(client: AIOKafkaClient, place: TopicPartition, timeout_s: float) -> int:
    """Return the broker that leads `place`, asking until there is one.

    Raises:
        UnknownTopicOrPartitionError: none was heard of within `timeout_s`.
        TopicAuthorizationFailedError: this user may not know.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    while (node := led_by(client, place)) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise UnknownTopicOrPartitionError(f"{place.topic!r}, partition {place.partition}")
        await refresh(client, place.topic, timeout_s)
        if place.topic in client.cluster.unauthorized_topics:
            raise TopicAuthorizationFailedError(place.topic)
        if led_by(client, place) is None:
            await asyncio.sleep(RETRY_S)
    return node


def led_by(client: AIOKafkaClient, place: TopicPartition) -> int | None:
    """Return the broker that leads `place`, as far as is known."""
    node: int | None = client.cluster.leader_for_partition(place)
    return None if node is None or node < 0 else node


async def refresh(client: AIOKafkaClient, topic: str, timeout_s: float) -> None:
    """Ask the brokers again where everything is, `topic` included.

    Raises:
        KafkaConnectionError: the client does not ask any more; it is of no use.
        TimeoutError: no broker said so within `timeout_s`.
    """
    if client._sync_task is None or client._sync_task.done():
        raise KafkaConnectionError("this client has stopped asking where its brokers are")
    client._topics.add(topic)
    async with asyncio.timeout(timeout_s):
        await client.force_metadata_update()


def check(code: int, what: str) -> None:
    """Raise what a broker's error `code` says of `what` was asked for; 0 says that it is done."""
    if code:
        raise for_code(code)(what)


def is_passing(error: BaseException) -> bool:
    """Whether to ask again: whoever lost a broker may reach it, or its successor, in a moment."""
    return bool(getattr(error, "retriable", True))
