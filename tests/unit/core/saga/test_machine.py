"""Sagas going forwards and backwards, one rule a test."""

from __future__ import annotations

import pytest
from saga_driver import TEAM, Driver, outcome, step

from folkmoot.core.kernel import DEAD_LETTERS, Led
from folkmoot.core.messages import CancelSaga, Failure, Task
from folkmoot.core.saga import SagaSettings, find, summaries


def names(events: list[object]) -> list[str]:
    return [type(event).__name__ for event in events]


def test_a_saga_is_planned_run_aggregated_and_answered() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    assert [call.step_id for call in driver.calls] == ["plan", "a"]
    driver.succeed("a", {"n": 1})
    assert driver.call("b").recorded == {"a": {"n": 1}}
    driver.succeed("b", 2)
    assert driver.call("aggregate").recorded == {"a": {"n": 1}, "b": 2}
    driver.succeed("aggregate", "done")
    (result,) = driver.results
    assert (result.state, result.result) == ("completed", "done")
    assert driver.state.sagas == {}
    assert driver.state.timers.earliest() is None


def test_calls_go_to_the_team_for_hooks_and_to_the_breaker_for_steps() -> None:
    driver = Driver()
    driver.open_with(step("a", agent="researcher"))
    plan, research = [send for send in driver.sent if hasattr(send.message, "kind")]
    assert (plan.topic, plan.partition) == (f"folkmoot.team.{TEAM}.inbox", 0)
    assert (research.topic, research.key) == ("folkmoot.breaker-proxy.inbox", "researcher")


def test_a_diamond_joins_when_both_sides_are_done() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"))
    driver.succeed("a")
    driver.succeed("c")
    assert "d" not in [call.step_id for call in driver.calls]
    driver.succeed("b")
    assert driver.calls[-1].step_id == "d"


def test_an_empty_plan_is_aggregated_at_once() -> None:
    driver = Driver()
    driver.open_with()
    driver.succeed("aggregate", 0)
    assert driver.results[0].state == "completed"


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ([step("a", "b"), step("b", "a")], "cycle: a → b → a"),
        ([step("a", "zz")], "needs 'zz', which is not in the plan"),
        ([step("a"), step("a")], "two steps have the id 'a'"),
        ([step("plan")], "reserved"),
        ([step("a/b")], "no '/'"),
        ([step("a", agent="")], "agent must be a non-empty string"),
        ([step("a", timeout_ms=0)], "timeout_ms must be a whole number above zero"),
        ("nonsense", "a plan is a list of steps"),
        ([7], "step 0 is no object"),
    ],
)
def test_a_plan_that_cannot_be_run_fails_the_saga_and_says_why(plan: object, sentence: str) -> None:
    driver = Driver()
    driver.submit()
    driver.succeed("plan", plan)
    (result,) = driver.results
    assert result.state == "failed"
    assert result.failure is not None
    assert result.failure.kind == "invalid-plan"
    assert sentence in result.failure.detail


def test_a_failed_step_undoes_what_was_done_dependants_first() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"), step("c", "b"))
    driver.succeed("a", "A")
    driver.succeed("b", "B")
    driver.fail("c")
    undo = driver.call("c", undo=True)
    assert undo.in_doubt
    assert undo.recorded is None
    driver.succeed("c", undo=True)
    assert driver.call("b", undo=True).recorded == "B"
    driver.succeed("b", undo=True)
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert (result.state, result.failed_step) == ("compensated", "c")
    shown = find(driver.state, "s1")
    assert shown is not None
    assert shown["compensations"] == ["c", "b", "a"]


def test_independent_branches_are_undone_side_by_side() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b"), step("c", "a", "b"))
    driver.succeed("a")
    driver.succeed("b")
    driver.fail("c")
    driver.succeed("c", undo=True)
    assert {call.step_id for call in driver.calls[-2:]} == {"a", "b"}


