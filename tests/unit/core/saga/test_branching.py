"""What is known of a plan at run time only: conditions, fan-outs, and how many run at a time."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import Driver, step

from folkmoot.core.messages import Failure, SkipStep
from folkmoot.core.saga import find
from folkmoot.core.saga.conditions import holds
from folkmoot.core.saga.plan_events import Condition

BROKEN = Failure("broken", "no use", retryable=False)


def called(driver: Driver) -> list[str]:
    driver.pass_time(0)
    return [call.step_id for call in driver.calls if call.kind == "step"]


def undone(driver: Driver) -> list[str]:
    driver.pass_time(0)
    return [call.step_id for call in driver.calls if call.kind == "compensate"]


# -- conditions ---------------------------------------------------------------------------------


def when(need: str, **fields: Any) -> dict[str, Any]:
    return {"step": need} | fields


def test_a_step_whose_condition_does_not_hold_is_omitted_and_what_needs_it_goes_on() -> None:
    driver = Driver()
    driver.open_with(
        step("check"),
        step("pay", "check", when=when("check", path=["due"], op="gt", value=0)),
        step("thank", "pay"),
    )
    driver.succeed("check", {"due": 0})
    assert called(driver) == ["check", "thank"]
    assert driver.call("thank").recorded == {"pay": None}
    driver.succeed("thank", "ok")
    assert driver.call("aggregate").recorded == {"check": {"due": 0}, "pay": None, "thank": "ok"}
    assert driver.replayed() == driver.state


def test_a_step_whose_condition_holds_runs() -> None:
    driver = Driver()
    driver.open_with(step("check"), step("pay", "check", when=when("check", op="truthy")))
    driver.succeed("check", 1)
    assert called(driver) == ["check", "pay"]


def test_when_all_that_is_left_is_omitted_the_saga_is_aggregated() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a", when=when("a")), step("c", "b", when=when("b")))
    driver.succeed("a", False)
    driver.pass_time(0)
    assert driver.calls[-1].step_id == "aggregate"


def test_what_comes_after_an_omitted_step_is_undone_before_what_came_before_it() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a", when=when("a")), step("c", "b"))
    driver.succeed("a", False)
    driver.pass_time(0)
    driver.fail("c", BROKEN)
    assert undone(driver) == ["c"]
    driver.succeed("c", undo=True)
    assert undone(driver) == ["c", "a"]


@pytest.mark.parametrize(
    ("op", "value", "expected"),
    [
        ("eq", 3, True), ("ne", 3, False), ("lt", 4, True), ("le", 3, True), ("gt", 3, False),
        ("ge", 3, True), ("in", [1, 3], True), ("truthy", None, True), ("lt", "x", False),
        ("in", None, False),
    ],
)  # fmt: skip
def test_a_condition_compares_what_its_path_leads_to(op: Any, value: Any, expected: bool) -> None:
    assert holds(Condition("a", ("x", 1), op, value), {"x": [0, 3]}) is expected
    assert not holds(Condition("a", ("y", 1), "truthy", None), {"x": [0, 3]})


# -- fan-out and join ---------------------------------------------------------------------------


def test_a_step_runs_for_each_item_and_its_result_is_the_list_of_results_in_order() -> None:
    driver = Driver()
    driver.open_with(step("split"), step("part", "split", each="split"), step("merge", "part"))
    driver.succeed("split", ["x", "y", "z"])
    assert called(driver)[1:] == ["part[0]", "part[1]", "part[2]"]
    assert (driver.call("part[1]").input, driver.call("part[1]").recorded) == ("y", {})
    for number in (2, 0, 1):
        driver.succeed(f"part[{number}]", number)
    assert called(driver)[-1] == "merge"
    assert driver.call("merge").recorded == {"part": [0, 1, 2]}
    driver.succeed("merge", "all")
    recorded = {"split": ["x", "y", "z"], "part": [0, 1, 2], "merge": "all"}
    assert driver.call("aggregate").recorded == recorded
    assert driver.replayed() == driver.state


@pytest.mark.parametrize("nothing", [[], None])
def test_of_nothing_there_is_nothing_to_run_and_order_is_kept(nothing: Any) -> None:
    driver = Driver()
    driver.open_with(step("split"), step("part", "split", each="split"), step("merge", "part"))
    driver.succeed("split", nothing)
    assert called(driver) == ["split", "merge"]
    assert driver.call("merge").recorded == {"part": []}
    driver.fail("merge", BROKEN)
    assert undone(driver) == ["merge"]


def test_parts_are_undone_after_what_needs_them_and_before_what_they_need() -> None:
    driver = Driver()
    driver.open_with(step("split"), step("part", "split", each="split"), step("merge", "part"))
    driver.succeed("split", [1, 2])
    driver.pass_time(0)
    driver.succeed("part[0]")
    driver.fail("part[1]", BROKEN)
    assert undone(driver) == ["part[1]", "part[0]"] or undone(driver) == ["part[0]", "part[1]"]
    driver.succeed("part[0]", undo=True)
    driver.succeed("part[1]", undo=True)
    assert undone(driver)[-1] == "split"
    driver.succeed("split", undo=True)
    assert driver.results[0].state == "compensated"
    assert driver.replayed() == driver.state


def test_a_result_that_is_no_list_fails_the_step_and_says_so() -> None:
    driver = Driver()
    driver.open_with(step("split", compensable=False), step("part", "split", each="split"))
    driver.succeed("split", "xyz")
    driver.pass_time(0)
    (result,) = driver.results
    assert result.failure is not None
    assert (result.failed_step, result.failure.kind) == ("part", "not-a-list")


def test_a_wide_fan_out_begins_in_waves_and_one_that_is_too_wide_fails() -> None:
    driver = Driver()
    driver.open_with(step("split"), step("part", "split", each="split"))
    driver.succeed("split", list(range(2_000)))
    assert len(called(driver)) == 2_001
    driver = Driver()
    driver.open_with(step("split", compensable=False), step("part", "split", each="split"))
    driver.succeed("split", list(range(20_000)))
    driver.pass_time(0)
    assert driver.results[0].failure is not None
    assert driver.results[0].failure.kind == "too-many-steps"


def test_a_part_can_be_skipped_and_a_joining_step_is_shown_as_waiting() -> None:
    driver = Driver()
    driver.open_with(step("split"), step("part", "split", each="split"))
    driver.succeed("split", [1])
    driver.pass_time(0)
    shown = find(driver.state, "s1")
    assert shown is not None
    (joining,) = [each for each in shown["steps"] if each["id"] == "part"]
    assert (joining["state"], joining["waiting_for"]) == ("joining", "its parts")
    driver.give(SkipStep("s1", "part[0]", "anna"))
    driver.pass_time(0)
    assert driver.call("aggregate").recorded == {"split": [1], "part": [None]}


# -- how many at a time -------------------------------------------------------------------------


def test_no_more_run_side_by_side_than_the_plan_says() -> None:
    driver = Driver()
    driver.submit()
    driver.succeed("plan", {"steps": [step(name) for name in "abcde"], "max_parallel": 2})
    assert called(driver) == ["a", "b"]
    assert driver.shard.due() == driver.state.timers.earliest()
    driver.succeed("b")
    assert called(driver) == ["a", "b", "c"]
    driver.fail("a", Failure("flaky", "later"))
    assert driver.state.sagas["s1"].phase == "compensating"


def test_who_was_ready_first_begins_first() -> None:
    driver = Driver()
    driver.submit()
    driver.succeed("plan", {"steps": [step("a"), step("b"), step("c", "a")], "max_parallel": 1})
    driver.succeed("a")
    assert called(driver) == ["a", "b"]
    driver.succeed("b")
    assert called(driver) == ["a", "b", "c"]


def test_a_step_between_two_attempts_keeps_its_place() -> None:
    driver = Driver()
    driver.submit()
    slow = {"attempts": 2, "initial_ms": 5_000, "cap_ms": 5_000}
    driver.succeed(
        "plan", {"steps": [step("a", timeout_ms=60_000, retry=slow), step("b")], "max_parallel": 1}
    )
    driver.fail("a", Failure("flaky", "later"))
    assert called(driver) == ["a"]
    driver.pass_time(5_001)
    driver.succeed("a")
    assert called(driver) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ([step("a"), step("b", when={"step": "a"})], "looks at 'a': it must be one of its needs"),
        ([step("a"), step("b", each="a")], "looks at 'a': it must be one of its needs"),
        ([step("a"), step("b", "a", when={"step": "a", "op": "~"})], "op must be one of: eq, ne"),
        ([step("a"), step("b", "a", when={"step": "a", "path": "x"})], "path must be a list"),
        ([step("a"), step("b", "a", when=[])], "when must be an object"),
        ([step("a"), step("b", "a", when={"steps": "a"})], "'steps' is none of its fields"),
        ([step("a"), step("b", "a", each=1)], "each must be the id of a step"),
        ([step("a"), step("b", "a", each="a", input=1)], "each and input exclude each other"),
        ([step("a"), step("b", "a", each="a"), step("b[0]")], "has the id of a part of 'b'"),
        (
            [step("a"), step("b", "a", each="a", role="pivot", compensable=False)],
            "is a pivot: it can have no condition and no parts",
        ),
        ({"steps": [step("a")], "max_parallel": -1}, "max_parallel must be a whole number"),
        ({"steps": [step("a")], "parallel": 1}, "'parallel' is none of its fields"),
        ({"max_parallel": 1}, "a plan is a list of steps"),
    ],
)
def test_a_plan_that_looks_at_what_it_may_not_is_refused(plan: Any, sentence: str) -> None:
    driver = Driver()
    driver.submit()
    driver.succeed("plan", plan)
    assert driver.results[0].failure is not None
    assert sentence in driver.results[0].failure.detail
