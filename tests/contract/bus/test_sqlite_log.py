"""The embedded log: the common behaviour, and what only a file can suffer."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot.bus.ports import Log
from folkmoot.bus.sqlite import SqliteLog
from tests.contract.bus.log_behaviour import Connect, LogBehaviour


class TestSqliteLog(LogBehaviour):
    @pytest.fixture
    def connect(self, tmp_path: Path) -> Connect:
        async def connect() -> Log:
            return await SqliteLog.open(tmp_path / "log.db")

        return connect
