"""Time is virtual here, except where the watchdog's thread is what is tested."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from folkmoot.testing.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, type]:
    if item.path.stem == "test_lease":
        return {"real": asyncio.SelectorEventLoop}
    return {"virtual": VirtualLoop}
