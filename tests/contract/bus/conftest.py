"""An embedded log, for the tests of what only a file can suffer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from folkmoot.bus.ports import Topic
from folkmoot.bus.sqlite import SqliteLog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = await SqliteLog.open(path)
    await log.create_topics([Topic("t", 2), Topic("c", 1, {"cleanup.policy": "compact"})])
    yield log
    await log.close()
