"""A service's process: what makes it begin anew, and what makes it give up."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from pathlib import Path

import pytest

from folkmoot.bus.addresses import BadAddress
from folkmoot.bus.credentials import Credentials
from folkmoot.bus.ports import AppendUncertain, Bus, BusError, BusUnavailable, TopicMismatch
from folkmoot.local.ports import free_port
from folkmoot.runtime.clock import Clock
from folkmoot.runtime.probe import asked as answer
from folkmoot.runtime.process import EXIT_MISCONFIGURED, FrontDesk, main
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


def test_a_process_is_alive_and_says_what_it_waits_for_before_a_broker_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    told: list[tuple[int, str]] = []

    async def connect(address: str, credentials: Credentials) -> Bus:
        if not told:
            told.append(await asyncio.to_thread(asked, port, "live"))
            raise BusUnavailable("nobody is at home")
        told.append(await asyncio.to_thread(asked, port, "ready"))
        raise BadAddress("enough")

    monkeypatch.setattr("folkmoot.runtime.process.CONNECT_RETRY_S", 0.0)
    monkeypatch.setattr("folkmoot.runtime.process.connect", connect)
    settings = Settings(bus="embedded:unused", http_port=port)
    assert main(Beginning(), settings) == EXIT_MISCONFIGURED
    (alive, _), (ready, why) = told
    assert alive == HTTPStatus.OK
    assert ready == HTTPStatus.SERVICE_UNAVAILABLE
    assert "nobody is at home" in why


def asked(port: int, question: str) -> tuple[int, str]:
    """Ask as a health check does, again until the port is open."""
    for _ in range(500):
        try:
            return answer(port, f"/health/{question}")
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise AssertionError("the port never opened")


def test_before_a_service_begins_there_are_no_metrics_and_no_readiness() -> None:
    desk = FrontDesk()
    assert list(desk.collect()) == []
    assert not desk.health().ready
