"""What must go on for ever goes on soon after an outage, however long that took."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import Driver, step

from folkmoot.core.kernel import Tick
from folkmoot.core.messages import Failure
from folkmoot.core.saga import SagaSettings

OUTAGE_ATTEMPTS = 30
SOON_MS = SagaSettings().outage_wait_ms_max
BROKEN = Failure("broken", "no use", retryable=False)


def until_called_again(driver: Driver, *, undo: bool) -> int:
    """Return how long it takes until the next attempt of `a`."""
    began, calls = driver.now, len(driver.calls)
    while len(driver.calls) == calls:
        due = driver.shard.due()
        assert due is not None
        driver.now = max(driver.now, due)
        driver.give(Tick())
    assert driver.call("a", undo=undo) is driver.calls[-1]
    return driver.now - began


def undoing() -> Driver:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a", 1)
    driver.fail("b", BROKEN)
    driver.succeed("b", undo=True)
    return driver


def retriable() -> Driver:
    driver = Driver()
    driver.open_with(step("a", role="retriable"))
    return driver


CASES: list[Any] = [(undoing, True), (retriable, False)]


@pytest.mark.parametrize(("begin", "undo"), CASES)
def test_after_a_long_silence_the_next_attempt_is_seconds_away(begin: Any, undo: bool) -> None:
    driver = begin()
    timeout_ms = 1_000 + SagaSettings().answer_grace_ms
    waits = [until_called_again(driver, undo=undo) for _ in range(OUTAGE_ATTEMPTS)]
    assert max(waits) <= timeout_ms + SOON_MS
    assert max(waits) > timeout_ms + SOON_MS // 2, "it should still back off"
    driver.succeed("a", undo=undo)
    assert driver.state.stuck == {}


@pytest.mark.parametrize(("begin", "undo"), CASES)
def test_while_a_breaker_is_open_only_what_it_says_is_waited(begin: Any, undo: bool) -> None:
    driver = begin()
    for _ in range(OUTAGE_ATTEMPTS):
        later = Failure("breaker-open", "later", retry_after_ms=2_000)
        driver.fail("a", later, undo=undo, status="refused" if undo else "failed")
        assert 2_000 <= until_called_again(driver, undo=undo) <= 2_400


@pytest.mark.parametrize(("begin", "undo"), CASES)
def test_what_fails_of_itself_is_left_alone_for_longer(begin: Any, undo: bool) -> None:
    driver = begin()
    waits = []
    for _ in range(OUTAGE_ATTEMPTS):
        driver.fail("a", Failure("flaky", "it broke"), undo=undo)
        waits.append(until_called_again(driver, undo=undo))
    assert max(waits) > 4 * SOON_MS
