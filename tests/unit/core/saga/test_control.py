"""What users and operators ask of a saga: what follows, and what is refused and why."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import Driver, outcome, step

from folkmoot.core.kernel import Led, Refused
from folkmoot.core.messages import (
    CancelSaga,
    Failure,
    ForceComplete,
    PauseSaga,
    ResumeSaga,
    RetryStep,
    SkipStep,
    TerminateSaga,
)
from folkmoot.core.saga import ControlAnswer, SagaSettings, announcement_subject, find, summaries

FLAKY = Failure("flaky", "try again")
SLOW_RETRY = {"attempts": 3, "initial_ms": 60_000, "factor": 1.0, "cap_ms": 60_000}


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def pause(driver: Driver) -> None:
    assert names(driver.give(PauseSaga("s1", "anna", "lunch"))) == ["ControlAccepted", "SagaPaused"]


def resume(driver: Driver) -> list[Any]:
    return driver.give(ResumeSaga("s1", "bert"))


def refusal(events: list[Any]) -> Failure:
    (event,) = events
    assert type(event).__name__ == "ControlRefused"
    failure: Failure = event.failure
    return failure


def steps_called(driver: Driver) -> list[str]:
    return [call.step_id for call in driver.calls if call.kind == "step"]


def undone_so_far(driver: Driver) -> list[str]:
    return [call.step_id for call in driver.calls if call.kind == "compensate"]


# -- pause and resume ---------------------------------------------------------------------------


def test_a_paused_saga_takes_answers_and_begins_nothing_until_it_is_resumed() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    pause(driver)
    driver.succeed("a", 1)
    assert steps_called(driver) == ["a"]
    assert driver.shard.due() is None
    assert summaries(driver.state)[0]["state"] == "paused"
    resume(driver)
    driver.pass_time(0)
    assert driver.call("b").recorded == {"a": 1}


def test_what_was_left_of_a_timer_is_left_after_the_pause() -> None:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=10_000))
    driver.pass_time(4_000)
    pause(driver)
    driver.pass_time(24 * 3600 * 1000)
    assert not driver.cancels
    resume(driver)
    grace = SagaSettings().answer_grace_ms
    driver.pass_time(6_000 + grace - 1)
    assert not driver.cancels
    driver.pass_time(1)
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("a").call_id]


def test_a_wait_that_begins_during_a_pause_is_waited_out_after_it() -> None:
    driver = Driver()
    driver.open_with(step("a", retry={"attempts": 2, "initial_ms": 0, "factor": 1.0, "cap_ms": 0}))
    pause(driver)
    driver.fail("a", Failure("busy", "later", retry_after_ms=5_000))
    driver.pass_time(1_000_000)
    shown = find(driver.state, "s1")
    assert shown is not None
    assert shown["steps"][1]["waiting_for"] == "the saga to be resumed"
    resume(driver)
    driver.pass_time(4_999)
    assert driver.call("a").attempt == 1
    driver.pass_time(1)
    assert driver.call("a").attempt == 2


def test_a_pause_does_not_count_towards_how_long_a_step_may_be_refused() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=10_000))
    driver.open_with(step("a", timeout_ms=600_000))
    closed = Failure("breaker-open", "open", retry_after_ms=1_000)
    driver.fail("a", closed, status="refused")
    pause(driver)
    driver.pass_time(1_000_000)
    resume(driver)
    driver.pass_time(2_000)
    driver.fail("a", closed, status="refused")
    assert driver.state.sagas["s1"].phase == "running"


def test_all_that_is_done_during_a_pause_is_aggregated_after_it() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    pause(driver)
    driver.succeed("a", 1)
    assert "aggregate" not in [call.step_id for call in driver.calls]
    assert names(resume(driver)) == ["ControlAccepted", "SagaResumed", "StepScheduled"]
    driver.succeed("aggregate", 2)
    assert driver.results[0].result == 2


@pytest.mark.parametrize("plan", [[], [step("a")]])
def test_a_plan_that_comes_during_a_pause_is_begun_after_it(plan: list[Any]) -> None:
    driver = Driver()
    driver.submit()
    pause(driver)
    driver.succeed("plan", plan)
    assert len(driver.calls) == 1
    resume(driver)
    driver.pass_time(0)
    assert driver.calls[-1].step_id == ("a" if plan else "aggregate")


def test_a_paused_saga_that_fails_or_is_cancelled_is_undone_after_the_pause() -> None:
    for cancelled in (True, False):
        driver = Driver()
        driver.open_with(step("a"), step("b", "a"), step("c", "b"))
        driver.succeed("a")
        driver.succeed("b")
        pause(driver)
        if cancelled:
            driver.give(CancelSaga("s1", "anna"))
        driver.fail("c")
        assert undone_so_far(driver) == []
        resume(driver)
        driver.pass_time(0)
        assert undone_so_far(driver) == ["c"]
        pause(driver)
        driver.succeed("c", undo=True)
        assert undone_so_far(driver) == ["c"]
        resume(driver)
        driver.pass_time(0)
        driver.succeed("b", undo=True)
        driver.succeed("a", undo=True)
        assert driver.results[0].state == "compensated"
        assert driver.replayed() == driver.state


def test_a_paused_saga_survives_a_change_of_leader() -> None:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=10_000))
    pause(driver)
    assert driver.give(Led("b", 1)) == []
    driver.pass_time(1_000_000)
    assert driver.replayed() == driver.state
    assert not driver.cancels


def test_pausing_one_saga_leaves_the_others_alone() -> None:
    driver = Driver()
    driver.open_with(step("a"), saga_id="s2")
    driver.open_with(step("a"), step("b", "a"))
    pause(driver)
    driver.succeed("a", saga_id="s2")
    driver.succeed("aggregate", 1, saga_id="s2")
    assert [result.saga_id for result in driver.results] == ["s2"]


# -- terminate ----------------------------------------------------------------------------------


def test_a_terminated_saga_ends_at_once_and_undoes_nothing() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b"))
    driver.succeed("a")
    driver.give(TerminateSaga("s1", "anna", "it must stop"))
    (result,) = driver.results
    assert (result.state, undone_so_far(driver)) == ("terminated", [])
    assert result.failure is not None
    assert result.failure.detail == "terminated by anna: it must stop"
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("b").call_id]
    assert driver.shard.due() is None
    assert names(driver.succeed("b")) == ["OutcomeIgnored"]
    assert driver.replayed() == driver.state


def test_a_paused_saga_with_ready_steps_can_be_terminated() -> None:
    driver = Driver(SagaSettings(wave_max=1))
    driver.open_with(step("a"), step("b"))
    pause(driver)
    driver.give(TerminateSaga("s1", "anna"))
    assert driver.shard.due() is None
    assert driver.state.backlog == {}


def test_a_saga_with_ready_steps_can_be_terminated() -> None:
    driver = Driver(SagaSettings(wave_max=1))
    driver.open_with(step("a"), step("b"))
    driver.give(TerminateSaga("s1", "anna"))
    assert driver.shard.due() is None


# -- steps --------------------------------------------------------------------------------------


def test_a_step_that_waits_for_its_next_attempt_is_tried_at_once() -> None:
    driver = Driver()
    driver.open_with(step("a", retry=SLOW_RETRY))
    driver.fail("a", FLAKY)
    driver.give(RetryStep("s1", "a", "anna"))
    assert driver.call("a").attempt == 2
    driver.succeed("a")
    assert driver.calls[-1].step_id == "aggregate"


def test_a_compensation_that_waits_is_tried_at_once() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    driver.fail("a")
    driver.fail("a", FLAKY, undo=True)
    driver.give(RetryStep("s1", "a", "anna"))
    assert driver.call("a", undo=True).attempt == 2


def test_a_stuck_compensation_can_be_skipped_and_the_result_says_so() -> None:
    driver = Driver(SagaSettings(stuck_after_attempts=1))
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    driver.fail("b")
    driver.fail("b", FLAKY, undo=True)
    events = driver.give(SkipStep("s1", "b", "anna", "the shop is gone"))
    assert (events[0].actor, events[0].reason) == ("anna", "the shop is gone")
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert (result.state, result.not_undone) == ("compensated", ("b",))
    assert driver.replayed() == driver.state


def test_a_stuck_compensation_can_be_taken_as_done_by_hand_also_while_it_is_called() -> None:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    driver.succeed("a")
    driver.fail("b")
    call = driver.call("b", undo=True)
    driver.give(ForceComplete("s1", "b", "anna", "refunded by hand"))
    assert [cancel.call_id for cancel in driver.cancels] == [call.call_id]
    assert undone_so_far(driver) == ["b", "a"]
    assert names(driver.give(outcome(call))) == ["OutcomeIgnored"]
    driver.succeed("a", undo=True)
    (result,) = driver.results
    assert (result.state, result.not_undone) == ("compensated", ())


def test_a_step_can_be_taken_as_done_with_a_result_which_is_undone_like_any_other() -> None:
    driver = Driver()
    driver.open_with(step("a", retry=SLOW_RETRY), step("b", "a"))
    driver.fail("a", FLAKY)
    driver.give(ForceComplete("s1", "a", "anna", "", {"n": 1}))
    assert driver.call("b").recorded == {"a": {"n": 1}}
    driver.fail("b")
    driver.succeed("b", undo=True)
    assert driver.call("a", undo=True).recorded == {"n": 1}


def test_a_step_that_runs_can_be_taken_as_done_and_its_worker_is_told() -> None:
    driver = Driver()
    driver.open_with(step("a"))
    call = driver.call("a")
    driver.give(ForceComplete("s1", "a", "anna"))
    assert [cancel.call_id for cancel in driver.cancels] == [call.call_id]
    assert driver.calls[-1].step_id == "aggregate"


def test_a_skipped_step_has_no_result_and_is_undone_as_in_doubt_if_it_may_have_begun() -> None:
    for refused in (True, False):
        driver = Driver()
        driver.open_with(step("a", retry=SLOW_RETRY), step("b", "a"), step("c", "b"))
        if refused:
            driver.fail("a", FLAKY, status="refused")
        driver.give(SkipStep("s1", "a", "anna"))
        assert driver.call("b").recorded == {"a": None}
        driver.succeed("b")
        driver.fail("c")
        driver.succeed("c", undo=True)
        driver.succeed("b", undo=True)
        if not refused:
            assert driver.call("a", undo=True).in_doubt
            driver.succeed("a", undo=True)
        assert driver.results[0].state == "compensated"
        assert driver.replayed() == driver.state


def test_a_plan_and_a_result_can_be_given_by_hand() -> None:
    driver = Driver()
    driver.submit()
    failure = refusal(driver.give(ForceComplete("s1", "plan", "anna", "", [step("a", "b")])))
    assert (failure.kind, "needs 'b'" in failure.detail) == ("invalid-plan", True)
    driver.give(ForceComplete("s1", "plan", "anna", "", [step("a")]))
    driver.succeed("a")
    driver.give(ForceComplete("s1", "aggregate", "anna", "", 42))
    assert driver.results[0].result == 42


# -- refusals -----------------------------------------------------------------------------------


def running() -> Driver:
    driver = Driver()
    driver.open_with(step("a"), step("b", "a"))
    return driver


def compensating() -> Driver:
    driver = Driver()
    driver.open_with(step("a"), step("b"), step("c", "a"))
    driver.succeed("a")
    driver.fail("b")
    return driver


def paused() -> Driver:
    driver = Driver()
    driver.open_with(step("a", retry=SLOW_RETRY))
    driver.fail("a", FLAKY)
    driver.give(PauseSaga("s1", "anna"))
    return driver


def ended() -> Driver:
    driver = Driver()
    driver.open_with()
    driver.succeed("aggregate")
    return driver


@pytest.mark.parametrize(
    ("made", "request_", "kind", "sentence"),
    [
        (running, PauseSaga("s9", "anna"), "unknown-saga", "knows no saga 's9'"),
        (running, ResumeSaga("s1", "anna"), "wrong-phase", "it is not paused"),
        (running, RetryStep("s1", "z", "anna"), "unknown-step", "has no step 'z'"),
        (running, RetryStep("s1", "a", "anna"), "wrong-phase", "'a' is running"),
        (running, SkipStep("s1", "b", "anna"), "wrong-phase", "'b' is waiting"),
        (running, SkipStep("s1", "plan", "anna"), "wrong-phase", "cannot be skipped"),
        (running, ForceComplete("s1", "plan", "anna"), "wrong-phase", "'plan' is succeeded"),
        (compensating, CancelSaga("s1", "anna"), "wrong-phase", "being undone already"),
        (compensating, SkipStep("s1", "c", "anna"), "wrong-phase", "answer is awaited"),
        (compensating, ForceComplete("s1", "c", "anna"), "wrong-phase", "answer is awaited"),
        (paused, PauseSaga("s1", "anna"), "wrong-phase", "paused already"),
        (paused, RetryStep("s1", "a", "anna"), "wrong-phase", "resume it first"),
        (ended, CancelSaga("s1", "anna"), "saga-ended", "it is completed"),
        (ended, TerminateSaga("s1", "anna"), "saga-ended", "it is completed"),
    ],
)
def test_what_does_not_fit_is_refused_recorded_and_changes_nothing(
    made: Any, request_: Any, kind: str, sentence: str
) -> None:
    driver = made()
    before = len(driver.sent), driver.shard.due()
    failure = refusal(driver.give(request_))
    assert failure.kind == kind
    assert sentence in failure.detail
    assert (len(driver.sent), driver.shard.due()) == before


def test_a_request_is_answered_once_and_its_answer_can_be_asked_for() -> None:
    driver = running()
    driver.give(PauseSaga("s1", "anna", request_id="r1"))
    assert driver.give(PauseSaga("s1", "anna", request_id="r1")) == []
    driver.give(PauseSaga("s1", "anna", request_id="r2"))
    accepted, refused = driver.state.controls["r1"], driver.state.controls["r2"]
    assert (accepted, refused.accepted) == (ControlAnswer("s1", "r1"), False)
    assert announcement_subject("r1") == "folkmoot.announce.controls.r1"


def test_a_request_that_could_not_be_answered_is_a_dead_letter() -> None:
    driver = running()
    with pytest.raises(Refused, match="use 1 to 128 letters"):
        driver.give(PauseSaga("s1", "anna", request_id="a.*.b"))


def test_what_a_stranger_writes_is_recorded_only_so_far() -> None:
    driver = running()
    long = "x" * 400_000
    (event,) = driver.give(RetryStep(long, long, long, long))
    assert max(len(getattr(event, name)) for name in ("saga_id", "step_id", "actor")) <= 200
    assert len(event.reason) <= 2_000
