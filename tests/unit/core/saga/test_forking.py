"""A saga that begins with what another had done: these steps never run here, nor are undone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from saga_driver import TEAM, Driver, step

from folkmoot.core.forks import Fork
from folkmoot.core.messages import Task
from folkmoot.core.saga import SagaSettings, find
from folkmoot.core.saga.forking import written
from folkmoot.core.saga.plan import parse_plan

PLAN = [step("a"), step("b", "a"), step("c", "b"), step("d", "a")]


def fork(results: dict[str, Any], plan: Any = PLAN, **fields: Any) -> Driver:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan=plan, fork=Fork("s0", 7, results), **fields))
    driver.pass_time(0)
    return driver


def test_what_was_done_is_not_run_again_and_its_results_are_given() -> None:
    driver = fork({"a": 1, "b": 2})
    assert sorted(call.step_id for call in driver.calls) == ["c", "d"]
    assert driver.call("c").recorded == {"b": 2}
    assert driver.call("d").recorded == {"a": 1}
    driver.succeed("c", 3)
    driver.succeed("d", 4)
    assert driver.call("aggregate").recorded == {"a": 1, "b": 2, "c": 3, "d": 4}
    driver.succeed("aggregate", "done")
    assert driver.results[-1].result == "done"
    assert driver.replayed() == driver.state


def test_what_another_saga_did_is_not_undone() -> None:
    driver = fork({"a": 1, "b": 2})
    driver.succeed("d", 4)
    driver.fail("c")
    driver.succeed("c", undo=True)
    driver.succeed("d", undo=True)
    assert driver.results[-1].state == "compensated"
    assert {call.step_id for call in driver.calls if call.kind == "compensate"} == {"c", "d"}


def test_where_it_comes_from_is_recorded() -> None:
    driver = fork({"a": 1})
    shown = find(driver.state, "s1")
    assert shown is not None
    assert shown["forked_from"] == {"saga_id": "s0", "at": 7}
    assert {each["id"]: (each["state"], each["attempt"]) for each in shown["steps"]} == {
        "a": ("succeeded", 0),
        "b": ("running", 1),
        "c": ("waiting", 0),
        "d": ("running", 1),
    }


def test_with_everything_done_only_the_result_is_made() -> None:
    driver = fork({"a": 1, "b": 2, "c": 3, "d": 4})
    assert [call.kind for call in driver.calls] == ["aggregate"]
    assert driver.call("aggregate").recorded == {"a": 1, "b": 2, "c": 3, "d": 4}


def test_results_come_in_any_order() -> None:
    plan = [step("c", "b"), step("b", "a"), step("a")]
    driver = fork({"b": 2, "a": 1}, plan)
    assert [call.step_id for call in driver.calls] == ["c"]
    assert driver.state.sagas["s1"].ready == {}


def test_past_a_pivot_a_fork_only_goes_forward() -> None:
    plan = [step("a", role="pivot", compensable=False), step("b", "a", role="retriable")]
    driver = fork({"a": 1}, plan)
    assert driver.state.sagas["s1"].committed
    driver.fail("b")
    driver.pass_time(60_000)
    assert driver.call("b").attempt > 1


def test_conditions_and_items_look_at_results_of_before() -> None:
    plan = [
        step("list"),
        step("each", "list", each="list"),
        step("skip", "list", when={"step": "list", "op": "eq", "value": 1}),
    ]
    driver = fork({"list": [7, 8]}, plan)
    driver.pass_time(0)
    assert {call.step_id: call.input for call in driver.calls} == {"each[0]": 7, "each[1]": 8}


def test_a_limit_of_steps_at_a_time_counts_only_those_that_run() -> None:
    driver = fork({"a": 1}, {"steps": PLAN, "max_parallel": 1})
    assert [call.step_id for call in driver.calls] == ["b"]


@pytest.mark.parametrize(
    ("results", "plan", "said"),
    [
        ({"x": 1}, PLAN, "'x', which is none of its steps"),
        ({"b": 1}, PLAN, "none of 'a', which it needs"),
        ({"a": 1}, None, "must bring the plan"),
    ],
)
def test_results_that_do_not_fit_the_plan_are_refused(
    results: dict[str, Any], plan: Any, said: str
) -> None:
    driver = fork(results, plan)
    (result,) = driver.results
    assert result.failure is not None
    assert (result.state, result.failure.kind) == ("refused", "invalid-plan")
    assert said in result.failure.detail
    assert driver.calls == []


def test_a_fork_of_a_saga_without_a_plan_asks_for_one() -> None:
    driver = Driver()
    driver.give(Task(TEAM, {"q": 1}, "s1", fork=Fork("s0", 1)))
    assert [call.kind for call in driver.calls] == ["plan"]
    assert driver.state.sagas["s1"].forked_from == "s0"


def test_a_fork_runs_the_recorded_plan_or_none() -> None:
    other = parse_plan(PLAN[:1], SagaSettings()).hash
    driver = fork({}, plan_hash=other)
    (result,) = driver.results
    assert result.failure is not None
    assert result.failure.kind == "tampered-plan"


NEEDS = st.lists(st.sampled_from("ab"), unique=True, max_size=2)
STEPS = st.fixed_dictionaries(
    {"timeout_ms": st.integers(1, 10_000), "compensable": st.booleans(), "input": st.none()},
    optional={
        "queue_timeout_ms": st.integers(0, 9),
        "heartbeat_ms": st.integers(0, 9),
        "when": st.fixed_dictionaries(
            {"step": st.just("a")},
            optional={"path": st.just(["x", 0]), "op": st.just("ge"), "value": st.integers()},
        ),
        "each": st.sampled_from(["", "a"]),
        "retry": st.fixed_dictionaries({"factor": st.floats(1, 9), "total_ms": st.just(7)}),
    },
)


@given(STEPS, NEEDS.map(sorted))
def test_a_recorded_step_is_written_as_it_was(fields: dict[str, Any], needs: list[str]) -> None:
    wanted = {*needs, *({"a"} if fields.get("each") or "when" in fields else ())}
    plan = [step("a"), step("b"), step("c", *sorted(wanted), **fields)]
    parsed = parse_plan(plan, SagaSettings())
    again = parse_plan([written(each) for each in parsed.steps], SagaSettings())
    assert again == parsed


def test_a_recorded_saga_of_its_own_is_written_as_it_was() -> None:
    child = {"id": "a", "name": "trip", "agent": "travel", "child": True}
    parsed = parse_plan([child], SagaSettings())
    assert parse_plan([written(parsed.steps[0])], SagaSettings()) == parsed


def test_a_fork_that_is_done_waits_for_its_place_too() -> None:
    driver = Driver(SagaSettings(sagas_at_once=1))
    driver.open_with(step("x"), saga_id="s9")
    done = {"a": 1, "b": 2, "c": 3, "d": 4}
    driver.give(Task(TEAM, None, "s1", plan=PLAN, fork=Fork("s0", 7, done)))
    driver.succeed("x", saga_id="s9")
    driver.succeed("aggregate", saga_id="s9")
    driver.pass_time(0)
    assert driver.call("aggregate").recorded == done
