"""Real brokers for the tests that ask for them, each started once a session.

To save their start while developing, name running ones in `FOLKMOOT_TEST_KAFKA` (HOST:PORT) and
`FOLKMOOT_TEST_NATS` (nats://HOST:PORT). Tests that break brokers start their own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

from folkmoot.local.kafka import KafkaServer
from folkmoot.local.nats import NatsServer
from folkmoot.local.processes import ManagedProcess
from folkmoot.local.supervisor import Supervisor

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "unshrunk",
    settings.get_profile("patient"),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
settings.load_profile("patient")  # a slow machine is no defect of what is tested

BROKERS = {"kafka_server", "kafka_address", "nats_server", "nats_address"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a broker, so that `-m "not kafka"` leaves them out."""
    for item in items:
        if BROKERS & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")


def run_aside(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` in a loop of its own, whatever loop this thread may have."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@contextmanager
def served(process: ManagedProcess, directory: Path) -> Iterator[None]:
    """Run a process under a supervisor, which stops it even if the test session is killed."""
    supervisor = Supervisor(directory)

    async def start() -> None:
        await supervisor.open()
        await supervisor.start(process)

    try:
        run_aside(start())
        yield
    finally:
        run_aside(supervisor.stop())


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaServer]:
    """The Kafka of this session. Leave it running: other tests use it too."""
    directory = tmp_path_factory.mktemp("kafka")
    server = KafkaServer(directory)
    with served(server, directory):
        yield server


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """The NATS of this session. Leave it running: other tests use it too."""
    directory = tmp_path_factory.mktemp("nats")
    server = NatsServer(directory)
    with served(server, directory):
        yield server


@pytest.fixture(scope="session")
def kafka_address(request: pytest.FixtureRequest) -> str:
    """HOST:PORT of a running Kafka."""
    named = os.environ.get("FOLKMOOT_TEST_KAFKA")
    return named or str(request.getfixturevalue("kafka_server").address)


@pytest.fixture(scope="session")
def nats_address(request: pytest.FixtureRequest) -> str:
    """The URL of a running NATS."""
    named = os.environ.get("FOLKMOOT_TEST_NATS")
    return named or str(request.getfixturevalue("nats_server").address)
