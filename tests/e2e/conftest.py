"""The whole platform as processes, started once a session for the tests that ask for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from folkmoot.cli.demo.platforms import QUICK_BREAKER
from folkmoot.cli.platform import options_for
from folkmoot.local.ports import free_port
from folkmoot.local.up import Running, up

T = TypeVar("T")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker("e2e")
            item.add_marker(pytest.mark.timeout(300))


def aside(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a loop of its own, whatever loop this thread may have."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def platform_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bus of Kafka, NATS and the four services, each a process."""
    folder = tmp_path_factory.mktemp("platform")
    options = options_for(folder, http_port=free_port(), any_port=True, settings=QUICK_BREAKER)

    async def start() -> Running:
        return await up(options)

    running = aside(start())
    yield options.bus
    aside(running.stop())
