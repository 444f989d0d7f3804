"""Time is virtual for the client's tests; others use threads."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from folkmoot.testing.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, type]:
    if item.path.stem == "test_client":
        return {"virtual": VirtualLoop}
    return {"real": asyncio.SelectorEventLoop}
