"""Idempotent producing: an identity that the brokers know, and a courier to each of them.

Numbering batches is its callers' part (`folkmoot.bus.kafka.appender`): per identity and partition
the brokers take each batch once, in the order of its first record's number (KIP-98).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import BrokerResponseError
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from folkmoot.bus.cancelling import leave
from folkmoot.bus.kafka.brokers import REQUEST_TIMEOUT_MS, Brokers
from folkmoot.bus.kafka.clients import (
    RETRY_S,
    check,
    close_client,
    is_passing,
    starting_client,
)
from folkmoot.bus.kafka.wire import Produced, produce_request, read_produced
from folkmoot.bus.ports import Record

REQUEST_BYTES = 16 * 1024 * 1024  # several of the largest batches; a broker takes 100 MB
SEQUENCES = 2**31  # numbers go round

Parcel = tuple[bytes, asyncio.Future[Produced]]
"""A batch, and where what became of it goes."""


class Producer:
    """One identity, and the connection on which it is used."""

    def __init__(self, client: AIOKafkaClient, identity: int, epoch: int) -> None:
        self.client = client
        self._identity, self._epoch = identity, epoch
        self._couriers: dict[int, Courier] = {}

    def encode(self, records: Sequence[Record], sequence: int) -> bytes:
        """Return `records` as one batch, whose first record has the number `sequence`."""
        batch = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=self._identity,
            producer_epoch=self._epoch,
            base_sequence=sequence,
            batch_size=REQUEST_BYTES,
        )
        for number, r in enumerate(records):
            taken = batch.append(number, None, r.key, r.value, list(r.headers))
            assert taken is not None, "a batch takes more than may be sent at once"
        return bytes(batch.build())

    async def produce(self, node: int, place: TopicPartition, batch: bytes) -> Produced:
        """Send `batch` to the broker `node`, with whatever else goes there; see `Courier`."""
        courier = self._couriers.get(node)
        if courier is None:
            courier = self._couriers[node] = Courier(self.client, node)
        return await courier.carry(place, batch)

    async def close(self) -> None:
        """Let go of the brokers. What is on its way may still land."""
        for courier in self._couriers.values():
            courier.stop()
        await close_client(self.client)


class Courier:
    """Carries batches to one broker: one request at a time, with all that has come meanwhile."""

    def __init__(self, client: AIOKafkaClient, node: int) -> None:
        self._client, self._node = client, node
        self._waiting: dict[TopicPartition, Parcel] = {}
        self._task: asyncio.Task[None] | None = None

    async def carry(self, place: TopicPartition, batch: bytes) -> Produced:
        """Send `batch` and return what became of it. A partition has one batch on its way.

        Raises:
            KafkaError, OSError, TimeoutError: nobody knows what became of it.
        """
        done: asyncio.Future[Produced] = asyncio.get_running_loop().create_future()
        self._waiting[place] = batch, done
        if self._task is None:
            self._task = leave(self._run())
        return await done

    def stop(self) -> None:
        """Carry nothing more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._carry(self._take())
        finally:
            self._task = None

    def _take(self) -> dict[TopicPartition, Parcel]:
        """Return what fits one request, by partition."""
        size, taken = 0, dict[TopicPartition, Parcel]()
        for place, (batch, done) in list(self._waiting.items()):
            size += len(batch)
            if taken and size > REQUEST_BYTES:
                break
            taken[place] = batch, done
            del self._waiting[place]
        return taken

    async def _carry(self, parcels: Mapping[TopicPartition, Parcel]) -> None:
        batches = {place: batch for place, (batch, _) in parcels.items()}
        try:
            request = produce_request(batches, REQUEST_TIMEOUT_MS)
            produced = read_produced(await self._client.send(self._node, request))
            for place, (_, done) in parcels.items():
                if not done.done():
                    done.set_result(produced[place])
        except Exception as error:  # whatever it was, those who wait must hear of it
            for _, done in parcels.values():
                if not done.done():
                    done.set_exception(error)


async def start_producer(brokers: Brokers) -> Producer:
    """Return a producer that has reached a broker and been given an identity."""
    async with starting_client(brokers) as client, asyncio.timeout(REQUEST_TIMEOUT_MS / 1000):
        return await _identified(client)


async def _identified(client: AIOKafkaClient) -> Producer:
    while True:
        answer = await client.send(client.get_random_node(), InitProducerIdRequest(None, 0))
        try:
            check(answer.error_code, "asking for a producer's identity")
            return Producer(client, answer.producer_id, answer.producer_epoch)
        except BrokerResponseError as error:
            if not is_passing(error):
                raise
        await asyncio.sleep(RETRY_S)
