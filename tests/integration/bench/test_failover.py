"""The fail-over benchmark's parts, each run once, so that they still measure what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bench.failover import echo, kernel
from bench.failover.contenders import Contenders
from bench.failover.platform import TTL_MS, Starter
from bench.failover.servers import Etcd, JetStream, etcd_program
from bench.failover.shards import joining
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus

INPUTS = 150  # more than one batch
SLOW_MS = 30_000  # whatever else the machine does


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:
        yield Starter(stack, tmp_path)


@pytest.fixture
async def bus(kafka_address: str, nats_address: str) -> AsyncIterator[Bus]:
    bus = await connect(f"kafka://{kafka_address}?nats={nats_address}")
    yield bus
    await bus.close()


async def test_what_the_kernel_costs(bus: Bus, kafka_address: str) -> None:
    await echo.create(bus, [echo.INBOX, echo.LOG, kernel.KERNEL, kernel.COPY], 1)
    await echo.fill_inbox(bus, 0, INPUTS)
    assert await kernel.kernel_alone(bus, 0, INPUTS) > 0
    assert await kernel.whole_loop(bus, 0, INPUTS) > 0
    assert await kernel.raw_client(kafka_address, 0, INPUTS) > 0
    assert await bus.log.end_offset(kernel.COPY, 0) == INPUTS


async def test_what_a_restore_costs(bus: Bus) -> None:
    few = "bench.few.log"
    await echo.create(bus, [few], 1)
    await echo.fill_log(bus, few, 1_200)
    assert await kernel.restore(bus, few, 1_200) > 0
    await kernel.take_snapshot(bus, few, 1_200)
    assert await kernel.restore(bus, few, 1_200) > 0


@pytest.mark.timeout(180)
async def test_a_service_that_is_killed_and_one_that_hands_over(start: Starter) -> None:
    bus, _, _ = await start.brokers()
    election = await start.shard(bus, "election", TTL_MS, joining)
    assert TTL_MS / 2 < await election.crash_idle() < SLOW_MS
    assert TTL_MS / 2 < await election.crash_busy() < SLOW_MS
    assert await election.hand_over() < SLOW_MS


@pytest.mark.parametrize("who_times", ["followers", "server"])
async def test_a_lease_in_nats(start: Starter, tmp_path: Path, who_times: str) -> None:
    server = JetStream(tmp_path / "nats")
    start.stack.push_async_callback(server.kill)
    await server.start()
    lease = (server.address, "bench", "MEMBER", "1", who_times)
    await _both_ways(await start.contenders("nats_lease", *lease))


async def test_an_election_in_etcd(start: Starter, tmp_path: Path) -> None:
    program = etcd_program()
    assert program is not None, "install etcd, or let apt-get fetch Debian's etcd-server"
    server = Etcd(program, tmp_path / "etcd")
    start.stack.push_async_callback(server.kill)
    await server.start()
    await _both_ways(await start.contenders("etcd_lease", server.url, "MEMBER", "1"))


async def _both_ways(contenders: Contenders) -> None:
    """A lease of a second outlives its holder by most of it, and a resignation by nothing."""
    assert 500 < await contenders.crash() < SLOW_MS
    assert await contenders.hand_over() < 500
