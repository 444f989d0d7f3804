"""Which plan a saga runs: by a definition, one that the task brings, or only that very one."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import TEAM, Driver, step

from folkmoot.core.messages import ForceComplete, Task
from folkmoot.core.saga import SagaSettings
from folkmoot.core.saga.plan import parse_plan

PLAN = [step("a"), step("b", "a", role="pivot", compensable=False)]


def hash_of(plan: Any) -> str:
    return parse_plan(plan, SagaSettings()).hash


def test_the_leader_is_asked_for_the_plan_of_a_definition() -> None:
    driver = Driver()
    driver.give(Task(TEAM, {"q": 1}, "s1", definition="refund"))
    assert (driver.call("plan").kind, driver.call("plan").name) == ("plan", "refund")
    driver.succeed("plan", PLAN)
    assert driver.call("a").name == "a"
    assert driver.replayed() == driver.state


def test_without_a_definition_the_leader_is_asked_for_the_plan() -> None:
    driver = Driver()
    driver.submit()
    assert driver.call("plan").name == "plan"


def test_a_task_may_bring_its_plan_and_nobody_is_asked_for_one() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan=PLAN, plan_hash=hash_of(PLAN)))
    assert [call.step_id for call in driver.calls] == ["a"]
    assert driver.state.sagas["s1"].plan_hash == hash_of(PLAN)
    driver.succeed("a")
    driver.succeed("b")
    driver.succeed("aggregate", "done")
    (result,) = driver.results
    assert (result.state, result.result) == ("completed", "done")
    assert driver.replayed() == driver.state


def test_a_plan_without_steps_that_a_task_brings_is_aggregated() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan=[]))
    assert [call.kind for call in driver.calls] == ["aggregate"]


@pytest.mark.parametrize(
    ("plan", "plan_hash", "kind"),
    [(PLAN, hash_of(PLAN[:1]), "tampered-plan"), (PLAN[1:], "", "invalid-plan")],
)
def test_a_task_that_brings_another_plan_than_it_says_is_refused(
    plan: Any, plan_hash: str, kind: str
) -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan=plan, plan_hash=plan_hash))
    (result,) = driver.results
    assert result.failure is not None
    assert (result.state, result.failure.kind) == ("refused", kind)
    assert driver.calls == []
    assert driver.state.sagas == {}


def test_a_saga_for_one_plan_only_runs_no_other() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan_hash=hash_of(PLAN)))
    driver.succeed("plan", PLAN[:1])
    (result,) = driver.results
    assert result.failure is not None
    assert (result.state, result.failure.kind) == ("failed", "tampered-plan")
    assert hash_of(PLAN) in result.failure.detail
    assert [call.kind for call in driver.calls] == ["plan"]


def test_a_saga_for_one_plan_only_runs_that() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan_hash=hash_of(PLAN)))
    driver.succeed("plan", PLAN)
    assert [call.step_id for call in driver.calls] == ["plan", "a"]


def test_an_operator_cannot_force_another_plan_on_such_a_saga() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", plan_hash=hash_of(PLAN)))
    (refused,) = driver.give(ForceComplete("s1", "plan", "anna", result=PLAN[:1]))
    assert refused.failure.kind == "tampered-plan"
    driver.give(ForceComplete("s1", "plan", "anna", result=PLAN))
    assert driver.calls[-1].step_id == "a"


def test_the_hash_of_a_plan_does_not_change_with_what_is_left_out() -> None:
    """It is compared across versions; one that is not the same refuses every saga for one plan."""
    plain = {"id": "a", "name": "a", "agent": "worker"}
    assert hash_of([plain]) == "167c9c10b32d8d763ebe1b51a1ad6d2d"
    assert hash_of([plain | {"role": "ordinary", "each": ""}]) == hash_of([plain])
    assert hash_of([plain | {"heartbeat_ms": 1}]) != hash_of([plain])
    assert hash_of({"steps": [plain], "max_parallel": 1}) != hash_of([plain])
