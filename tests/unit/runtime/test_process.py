"""A service's process: what makes it begin anew, and what makes it give up."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot.bus.ports import AppendUncertain, Bus, BusError, BusUnavailable, TopicMismatch
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.process import EXIT_MISCONFIGURED, main
from folkmoot.runtime.service import Service
from folkmoot.runtime.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("folkmoot.runtime.process.CONNECT_RETRY_S", 0.0)
    return Settings(bus=f"embedded:{tmp_path / 'log.db'}", http_port=0)


class Beginning:
    """A bootstrap that fails in one way after the other."""

    def __init__(self, *failures: BusError) -> None:
        self.failures = list(failures)
        self.buses: list[Bus] = []

    async def __call__(self, bus: Bus, settings: Settings, clock: Clock) -> Service:
        self.buses.append(bus)
        raise self.failures.pop(0)


@pytest.mark.parametrize("passing", [BusUnavailable("gone"), AppendUncertain("cut off")])
def test_a_broker_that_is_lost_while_a_service_begins_is_waited_for(
    settings: Settings, passing: BusError
) -> None:
    beginning = Beginning(passing, TopicMismatch("wrong"))
    assert main(beginning, settings) == EXIT_MISCONFIGURED
    assert beginning.failures == []
    first, second = beginning.buses
    assert first is not second


def test_what_waiting_does_not_mend_ends_the_process(settings: Settings) -> None:
    beginning = Beginning(TopicMismatch("wrong"), BusUnavailable("never asked"))
    assert main(beginning, settings) == EXIT_MISCONFIGURED
    assert len(beginning.buses) == 1
