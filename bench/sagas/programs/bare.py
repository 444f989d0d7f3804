"""The bare loop: a saga's hops on aiokafka alone, with one process and one partition for a role.

    python -m bench.sagas.programs.bare orchestrator|breaker|worker SERVER whole|short
    python -m bench.sagas.programs.bare client SERVER whole|short

What is read together is decided together, appended to the role's log in as few batches as it fits,
and what follows from it is sent when the log is acknowledged. Nothing survives a crash, nobody
stands by, and a message that is read twice is decided twice.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable, Sequence
from itertools import groupby
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.sagas.loops import Load
from bench.sagas.programs.bare_saga import Decided, Message, Orchestrator, Role, relay, work
from bench.sagas.programs.driving import serve_until_the_end, start, take_orders

BATCH_BYTES = 512 * 1024
READ_RECORDS_MAX = 500
FETCH_BYTES = 4 * 1024 * 1024
RESULT_WITHIN_S = 60
ROLES = ("tasks", "orchestrator", "breaker", "team", "agent", "results")
LOGS = ("orchestrator-log", "breaker-log", "team-log", "agent-log")
CONTROL = orjson.dumps({"kind": "entry", "term": 3, "at": 1_800_000_000_000, "consumed": {"i": 1}})
HEADERS = [
    ("content-type", b"application/cloudevents+json"),
    ("ce_type", b"folkmoot.outcome.v1"),
    ("ce_id", b"folkmoot.agent.bench.log/0/123456/0"),
    ("origin", b"folkmoot.agent.bench.log/0"),
    ("mark", b"123456.0"),
]


def topics(variant: str) -> list[str]:
    """Return all topics of a variant."""
    return [f"bare-{variant}.{name}" for name in (*ROLES, *LOGS)]


def event(data: Any) -> Message:
    """Return a CloudEvent around `data`."""
    return {
        "specversion": "1.0",
        "id": "folkmoot.agent.bench.log/0/123456/0",
        "source": "folkmoot.agent.bench.log/0",
        "type": "folkmoot.outcome.v1",
        "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json",
        "data": data,
    }


class Lines:
    """The connections of one process, and how its variant writes records."""

    def __init__(self, server: str, variant: str) -> None:
        self._server, self._variant = server, variant
        self.whole = variant == "whole"

    async def producer(self) -> AIOKafkaProducer:
        """Return an idempotent producer, as Folkmoot's are."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._server,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
        )
        await producer.start()
        return producer

    async def consumer(self, *names: str) -> AIOKafkaConsumer:
        """Return a consumer of these topics from their ends on."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._server,
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        await consumer.start()
        consumer.assign([TopicPartition(f"bare-{self._variant}.{name}", 0) for name in names])
        await consumer.seek_to_end()
        return consumer

    def read(self, value: bytes) -> Message:
        """Return the message in a record."""
        body: Message = orjson.loads(value)
        return body["data"] if self.whole else body

    async def send(self, producer: AIOKafkaProducer, name: str, values: Iterable[Any]) -> list[Any]:
        """Send messages in as few batches as possible; return what tells that they landed."""
        if not self.whole:
            return await self._send(producer, name, [orjson.dumps(each) for each in values], [])
        encoded = [orjson.dumps(event(each)) for each in values]
        return await self._send(producer, name, encoded, HEADERS)

    async def append(
        self, producer: AIOKafkaProducer, log: str, entries: Sequence[list[Message]]
    ) -> None:
        """Append entries, one record each, and wait until they are acknowledged."""
        if self.whole:
            values = [orjson.dumps([event(each) for each in entry]) for entry in entries]
            headers = [("folkmoot", CONTROL), HEADERS[0]]
        else:
            values, headers = [orjson.dumps(entry) for entry in entries], []
        await asyncio.gather(*await self._send(producer, log, values, headers))

    async def _send(
        self, producer: AIOKafkaProducer, name: str, values: Sequence[bytes], headers: list[Any]
    ) -> list[Any]:
        sent, left = [], list(reversed(values))
        while left:
            batch = producer.create_batch()
            while left and _took(batch, left[-1], headers):
                left.pop()
            batch.close()
            topic = f"bare-{self._variant}.{name}"
            sent.append(await producer.send_batch(batch, topic, partition=0))
        return sent


def _took(batch: BatchBuilder, value: bytes, headers: list[Any]) -> bool:
    taken = batch.append(key=None, value=value, timestamp=None, headers=headers)
    return taken is not None


async def serve(lines: Lines, inboxes: Sequence[str], log: str, role: Role) -> None:
    """Decide whatever comes, in batches."""
    consumer = await lines.consumer(*inboxes)
    appending, emitting = await lines.producer(), await lines.producer()
    print("ready", flush=True)
    while True:
        decided = [role(message) for message in await _read(lines, consumer)]
        await lines.append(appending, log, [events for events, _ in decided])
        await emit(lines, emitting, decided)


async def _read(lines: Lines, consumer: AIOKafkaConsumer) -> list[Message]:
    fetched = await consumer.getmany(timeout_ms=1_000, max_records=READ_RECORDS_MAX)
    return [lines.read(record.value) for records in fetched.values() for record in records]


async def emit(lines: Lines, producer: AIOKafkaProducer, decided: Sequence[Decided]) -> None:
    """Send what follows, grouped by where it goes."""
    effects = sorted((each for _, some in decided for each in some), key=lambda each: each[0])
    for name, some in groupby(effects, key=lambda each: each[0]):
        await lines.send(producer, name, [message for _, message in some])


async def serve_calls(lines: Lines, name: str, ready: asyncio.Barrier) -> None:
    """Run calls: record that they begin, run them, record how they end, answer."""
    consumer = await lines.consumer(name)
    appending, emitting = await lines.producer(), await lines.producer()
    if await ready.wait() == 0:
        print("ready", flush=True)
    while True:
        calls = await _read(lines, consumer)
        if lines.whole:
            begun = [[{"accepted": call}, {"started": call["call_id"]}] for call in calls]
            await lines.append(appending, f"{name}-log", begun)
        outcomes = [work(call, lines.whole) for call in calls]
        if lines.whole:
            await lines.append(appending, f"{name}-log", [[each] for each in outcomes])
        answers = [("orchestrator", outcome) for outcome in outcomes]
        if lines.whole and name == "agent":
            answers += [("breaker", outcome) for outcome in outcomes]
        await emit(lines, emitting, [([], answers)])


class Submitter:
    """The driver: sends tasks together as they come, and hears of all ends."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._waiting: list[Message] = []
        self._sending: asyncio.Task[None] | None = None
        self._expected: dict[str, asyncio.Future[Message]] = {}

    async def open(self) -> None:
        """Begin to listen."""
        self._producer = await self._lines.producer()
        self._consumer = await self._lines.consumer("results")
        self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        while True:
            for result in await _read(self._lines, self._consumer):
                self._expected.pop(result["saga_id"]).set_result(result)

    async def run_saga(self, load: Load, number: int) -> None:
        """Submit a saga and see it end as its shape says."""
        saga_id = f"{number:020}"
        task = {"kind": "task", "saga_id": saga_id, "team": "bench", "n": number}
        self._waiting.append(task | {"shape": load.shape, "width": load.width})
        self._expected[saga_id] = asyncio.get_running_loop().create_future()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        async with asyncio.timeout(RESULT_WITHIN_S):
            result = await self._expected[saga_id]
        assert result["state"] == ("compensated" if load.shape == "undo" else "completed"), result

    async def _send(self) -> None:
        while self._waiting:
            tasks, self._waiting = self._waiting, []
            await asyncio.gather(*await self._lines.send(self._producer, "tasks", tasks))


async def main(role: str, server: str, variant: str) -> None:
    """Be one of the processes."""
    lines = Lines(server, variant)
    if role == "client":
        submitter = Submitter(lines)
        await submitter.open()
        await take_orders(submitter.run_saga)
    else:
        await serve_until_the_end(*_serving(lines, role))


def _serving(lines: Lines, role: str) -> list[Coroutine[Any, Any, None]]:
    if role == "orchestrator":
        machine = Orchestrator(lines.whole)
        return [serve(lines, ("tasks", "orchestrator"), "orchestrator-log", machine.decide)]
    if role == "breaker":
        return [serve(lines, ("breaker",), "breaker-log", relay)]
    both = ("team", "agent")
    ready = asyncio.Barrier(len(both))
    return [serve_calls(lines, name, ready) for name in both]


if __name__ == "__main__":
    start(main(*sys.argv[1:]))
