"""Time is virtual for the election service's tests."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from folkmoot.testing.virtual_time import VirtualLoop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, type]:
    return {"virtual": VirtualLoop}
