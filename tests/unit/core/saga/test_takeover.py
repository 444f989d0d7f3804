"""What fell due while nobody led is taken up little by little."""

from __future__ import annotations

from collections import Counter

from saga_driver import Driver, step

from folkmoot.core.kernel import Led, Tick
from folkmoot.core.saga import SagaSettings

SAGAS = 200
SETTINGS = SagaSettings()


def overdue(sagas: int) -> Driver:
    """Return a shard that nobody led while the time limits of its sagas passed."""
    driver = Driver()
    for number in range(sagas):
        driver.open_with(step("a"), saga_id=f"s{number}")
    driver.now += 60_000
    driver.give(Led("b", 1))
    return driver


def bursts(driver: Driver) -> dict[int, int]:
    """Let three seconds pass; when something was given up in them, and how much."""
    began, found = driver.now, Counter[int]()
    while (due := driver.shard.due()) is not None and due <= began + 3_000:
        driver.now = max(driver.now, due)
        given_up = [e for e in driver.give(Tick()) if type(e).__name__ == "CallAbandoned"]
        found[driver.now - began] += len(given_up)
    return {at: many for at, many in found.items() if many}


def test_after_a_change_of_leader_deadlines_take_effect_few_at_once_then_more() -> None:
    driver = overdue(SAGAS)
    at = SETTINGS.takeover_grace_ms
    expected = {at: 10, at + 100: 20, at + 200: 40, at + 300: 50, at + 400: 80}
    assert bursts(driver) == expected, "an entry has room for fifty"
    assert driver.replayed() == driver.state


def test_few_that_are_overdue_are_taken_up_together() -> None:
    assert bursts(overdue(5)) == {SETTINGS.takeover_grace_ms: 5}


def test_a_shard_that_has_been_led_for_a_while_is_not_held_back() -> None:
    driver = overdue(1)
    bursts(driver)
    driver.pass_time(SETTINGS.takeover_ramp_ms)
    for number in range(SAGAS):
        driver.open_with(step("a"), saga_id=f"t{number}")
    before = len(driver.cancels)
    driver.pass_time(1_000 + SETTINGS.answer_grace_ms)
    assert len(driver.cancels) - before >= SAGAS
