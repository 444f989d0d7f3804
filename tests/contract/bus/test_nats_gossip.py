"""Gossip on NATS: the common behaviour, and what only a server can suffer."""

from __future__ import annotations

import pytest

from folkmoot.bus.nats import NatsGossip
from tests.contract.bus.gossip_behaviour import Connect, Counted, GossipBehaviour


class TestNatsGossip(GossipBehaviour):
    @pytest.fixture
    def connect(self, nats_address: str) -> Connect:
        async def connect() -> Counted:
            return await NatsGossip.connect([nats_address])

        return connect
