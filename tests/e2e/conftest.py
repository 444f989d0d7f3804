"""What the end-to-end tests share."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.nodeid:
            item.add_marker("e2e")
            item.add_marker(pytest.mark.timeout(300))
