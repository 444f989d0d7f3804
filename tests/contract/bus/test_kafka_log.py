"""The log on Apache Kafka: the common behaviour, and what only a broker can suffer."""

from __future__ import annotations

import pytest

from folkmoot.bus.kafka import KafkaLog
from folkmoot.bus.ports import Log
from tests.contract.bus.log_behaviour import Connect, LogBehaviour


class TestKafkaLog(LogBehaviour):
    @pytest.fixture
    def connect(self, kafka_address: str) -> Connect:
        async def connect() -> Log:
            return await KafkaLog.connect([kafka_address])

        return connect
