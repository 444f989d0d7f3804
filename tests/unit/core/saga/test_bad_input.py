"""Bad input, each with its error; and whatever it is, the sagas beside it lose nothing by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from saga_driver import TEAM, Driver, outcome, step

from folkmoot.core.messages import (
    AnswerQuestion,
    CallProgress,
    CancelSaga,
    Failure,
    RetryStep,
    SkipStep,
    Task,
)
from folkmoot.core.saga import SagaSettings
from folkmoot.core.undelivered import answers

SETTINGS = SagaSettings(steps_max=3)
HASH = "0" * 32


def planned(*steps: Any, **fields: Any) -> Callable[[Driver], None]:
    """Return a task whose leader plans so."""

    def play(driver: Driver) -> None:
        driver.give(Task(TEAM, None, "bad", **fields))
        driver.succeed("plan", list(steps), saga_id="bad")

    return play


def given(message: object) -> Callable[[Driver], None]:
    return lambda driver: driver.give(message)  # type: ignore[return-value]


def twice(driver: Driver) -> None:
    """Answer a step once more, and otherwise, when its saga has gone on."""
    driver.open_with(step("a"), step("b", "a"), saga_id="bad")
    answer = outcome(driver.call("a", saga_id="bad"), result=1)
    driver.give(answer)
    driver.give(replace(answer, result=2))


def stale(driver: Driver) -> None:
    """Answer an attempt that was given up, when the next is under way."""
    retry = {"attempts": 2, "initial_ms": 1, "factor": 1.0, "cap_ms": 1}
    driver.open_with(step("a", retry=retry), saga_id="bad")
    first = driver.call("a", saga_id="bad")
    driver.give(outcome(first, status="failed", failure=Failure("flaky", "again")))
    driver.pass_time(10)
    driver.give(outcome(first, result="too late"))


def too_large(driver: Driver) -> None:
    """Have a call answered that no topic takes."""
    driver.open_with(step("a"), saga_id="bad")
    for _, answer in answers(driver.call("a", saga_id="bad"), "too-large", "over the limit"):
        driver.give(answer)


def definition_missing(driver: Driver) -> None:
    driver.give(Task(TEAM, None, "bad", definition="refund"))
    missing = Failure("unknown-definition", "team has no saga 'refund'", retryable=False)
    driver.give(outcome(driver.call("plan", saga_id="bad"), status="failed", failure=missing))


def told(driver: Driver) -> str | None:
    """Return the kind of the failure with which the bad saga ended, if it has."""
    results = [each for each in driver.results if each.saga_id == "bad"]
    return results[-1].failure.kind if results and results[-1].failure else None


def refusal(driver: Driver) -> str | None:
    """Return the kind of the refusal of the last request."""
    failure = getattr(driver.log[-1].events[-1], "failure", None)
    return failure.kind if failure else None


def ignored(driver: Driver) -> str:
    return type(driver.log[-1].events[-1]).__name__


TABLE: dict[str, tuple[Callable[[Driver], None], Callable[[Driver], Any], str]] = {
    "cycle": (planned(step("a", "b"), step("b", "a")), told, "invalid-plan"),
    "unknown step": (planned(step("a", "b")), told, "invalid-plan"),
    "wrong type": (planned(step("a", timeout_ms="soon")), told, "invalid-plan"),
    "no list": (planned({"a": 1}), told, "invalid-plan"),
    "too many steps": (planned(*map(step, "abcd")), told, "invalid-plan"),
    "tampered plan": (planned(step("a"), plan_hash=HASH), told, "tampered-plan"),
    "tampered plan given": (
        given(Task(TEAM, None, "bad", plan=[step("a")], plan_hash=HASH)),
        told,
        "tampered-plan",
    ),
    "unknown team": (given(Task("nobody", None, "bad")), told, "unknown-team"),
    "definition missing": (definition_missing, told, "unknown-definition"),
    "oversize": (too_large, told, "too-large"),
    "unknown saga": (given(CancelSaga("nowhere", "anna")), refusal, "unknown-saga"),
    "step of no plan": (given(SkipStep("good", "nothing", "anna")), refusal, "unknown-step"),
    "wrong phase": (given(RetryStep("good", "a", "anna")), refusal, "wrong-phase"),
    "answer to nothing": (
        given(AnswerQuestion("good", "what?", "anna")),
        refusal,
        "unknown-question",
    ),
    "double answer": (twice, ignored, "OutcomeIgnored"),
    "stale attempt": (stale, ignored, "OutcomeIgnored"),
    "progress of nothing": (given(CallProgress("c", "nowhere", "a")), ignored, "StepScheduled"),
}


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_has_its_error_and_loses_nothing(case: str) -> None:
    play, look, expected = TABLE[case]
    driver = Driver(SETTINGS)
    driver.open_with(step("a"), step("b", "a"), saga_id="good")
    play(driver)
    assert look(driver) == expected
    driver.succeed("a", 1, saga_id="good")
    driver.succeed("b", 2, saga_id="good")
    driver.succeed("aggregate", "done", saga_id="good")
    (good,) = (each for each in driver.results if each.saga_id == "good")
    assert (good.state, good.result) == ("completed", "done")
    assert driver.replayed() == driver.state


@pytest.mark.parametrize("play", [twice, stale])
def test_an_answer_that_comes_too_often_or_too_late_leaves_the_first(
    play: Callable[[Driver], None],
) -> None:
    driver = Driver()
    play(driver)
    step = driver.state.sagas["bad"].steps["a"]
    assert step.result == (1 if play is twice else None)
    assert step.phase == ("succeeded" if play is twice else "running")
