"""Sagas as steps of sagas: their results, their failures, and what becomes of what they did."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import TEAM, Driver, step

from folkmoot.core.children import ReleaseChild, StartChild, UndoChild, child_id_of
from folkmoot.core.messages import (
    Address,
    Budget,
    CancelSaga,
    Failure,
    PauseSaga,
    ResumeSaga,
    SkipStep,
    TaskResult,
    TerminateSaga,
    Usage,
)
from folkmoot.core.saga import SagaSettings, find

BROKEN = Failure("broken", "no use", retryable=False)
CHILD = child_id_of("s1/book/do/1")
TRIP = [step("flight"), step("hotel", "flight")]


def book(**fields: Any) -> dict[str, Any]:
    """Return a step that is a saga."""
    return {"id": "book", "name": "trip", "agent": TEAM, "child": True, "needs": []} | fields


def begun(*beside: dict[str, Any], plan: Any = None, **fields: Any) -> Driver:
    """Return a saga of which a step runs another one, that is planned."""
    driver = Driver()
    driver.open_with(book(**fields), *beside)
    driver.succeed("plan", TRIP if plan is None else plan, saga_id=CHILD)
    return driver


def finished(*beside: dict[str, Any], plan: Any = None) -> Driver:
    """Return one whose child has its result."""
    driver = begun(*(beside or [step("pay", "book")]), plan=plan)
    for each in TRIP if plan is None else plan:
        driver.succeed(each["id"], each["id"], saga_id=CHILD)
    driver.succeed("aggregate", {"trip": 7}, saga_id=CHILD)
    return driver


def undone(driver: Driver) -> list[tuple[str, str]]:
    driver.pass_time(0)
    calls = [call for call in driver.calls if call.kind == "compensate"]
    return [("child" if call.saga_id == CHILD else "parent", call.step_id) for call in calls]


def ends(driver: Driver) -> dict[str, str]:
    assert driver.replayed() == driver.state
    return {result.saga_id: result.state for result in driver.results}


def result_of(driver: Driver, saga_id: str = "s1") -> TaskResult:
    return next(each for each in driver.results if each.saga_id == saga_id)


# -- forwards -----------------------------------------------------------------------------------


def test_a_step_may_be_a_saga_whose_result_is_the_steps() -> None:
    driver = finished()
    assert (driver.call("plan", saga_id=CHILD).name, driver.call("pay").recorded) == (
        "trip",
        {"book": {"trip": 7}},
    )
    driver.succeed("pay")
    driver.succeed("aggregate", "done")
    assert ends(driver) == {"s1": "completed", CHILD: "completed"}
    assert driver.state.sagas == {}


def test_a_child_is_held_until_its_parent_ends() -> None:
    driver = finished()
    assert driver.results == []
    shown = find(driver.state, CHILD)
    assert shown is not None
    assert (shown["state"], shown["parent"]) == ("held", {"saga_id": "s1", "step_id": "book"})
    assert driver.shard.due() == driver.state.timers.get("s1/pay"), "a held saga waits for no time"


def test_its_plan_may_look_at_the_results_of_what_the_step_needs() -> None:
    driver = Driver()
    driver.open_with(step("ask"), book(needs=["ask"], input={"to": "Oslo"}))
    driver.succeed("ask", 5)
    asked = driver.call("plan", saga_id=CHILD)
    assert (asked.input, asked.recorded) == ({"to": "Oslo"}, {"ask": 5})


def test_the_plan_hook_is_asked_if_no_definition_is_named() -> None:
    driver = Driver()
    driver.open_with(book(name="plan"))
    assert driver.call("plan", saga_id=CHILD).name == "plan"
    assert driver.state.sagas[CHILD].definition == ""


def test_a_saga_is_run_for_each_item() -> None:
    driver = Driver()
    driver.open_with(step("list"), book(needs=["list"], each="list"))
    driver.succeed("list", ["Oslo", "Rome"])
    driver.pass_time(0)
    children = [child_id_of(f"s1/book[{number}]/do/1") for number in range(2)]
    assert [driver.call("plan", saga_id=child).input for child in children] == ["Oslo", "Rome"]


def test_what_a_child_uses_up_counts_for_its_parent() -> None:
    driver = Driver()
    driver.submit(budget=Budget(tokens=10, hops=9))
    driver.succeed("plan", [book(), step("pay", "book")])
    assert driver.state.sagas[CHILD].budget == Budget(tokens=10, hops=8)
    driver.succeed("plan", [step("flight")], saga_id=CHILD)
    used = driver.call("flight", saga_id=CHILD)
    driver.spend(used, Usage(4))
    driver.succeed("aggregate", 1, saga_id=CHILD)
    saga = driver.state.sagas["s1"]
    assert (saga.spent.tokens, saga.hops) == (4, 3)


def test_a_child_that_uses_up_the_budget_turns_both_back() -> None:
    driver = Driver()
    driver.submit(budget=Budget(tokens=10))
    driver.succeed("plan", [book(), step("pay", "book")])
    driver.succeed("plan", TRIP, saga_id=CHILD)
    driver.spend(driver.call("flight", saga_id=CHILD), Usage(11))
    assert undone(driver) == [("child", "flight")]
    driver.succeed("flight", undo=True, saga_id=CHILD)
    assert undone(driver) == [("child", "flight")], "what undid itself is undone"
    assert ends(driver) == {CHILD: "compensated", "s1": "compensated"}
    assert "used up 11 tokens" in result_of(driver).failure.detail  # type: ignore[union-attr]


# -- backwards ----------------------------------------------------------------------------------


def test_a_child_that_fails_undoes_itself_and_fails_its_step() -> None:
    driver = begun(step("pay", "book"))
    driver.succeed("flight", saga_id=CHILD)
    driver.fail("hotel", BROKEN, saga_id=CHILD)
    driver.succeed("hotel", undo=True, saga_id=CHILD)
    assert "s1" not in ends(driver), "the child is not undone yet"
    driver.succeed("flight", undo=True, saga_id=CHILD)
    assert ends(driver) == {CHILD: "compensated", "s1": "compensated"}
    failure = result_of(driver).failure
    assert failure is not None
    assert failure.kind == "broken"
    assert f"saga {CHILD} is compensated, because of step 'hotel': no use" in failure.detail


def test_a_finished_child_is_undone_in_order_when_its_parent_turns_back() -> None:
    driver = finished()
    driver.fail("pay", BROKEN)
    assert undone(driver) == [("parent", "pay")]
    driver.succeed("pay", undo=True)
    assert undone(driver)[1:] == [("child", "hotel")]
    driver.succeed("hotel", undo=True, saga_id=CHILD)
    driver.succeed("flight", undo=True, saga_id=CHILD)
    assert ends(driver) == {CHILD: "compensated", "s1": "compensated"}


def test_a_cancel_goes_down_and_the_parent_waits_for_the_child() -> None:
    driver = begun(step("pay", "book"))
    driver.succeed("flight", saga_id=CHILD)
    driver.give(CancelSaga("s1", "anna"))
    assert [call.call_id for call in driver.cancels] == [f"{CHILD}/hotel/do/1"]
    driver.fail("hotel", BROKEN, saga_id=CHILD)
    driver.succeed("hotel", undo=True, saga_id=CHILD)
    assert ends(driver) == {}
    driver.succeed("flight", undo=True, saga_id=CHILD)
    assert ends(driver) == {CHILD: "compensated", "s1": "compensated"}


def test_a_child_that_takes_too_long_is_cancelled_and_undone_with_its_step() -> None:
    driver = begun(step("pay", "book"), timeout_ms=500)
    driver.succeed("flight", saga_id=CHILD)
    driver.pass_time(3_000)
    assert ("child", "hotel") in undone(driver)
    driver.succeed("hotel", undo=True, saga_id=CHILD)
    driver.succeed("flight", undo=True, saga_id=CHILD)
    driver.pass_time(10_000)
    assert ends(driver) == {CHILD: "compensated", "s1": "compensated"}


def test_a_paused_child_is_undone_when_it_is_resumed() -> None:
    driver = finished()
    driver.give(PauseSaga(CHILD, "anna"))
    driver.fail("pay", BROKEN)
    driver.succeed("pay", undo=True)
    assert undone(driver) == [("parent", "pay")]
    driver.give(ResumeSaga(CHILD, "anna"))
    assert undone(driver)[1:] == [("child", "hotel")]


def test_what_has_passed_its_pivot_leaves_its_parent_stuck_for_all_to_see() -> None:
    driver = finished(plan=[step("flight", role="pivot", compensable=False)])
    driver.fail("pay", BROKEN)
    driver.succeed("pay", undo=True)
    driver.pass_time(600_000)
    assert driver.state.stuck == {"s1": None}
    failure = driver.state.sagas["s1"].steps["book"].failure
    assert failure is not None
    assert (failure.kind, "pivot 'flight'" in failure.detail) == ("past-pivot", True)
    driver.give(SkipStep("s1", "book", "anna", "we fly"))
    assert ends(driver) == {"s1": "compensated", CHILD: "completed"}
    assert result_of(driver).not_undone == ("book",)


def test_a_cancelled_child_past_its_pivot_goes_on_and_ends() -> None:
    plan = [step("flight", role="pivot", compensable=False), step("hotel", "flight")]
    driver = begun(plan=plan)
    driver.succeed("flight", saga_id=CHILD)
    driver.give(CancelSaga("s1", "anna"))
    driver.succeed("hotel", saga_id=CHILD)
    driver.succeed("aggregate", 1, saga_id=CHILD)
    assert ends(driver) == {CHILD: "completed"}, "nobody holds it"
    parent = driver.state.sagas["s1"].steps["book"]
    assert (parent.succeeded, parent.phase) == (True, "compensation-retrying")


# -- operators ----------------------------------------------------------------------------------


def test_a_held_child_cannot_be_cancelled_behind_its_parents_back() -> None:
    driver = finished()
    (refused,) = driver.give(CancelSaga(CHILD, "anna"))
    assert refused.failure.kind == "wrong-phase"
    assert "ends with saga s1" in refused.failure.detail


def test_a_terminated_parent_ends_its_finished_children() -> None:
    driver = finished()
    driver.give(TerminateSaga("s1", "anna"))
    assert ends(driver) == {"s1": "terminated", CHILD: "completed"}


def test_a_terminated_child_fails_its_step_and_cannot_be_undone() -> None:
    driver = begun(step("pay", "book"))
    driver.give(TerminateSaga(CHILD, "anna"))
    parent = driver.state.sagas["s1"].steps["book"]
    assert parent.phase == "compensation-retrying"
    assert parent.failure is not None
    assert parent.failure.kind == "terminated"


# -- what cannot be begun -----------------------------------------------------------------------


def test_a_child_of_an_unknown_team_fails_its_step_and_is_not_undone() -> None:
    driver = Driver()
    driver.open_with(book(agent="nobody"))
    assert ends(driver) == {"s1": "compensated"}
    assert result_of(driver).failure.kind == "unknown-team"  # type: ignore[union-attr]
    assert undone(driver) == []


def test_sagas_within_sagas_have_an_end() -> None:
    driver = Driver(SagaSettings(depth_max=3))
    driver.open_with(book())
    saga_id = "s1"
    for _ in range(3):
        saga_id = child_id_of(f"{saga_id}/book/do/1")
        driver.succeed("plan", [book()], saga_id=saga_id)
    failure = result_of(driver).failure
    assert failure is not None
    assert failure.kind == "too-deep"
    assert set(ends(driver).values()) == {"compensated"}
    assert len(driver.results) == 4


def test_a_full_shard_lets_a_child_wait() -> None:
    driver = Driver(SagaSettings(open_sagas_max=1))
    driver.open_with(book())
    assert driver.state.sagas["s1"].steps["book"].phase == "deferred"


@pytest.mark.parametrize(
    "late", [ReleaseChild("x"), UndoChild("x", "c", "s9", "b", 1, Address("t", 0))]
)
def test_what_comes_for_a_child_that_there_is_not_is_answered_or_nothing(late: Any) -> None:
    driver = Driver()
    driver.give(late)
    answers = [send.message for send in driver.sent]
    assert [getattr(each, "status", None) for each in answers] == (
        [] if isinstance(late, ReleaseChild) else ["succeeded"]
    )


def test_the_same_start_twice_begins_one_saga() -> None:
    driver = begun()
    start = next(each.message for each in driver.sent if isinstance(each.message, StartChild))
    assert driver.give(start) == []


def test_a_child_whose_leader_need_not_be_asked_is_held_as_well() -> None:
    driver = Driver()
    driver.open_with(book(), step("pay", "book"))
    driver.succeed("plan", {"steps": [step("flight")], "result": "steps"}, saga_id=CHILD)
    driver.succeed("flight", 3, saga_id=CHILD)
    assert driver.results == []
    assert driver.call("pay").recorded == {"book": {"flight": 3}}
