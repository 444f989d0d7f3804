"""Sagas going forwards and backwards, one rule a test."""

from __future__ import annotations

import pytest
from saga_driver import TEAM, Driver, outcome, step

from folkmoot.core.kernel import DEAD_LETTERS, Led, Tick
from folkmoot.core.messages import CancelSaga, Failure, Task
from folkmoot.core.saga import Backoff, SagaSettings, find, summaries
from folkmoot.core.saga.settings import DETAIL_CHARS_MAX
from folkmoot.core.saga.waiting import wait_ms

CLOSED_OUT = Failure("breaker-open", "open", retry_after_ms=1_000)
UNKNOWN_AGENT = Failure("unknown-agent", "who?", retryable=False)
RETRY_TWICE_AT_ONCE = {"attempts": 2, "initial_ms": 0, "factor": 1.0, "cap_ms": 0}


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
        ([step("a", timeout_ms=0)], "timeout_ms must be a whole number from 1 to"),
        ([step("a", timeout_ms=True)], "timeout_ms must be a whole number from 1 to"),
        ([step("a", compensable="no")], "compensable must be true or false"),
        ([step("a", retry=None)], "retry must be an object"),
        ([step("a", retry={"factor": "2"})], "factor must be a number"),
        ([step("a", retry={"factor": float("nan")})], "factor must be from 1 to"),
        ([step("a", retry={"factor": 10**400})], "factor must be from 1 to"),
        ([step("a", retry={"cap_ms": 2**62})], "cap_ms must be a whole number from 0 to"),
        ([step("a", need=["b"])], "'need' is none of its fields"),
        ([step("a", retry={"attemps": 3})], "'attemps' is none of its fields"),
        ([step("a", input="x" * 600_000)], "plan fewer steps, or pass references"),
        ([step("x" * 500_000)], "use at most 200 characters"),
        ([step("a", "x" * 500_000)], "step 'a' needs 'xxx"),
        ([step(f"s{n}", f"s{(n + 1) % 5_000}") for n in range(5_000)], "… (5,000 steps in all)"),
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
    assert len(result.failure.detail) <= DETAIL_CHARS_MAX


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


def test_a_wait_grows_to_its_cap_and_no_further_whatever_the_factor() -> None:
    for factor in (1.0, 1.5, 2.0, 1e6):
        waits = [wait_ms(Backoff(10, factor, 1_000), n, "s1/a") for n in (1, 2, 50, 10_000)]
        assert 1 <= waits[0] <= 10
        assert waits[1] <= min(1_000, 10 * factor)
        assert max(waits) <= 1_000
    spread = {wait_ms(Backoff(10, 2.0, 1_000), 50, f"s{n}") for n in range(50)}
    assert max(spread) - min(spread) > 500


def test_a_step_may_be_tried_again_at_once() -> None:
    driver = Driver()
    driver.open_with(step("a", retry=RETRY_TWICE_AT_ONCE))
    driver.fail("a", Failure("flaky", "x"))
    driver.pass_time(1)
    assert driver.call("a").attempt == 2


def test_retry_after_is_honoured_within_reason() -> None:
    driver = Driver(SagaSettings(retry_after_ms_max=7_000))
    driver.open_with(step("a", retry=RETRY_TWICE_AT_ONCE))
    driver.fail("a", Failure("busy", "in a million years", retry_after_ms=10**15))
    driver.pass_time(7_000)
    assert driver.call("a").attempt == 2


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
    for _ in range(5):
        driver.fail("a", CLOSED_OUT, status="refused")
        driver.pass_time(1_500)
    assert driver.call("a").attempt == 1
    driver.succeed("a")
    assert driver.calls[-1].step_id == "aggregate"


def test_a_step_that_is_never_let_in_fails_in_the_end() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=10_000))
    driver.open_with(step("a"))
    for _ in range(20):
        if driver.results:
            break
        driver.fail("a", CLOSED_OUT, status="refused")
        driver.pass_time(1_500)
    (result,) = driver.results
    assert result.failed_step == "a"