def test_a_step_without_compensation_is_passed_over_and_its_needs_wait_for_its_dependants() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a", compensable=False), step("c", "b"))
    driver.succeed("a")
    driver.succeed("b")
    driver.fail("c")
    assert [call.step_id for call in driver.calls if call.kind == "compensate"] == ["c"]
    driver.succeed("c", undo=True)
    assert driver.calls[-1].step_id == "a"
    driver.succeed("a", undo=True)
    assert driver.results[0].state == "compensated"


def test_nothing_is_undone_while_a_forward_call_is_under_way() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b"))
    driver.fail("a")
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("b").call_id]
    assert not [call for call in driver.calls if call.kind == "compensate"]
    driver.succeed("b", "late success")
    undo = driver.call("b", undo=True)
    assert (undo.in_doubt, undo.recorded) == (False, "late success")
    assert driver.call("a", undo=True).in_doubt


def test_a_cancelled_call_that_never_answers_is_given_up_at_its_deadline() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b"))
    driver.fail("a")
    driver.pass_time(3_000)
    assert driver.call("b", undo=True).in_doubt


def test_attempts_are_retried_within_the_policy() -> None:
    driver = Driver()
    retry = {"attempts": 3, "initial_ms": 100, "factor": 2.0, "cap_ms": 1_000}
    driver.open_with(step("a", retry=retry))
    flaky = Failure("flaky", "not now")
    for attempt in (1, 2):
        assert driver.call("a").attempt == attempt
        driver.fail("a", flaky)
        driver.pass_time(100 * 2**attempt)
    assert driver.call("a").attempt == 3
    assert driver.call("a").idempotency_key == "s1/a/do"
    driver.fail("a", flaky)
    assert driver.state.sagas["s1"].phase == "compensating"


def test_retry_after_is_honoured() -> None:
    driver = Driver()
    driver.open_with(step("a", retry={"attempts": 2, "initial_ms": 1, "factor": 1.0, "cap_ms": 1}))
    driver.fail("a", Failure("busy", "later", retry_after_ms=5_000))
    driver.pass_time(4_999)
    assert driver.call("a").attempt == 1
    driver.pass_time(100)
    assert driver.call("a").attempt == 2


def test_a_refused_call_comes_again_without_using_up_an_attempt() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    opened = Failure("breaker-open", "open", retry_after_ms=1_000)
    for _ in range(5):
        driver.fail("a", opened, status="refused")
        driver.pass_time(1_500)
    assert driver.call("a").attempt == 1
    driver.succeed("a")
    assert driver.calls[-1].step_id == "aggregate"


def test_a_step_that_is_never_let_in_fails_in_the_end() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=10_000))
    driver.open_with(step("a"))
    for _ in range(20):
        if driver.state.sagas["s1"].phase == "compensating":
            break
        driver.fail("a", Failure("breaker-open", "open", retry_after_ms=1_000), status="refused")
        driver.pass_time(1_500)
    assert driver.state.sagas["s1"].failed_step == "a"


def test_an_unknown_agent_fails_the_step_at_once() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.fail("a", Failure("unknown-agent", "who?", retryable=False), status="refused")
    assert driver.state.sagas["s1"].phase == "compensating"


def test_a_step_without_an_answer_times_out_and_its_late_answer_changes_nothing() -> None:
    driver = Driver()
    driver.open_with(step("a", retry={"attempts": 2, "initial_ms": 1, "factor": 1.0, "cap_ms": 1}))
    first = driver.call("a")
    driver.pass_time(2_100)
    assert driver.call("a").attempt == 2
    assert names(driver.give(outcome(first, result="late"))) == ["OutcomeIgnored"]
    driver.succeed("a", "in time")
    assert driver.call("aggregate").recorded == {"a": "in time"}


def test_a_doubled_answer_changes_nothing() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    assert names(driver.succeed("a")) == ["OutcomeIgnored"]
    assert [call.step_id for call in driver.calls].count("b") == 1


