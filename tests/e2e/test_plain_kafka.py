"""A user of plain Kafka: no SDK, any client, a CloudEvent in and a CloudEvent out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from folkmoot.cli.demo.platforms import APP
from folkmoot.cli.platform import member_process

pytestmark = pytest.mark.kafka


def task(event_id: str, team: str = "dossier", **fields: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": "/tests/plain-kafka",
        "type": "folkmoot.task.v1",
        "data": {"team": team, "input": fields},
    }


class PlainUser:
    """A bare producer, and bare consumers of results and dead letters from now on."""

    def __init__(self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer) -> None:
        self._producer, self._consumer = producer, consumer

    async def publish(self, value: Any, key: str) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        await self._producer.send_and_wait("folkmoot.tasks", body, key=key.encode())

    async def next_of(self, topic: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            async for record in self._consumer:
                if record.topic == topic:
                    found: dict[str, Any] = json.loads(record.value)["data"]
                    return found
        raise AssertionError("unreachable")


@asynccontextmanager
async def plain_user(kafka: str) -> AsyncIterator[PlainUser]:
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer(
        "folkmoot.task-results", "folkmoot.dead-letters", bootstrap_servers=kafka
    )
    await producer.start()
    await consumer.start()
    await consumer.seek_to_end()
    try:
        yield PlainUser(producer, consumer)
    finally:
        await consumer.stop()
        await producer.stop()


@pytest.fixture
def kafka(platform_address: str) -> str:
    return platform_address.removeprefix("kafka://").partition("?")[0]


async def test_a_cloudevent_starts_a_saga_and_its_outcome_comes_back(
    tmp_path: Path, platform_address: str, kafka: str
) -> None:
    member = member_process("member-plain", APP, platform_address, tmp_path)
    await member.start()
    try:
        async with plain_user(kafka) as user:
            asked = task("plain-1", out=str(tmp_path / "dossier"))
            await user.publish(asked, "plain-1")
            outcome = await user.next_of("folkmoot.task-results")
            assert (outcome["state"], outcome["team"]) == ("completed", "dossier")
            assert outcome["result"]["html"] == str(tmp_path / "dossier" / "dossier.html")
            await user.publish(asked, "plain-1")
            again = await user.next_of("folkmoot.task-results")
            assert again == outcome
    finally:
        await member.stop()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not json", "not-json"),
        (b"[1, 2]", "not-a-cloudevent"),
        ({"specversion": "1.0", "id": "x", "source": "/t", "type": "no.such", "data": {}},
         "unknown-type"),
        ({"specversion": "1.0", "id": "x", "source": "/t", "type": "folkmoot.task.v1",
          "data": {"input": 1}}, "invalid"),
        (task("x", padding="x" * 600_000), "too-large"),
    ],
    ids=["not-json", "not-a-cloudevent", "unknown-type", "no-team", "too-large"],
)  # fmt: skip
async def test_what_is_no_task_is_a_dead_letter_and_the_next_task_is_taken(
    platform_address: str, kafka: str, value: Any, reason: str
) -> None:
    async with plain_user(kafka) as user:
        await user.publish(value, "same-partition")
        await user.publish(task("after", team="no-such-team"), "same-partition")
        letter = await user.next_of("folkmoot.dead-letters")
        assert letter["reason"] == reason
        assert letter["detail"]
        assert letter["topic"] == "folkmoot.tasks"
        following = await user.next_of("folkmoot.dead-letters")
        assert following["reason"] == "unknown-team"


async def test_an_unknown_team_is_refused_with_a_sentence(
    platform_address: str, kafka: str
) -> None:
    async with plain_user(kafka) as user:
        await user.publish(task("unknown-1", team="nobody"), "unknown-1")
        outcome = await user.next_of("folkmoot.task-results")
        assert outcome["state"] == "refused"
        assert "folkmoot worker" in outcome["failure"]["detail"]
