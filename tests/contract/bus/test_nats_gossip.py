"""Gossip on NATS: the common behaviour, and what only a server can suffer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from folkmoot.bus.nats import NatsGossip
from folkmoot.bus.ports import BusUnavailable
from folkmoot.local.nats import NatsServer
from folkmoot.testing.eventually import eventually
from tests.contract.bus.gossip_behaviour import Connect, Counted, GossipBehaviour, Inbox


class TestNatsGossip(GossipBehaviour):
    @pytest.fixture
    def connect(self, nats_address: str) -> Connect:
        async def connect() -> Counted:
            return await NatsGossip.connect([nats_address])

        return connect


async def test_it_outlives_its_server(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    await server.start()
    try:
        gossip, other = [await NatsGossip.connect([server.address]) for _ in "ab"]
        inbox = Inbox()
        await other.subscribe("news", inbox)
        await server.kill()
        await eventually(lambda: not gossip.connected and not other.connected)
        await gossip.publish("news", b"while it is away")
        later = asyncio.create_task(other.subscribe("late", inbox))
        await eventually(lambda: gossip.errors > 0 and gossip.last_error is not None)
        await server.start()
        await eventually(lambda: gossip.connected and other.connected)
        await later
        await gossip.publish("news", b"back")
        await gossip.publish("late", b"heard")
        await eventually(lambda: {b"back", b"heard"} <= {m.data for m in inbox.messages})
        await gossip.close()
        await other.close()
    finally:
        await server.stop()


async def test_a_full_buffer_is_reported_while_the_server_is_away(tmp_path: Path) -> None:
    server = NatsServer(tmp_path)
    await server.start()
    try:
        gossip = await NatsGossip.connect([server.address])
        await server.kill()
        await eventually(lambda: not gossip.connected)
        with pytest.raises(BusUnavailable, match="NATS cannot be reached"):
            await asyncio.gather(*(gossip.publish("news", b"x" * 900_000) for _ in range(10)))
        await gossip.close()
    finally:
        await server.stop()