def test_compensation_is_retried_until_it_succeeds_and_shown_as_stuck() -> None:
    driver = Driver(SagaSettings(stuck_after_attempts=3))
    driver.open_with(step("a"))
    driver.fail("a")
    for _ in range(5):
        driver.fail("a", Failure("down", "down", retryable=False), undo=True)
        driver.pass_time((driver.shard.due() or 0) - driver.now)
    assert summaries(driver.state)[0]["state"] == "stuck"
    driver.succeed("a", undo=True)
    assert driver.results[0].state == "compensated"


def test_a_saga_can_be_cancelled_and_what_runs_is_undone_as_in_doubt() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    driver.give(CancelSaga("s1", "anna", "not needed"))
    driver.fail("b", Failure("cancelled", "cancelled", retryable=False))
    driver.succeed("b", undo=True)
    driver.give(CancelSaga("s1", "anna"))
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert result.state == "compensated"
    assert result.failure is not None
    assert result.failure.detail == "cancelled by anna: not needed"


def test_a_cancel_between_two_attempts_undoes_at_once() -> None:
    driver = Driver()
    driver.open_with(
        step("a", retry={"attempts": 2, "initial_ms": 99, "factor": 1.0, "cap_ms": 99})
    )
    driver.fail("a", Failure("flaky", "x"))
    driver.give(CancelSaga("s1", "anna"))
    assert driver.call("a", undo=True).in_doubt
    driver.pass_time(500)
    assert [call.attempt for call in driver.calls if call.kind == "step"] == [1]


def test_cancelling_while_it_is_planned_fails_the_saga_when_the_plan_is_answered() -> None:
    driver = Driver()
    driver.submit()
    driver.give(CancelSaga("s1", "anna"))
    driver.succeed("plan", [step("a")])
    assert driver.results[0].state == "failed"
    assert [call.step_id for call in driver.calls] == ["plan"]


def test_a_task_for_an_unknown_team_is_refused_with_a_dead_letter() -> None:
    driver = Driver()
    driver.submit("s9", "nobody")
    (result,) = driver.results
    assert result.state == "refused"
    assert result.failure is not None
    assert TEAM in result.failure.detail
    assert "folkmoot worker" in result.failure.detail
    assert DEAD_LETTERS in [send.topic for send in driver.sent]


def test_the_same_task_joins_its_saga_while_it_runs_and_after() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    assert driver.give(Task(TEAM, {"q": 1}, "s1")) == []
    driver.succeed("a", 1)
    driver.succeed("aggregate", 2)
    driver.give(Task(TEAM, {"q": 1}, "s1"))
    assert [result.result for result in driver.results] == [2, 2]


def test_a_shard_takes_no_more_than_its_limit() -> None:
    driver = Driver(SagaSettings(open_sagas_max=1))
    driver.submit("s1")
    driver.submit("s2")
    assert [r.failure.kind for r in driver.results if r.failure] == ["overloaded"]


def test_hooks_are_retried_and_a_failed_aggregation_undoes_the_saga() -> None:
    driver = Driver(SagaSettings(hook_attempts=2))
    driver.open_with(step("a"))
    driver.succeed("a")
    driver.fail("aggregate", Failure("flaky", "x"))
    driver.pass_time(1_000)
    driver.fail("aggregate", Failure("flaky", "x"))
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert (result.state, result.failed_step) == ("compensated", "aggregate")


def test_a_new_leader_gives_grace_before_it_times_anything_out() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.now += 60_000
    driver.give(Led("a", 0))
    due = driver.shard.due()
    assert due is not None
    assert due > driver.now
    driver.succeed("a", "in the end")
    assert driver.call("aggregate").recorded == {"a": "in the end"}


def test_replaying_the_log_gives_the_same_state() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"), step("c"))
    driver.succeed("a", 1)
    driver.fail("b", Failure("broken", "x"))
    driver.succeed("c")
    driver.succeed("c", undo=True)
    assert driver.replayed() == driver.state
