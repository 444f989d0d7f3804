"""What a step waits for, in words, and how many sagas need care, in numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from saga_driver import Driver, step

from folkmoot.core.messages import Failure
from folkmoot.core.saga import SagaSettings, counts, find


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("breaker-open", "the breaker of worker to let it through"),
        ("overloaded", "room at the workers of worker"),
        ("limited", "a limit of worker to let it begin"),
        ("unknown-topic", "a worker that hosts worker"),
        ("something-new", "its agent to be let in again"),
    ],
)
def test_a_step_that_was_not_let_in_says_what_it_waits_for(kind: str, words: str) -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.fail("a", Failure(kind, "later"), status="refused")
    shown = find(driver.state, "s1")
    assert shown is not None
    (waiting,) = [each["waiting_for"] for each in shown["steps"] if each["id"] == "a"]
    assert waiting == words


def test_what_a_limit_holds_back_is_not_given_up_however_long() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=10_000))
    driver.open_with(step("a"))
    limited = Failure("limited", "later", retry_after_ms=3_000)
    for _ in range(20):
        driver.fail("a", limited, status="refused")
        driver.pass_time(4_000)
    assert driver.state.sagas["s1"].steps["a"].attempt == 1, "nor is an attempt used up"
    overloaded = replace(limited, kind="overloaded")
    for failure in (*[overloaded] * 3, limited, *[overloaded] * 3):
        driver.fail("a", failure, status="refused")
        assert driver.state.sagas, "patience counts from when no limit holds it back"
        driver.pass_time(4_000)
    driver.fail("a", overloaded, status="refused")
    assert driver.results[0].failed_step == "a"


def test_stuck_sagas_are_counted_until_they_go_on() -> None:
    driver = Driver(SagaSettings(stuck_after_attempts=1))
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    driver.fail("b")
    driver.fail("b", undo=True)
    assert counts(driver.state) == {
        "open": 1, "stuck": 1, "ready": 0, "queued": 0, "timers": 1, "remembered": 0,
    }  # fmt: skip
    driver.pass_time(60_000)
    driver.succeed("b", undo=True)
    assert counts(driver.state)["stuck"] == 0
    driver.succeed("a", undo=True)
    assert counts(driver.state) == {
        "open": 0, "stuck": 0, "ready": 0, "queued": 0, "timers": 0, "remembered": 1,
    }  # fmt: skip