def test_only_refusals_in_a_row_count_towards_that_limit() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=10_000))
    driver.open_with(step("a", timeout_ms=60_000, retry=RETRY_TWICE_AT_ONCE))
    driver.fail("a", CLOSED_OUT, status="refused")
    driver.pass_time(20_000)
    driver.fail("a", Failure("flaky", "it had been let in"))
    driver.pass_time(100)
    driver.fail("a", CLOSED_OUT, status="refused")
    assert driver.state.sagas["s1"].phase == "running"


def test_each_try_has_a_call_id_of_its_own_so_that_an_old_refusal_is_not_taken_for_a_new() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    first = driver.call("a")
    driver.fail("a", CLOSED_OUT, status="refused")
    driver.pass_time(1_500)
    again = driver.call("a")
    assert (again.attempt, again.idempotency_key) == (first.attempt, first.idempotency_key)
    stale = outcome(first, status="refused", failure=CLOSED_OUT)
    assert names(driver.give(stale)) == ["OutcomeIgnored"]


def test_an_unknown_agent_fails_the_step_at_once_and_it_is_not_asked_to_undo_anything() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a", agent="nobody"))
    driver.succeed("a")
    driver.fail("b", UNKNOWN_AGENT, status="refused")
    assert [call.step_id for call in driver.calls if call.kind == "compensate"] == ["a"]
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert (result.state, result.failure, result.failed_step) == ("compensated", UNKNOWN_AGENT, "b")


def test_a_step_refused_for_good_is_undone_if_an_earlier_attempt_was_let_in() -> None:
    driver = Driver()
    driver.open_with(step("a", retry=RETRY_TWICE_AT_ONCE))
    driver.fail("a", Failure("flaky", "who knows what it did"))
    driver.pass_time(100)
    driver.fail("a", UNKNOWN_AGENT, status="refused")
    assert driver.call("a", undo=True).in_doubt


def test_a_step_that_was_never_let_in_is_passed_over_by_a_cancel() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.fail("a", CLOSED_OUT, status="refused")
    assert "StepPassedOver" in names(driver.give(CancelSaga("s1", "anna")))
    assert driver.results[0].state == "compensated"


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


def test_a_compensation_may_ask_for_time() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.fail("a")
    driver.fail("a", Failure("busy", "later", retry_after_ms=90_000), undo=True)
    driver.pass_time(89_999)
    assert driver.call("a", undo=True).attempt == 1
    driver.pass_time(1)
    assert driver.call("a", undo=True).attempt == 2


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


def test_a_leader_that_never_answers_is_told_by_its_time_limit() -> None:
    driver = Driver(SagaSettings(hook_attempts=1, hook_timeout_ms=5_000))
    driver.submit()
    driver.pass_time(10_000)
    (result,) = driver.results
    assert result.failure is not None
    assert (result.state, result.failed_step) == ("failed", "plan")
    assert result.failure.detail == "no answer came within 5,000 ms"
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("plan").call_id]


def test_a_leader_is_not_kept_waiting_by_a_plan_that_is_cancelled() -> None:
    driver = Driver()
    driver.submit()
    driver.give(CancelSaga("s1", "anna"))
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("plan").call_id]


def test_a_new_leader_gives_grace_to_a_deadline_that_is_about_to_pass() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    deadline = driver.shard.due()
    assert deadline is not None
    driver.now = deadline - 1
    driver.give(Led("a", 0))
    assert driver.shard.due() == driver.now + SagaSettings().takeover_grace_ms


def test_grace_holds_back_time_outs_and_not_what_is_ready() -> None:
    driver = Driver(SagaSettings(wave_max=2))
    driver.submit("s2")
    driver.open_with(*[step(name, timeout_ms=600_000) for name in "abc"])
    driver.now += 70_000
    driver.give(Led("a", 0))
    assert names(driver.give(Tick())) == ["StepScheduled"]
    assert not driver.cancels


def test_a_saga_id_may_hold_what_separates_it_from_a_step_id() -> None:
    driver = Driver()
    driver.submit("a/b")
    driver.pass_time(61_000)
    assert [cancel.saga_id for cancel in driver.cancels] == ["a/b"]


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
