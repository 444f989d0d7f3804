"""The bus as one process sees it when its way to Kafka fails: errors, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from folkmoot.bus import AppendUncertain, Record, Topic
from folkmoot.bus.kafka import KafkaLog
from folkmoot.contracts.topics import CONFIGS
from tests.chaos.cluster import Cluster, free_ports
from tests.chaos.proxy import Link

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

TOPIC = Topic("t", 1, CONFIGS["log"])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One Kafka node, and the plan of a link to it."""
    cluster = Cluster.plan(tmp_path_factory.mktemp("kafka"), 1, ["link"], free_ports())
    (node,) = cluster.nodes
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, node.start()).result()
        yield cluster
        thread.submit(asyncio.run, node.kill()).result()


@pytest.fixture
async def link(cluster: Cluster) -> AsyncIterator[Link]:
    link = cluster.links["link"]
    await link.start()
    yield link
    await link.stop()


@pytest.fixture
async def log(cluster: Cluster, link: Link) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.connect(cluster.address_by("link").split(","))
    await log.create_topics([TOPIC])
    yield log
    await log.close()


@pytest.fixture
def complaints() -> list[dict[str, Any]]:
    """What the loop is told of tasks and callbacks that nobody looks after."""
    told: list[dict[str, Any]] = []
    asyncio.get_event_loop().set_exception_handler(lambda _, context: told.append(context))
    return told


@pytest.mark.parametrize("fail", [Link.cut, Link.deafen])
async def test_an_append_that_is_cut_off_is_uncertain_and_leaves_nothing_behind(
    log: KafkaLog,
    link: Link,
    complaints: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    fail: Any,
) -> None:
    monkeypatch.setattr("folkmoot.bus.kafka.appender.APPEND_TIMEOUT_S", 1.0)
    appender = await log.appender()
    before = await appender.append("t", 0, [Record(b"0")])
    fail(link)
    with pytest.raises(AppendUncertain):
        await appender.append("t", 0, [Record(b"1")])
    await appender.close()
    link.restore()
    another = await log.appender()
    assert await another.append("t", 0, [Record(b"2")]) - before in (1, 2)
    assert complaints == []


async def test_showing_progress_fetches_nothing(
    log: KafkaLog, complaints: list[dict[str, Any]]
) -> None:
    for offset in (1, 2):
        await log.commit("g", {("t", 0): offset})
        assert await log._committers["g"].getmany(timeout_ms=100) == {}
    assert complaints == []
