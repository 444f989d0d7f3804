"""Why a saga is where it is: a sentence for every state of a saga and of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from saga_driver import Driver, step

from folkmoot.core.messages import (
    CancelSaga,
    Failure,
    PauseSaga,
    Question,
    SkipStep,
    TerminateSaga,
)
from folkmoot.core.saga.explaining import explain, explain_step
from folkmoot.core.saga.state import StepPhase

BROKEN = Failure("broken", "it broke", retryable=True)
PATIENT = {"retry": {"attempts": 9, "initial_ms": 8_000, "factor": 1.0, "cap_ms": 8_000}}


def planning(driver: Driver) -> None:
    driver.submit()


def planning_again(driver: Driver) -> None:
    driver.submit()
    driver.fail("plan", BROKEN)


def running(driver: Driver) -> None:
    driver.open_with(step("a"), step("b", "a"))


def retrying(driver: Driver) -> None:
    driver.open_with(step("a", **PATIENT), step("b"))
    driver.fail("a", BROKEN)


def refused(driver: Driver) -> None:
    driver.open_with(step("a"))
    driver.fail("a", Failure("open", "its breaker is open", True, 4_000), status="refused")


def asking(driver: Driver) -> None:
    driver.open_with(step("a"), step("b"))
    _ask(driver, "")


def awaiting_a_signal(driver: Driver) -> None:
    driver.open_with(step("a"))
    _ask(driver, "go")


def _ask(driver: Driver, signal: str) -> None:
    call, until = driver.call("a"), driver.now + 3 * 86_400_000
    prompt, to = "Buy a boat?", call.outcome_to
    driver.give(Question("q", call.call_id, "s1", "a", "k", prompt, {}, until, to, signal))


def in_parts(driver: Driver) -> None:
    driver.open_with(step("a"), step("each", "a", each="a"))
    driver.succeed("a", [1, 2, 3])
    driver.pass_time(0)
    driver.succeed("each[1]")


def out_of_room(driver: Driver) -> None:
    driver.submit()
    driver.succeed("plan", {"steps": [step("a"), step("b")], "max_parallel": 1})


def aggregating(driver: Driver) -> None:
    driver.open_with(step("a"))
    driver.succeed("a")


def completed(driver: Driver) -> None:
    aggregating(driver)
    driver.pass_time(5_000)
    driver.succeed("aggregate")


def turning_back(driver: Driver) -> None:
    driver.open_with(step("a"), step("b"))
    driver.fail("a")


def undoing(driver: Driver) -> None:
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    driver.fail("b")


def undoing_again(driver: Driver) -> None:
    undoing(driver)
    driver.fail("b", BROKEN, undo=True)


def stuck(driver: Driver) -> None:
    undoing(driver)
    for _ in range(9):
        driver.fail("b", BROKEN, undo=True)
        driver.pass_time(60_000) if driver.call("b", undo=True).attempt < 9 else None


def compensated(driver: Driver) -> None:
    undoing(driver)
    driver.succeed("b", undo=True)
    driver.succeed("a", undo=True)


def left_so(driver: Driver) -> None:
    undoing(driver)
    driver.give(SkipStep("s1", "b", "ann"))
    driver.succeed("a", undo=True)


def cancelled(driver: Driver) -> None:
    driver.open_with(step("a"))
    driver.give(CancelSaga("s1", "ann", "enough"))


def failed(driver: Driver) -> None:
    driver.submit()
    driver.fail("plan")


def terminated(driver: Driver) -> None:
    running(driver)
    driver.give(TerminateSaga("s1", "ann", "enough"))


def paused(driver: Driver) -> None:
    running(driver)
    driver.give(PauseSaga("s1", "ann"))
    driver.pass_time(125_000)


SENTENCES: dict[Callable[[Driver], None], str] = {
    planning: "The plan of team newsroom is with newsroom, attempt 1, which is given up in",
    planning_again: "The plan of team newsroom is tried again in",
    running: "Step a is with worker, attempt 1, which is given up in 2.0 s.",
    retrying: "attempt 1 failed: it broke; 1 other step is under way.",
    refused: "Step a was not let in to worker and asks again in 4.1 s: its breaker is open.",
    asking: 'Step a asks somebody, for 3 days at most: "Buy a boat?"; 1 other step is under way.',
    awaiting_a_signal: "Step a waits for signal go, for 3 days at most.",
    in_parts: "Step each[0] is with worker",
    out_of_room: "Step a is with worker",
    aggregating: "The result of team newsroom is with newsroom, attempt 1",
    completed: "It completed 5.0 s after it was opened.",
    turning_back: "It turns back because step a failed: it broke. Before anything is undone, what "
    "is under way must end: 1 call is under way.",
    undoing: "It turns back because step b failed: it broke. Step b is being undone, attempt 1; "
    "2 steps are left to undo.",
    undoing_again: "Step b is to be undone again in",
    stuck: "Step b is stuck and is",
    compensated: "All that was begun is undone, because step b failed: it broke.",
    left_so: "All that was begun is undone, because step b failed: it broke. Not undone: b.",
    cancelled: "It turns back because cancelled by ann: enough.",
    failed: "It failed before any step was begun: it broke.",
    terminated: "An operator ended it, and nothing was undone: terminated by ann: enough.",
    paused: "It is paused by ann for 2 min: nothing of it begins and its clocks stand still, "
    "1 call is under way.",
}


@pytest.mark.parametrize("come_to", SENTENCES, ids=lambda each: each.__name__)
def test_a_sentence_says_why(come_to: Callable[[Driver], None]) -> None:
    driver = Driver()
    come_to(driver)
    said = explain(driver.state, "s1", driver.now)
    assert said is not None
    assert SENTENCES[come_to] in said
    assert said.endswith(".")
    assert "  " not in said


@pytest.mark.parametrize("phase", get_args(StepPhase))
def test_every_phase_of_a_step_is_explained(phase: StepPhase) -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    saga = driver.state.sagas["s1"]
    saga.steps["b"].phase = phase
    assert explain_step(driver.state, saga, saga.steps["b"], driver.now).startswith("Step b ")


def test_a_saga_of_its_own_is_named() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    saga = driver.state.sagas["s1"]
    of = saga.steps["a"]
    of.plan, of.child_id = replace(of.plan, child=True), "c7"
    assert explain_step(driver.state, saga, of, 0) == "Step a runs as saga c7"
    of.phase = "compensating"
    assert explain_step(driver.state, saga, of, 0) == "Step a is being undone, as saga c7"


def test_a_step_that_was_expanded_says_how_many_of_its_parts_are_left() -> None:
    driver = Driver()
    in_parts(driver)
    saga = driver.state.sagas["s1"]
    said = explain_step(driver.state, saga, saga.steps["each"], 0)
    assert said == "Step each waits for 2 of its 3 parts"


def test_a_step_says_what_it_needs_or_that_there_is_no_room() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    saga = driver.state.sagas["s1"]
    assert explain_step(driver.state, saga, saga.steps["b"], 0) == "Step b waits for a"
    crowded = Driver()
    out_of_room(crowded)
    saga = crowded.state.sagas["s1"]
    said = explain_step(crowded.state, saga, saga.steps["b"], 0)
    assert said == "Step b waits for room: no more than 1 run at a time"


def test_who_is_not_known_is_not_explained() -> None:
    assert explain(Driver().state, "nobody", 0) is None
