"""The point of no return, steps that never fail for good, and the times that a step may take."""

from __future__ import annotations

from typing import Any

import pytest
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import CallProgress, CancelSaga, Failure, ForceComplete, SkipStep
from folkmoot.core.saga import SagaSettings, summaries

BROKEN = Failure("broken", "no use", retryable=False)
FLAKY = Failure("flaky", "try again")
OPEN = Failure("breaker-open", "later", retry_after_ms=50)
NOBODY = Failure("unknown-agent", "who?", retryable=False)
GRACE = SagaSettings().answer_grace_ms


def names(events: list[Any]) -> list[str]:
    return [type(event).__name__ for event in events]


def pivot(*needs: str, **fields: Any) -> dict[str, Any]:
    return step("charge", *needs, role="pivot", compensable=False, **fields)


def wait(driver: Driver) -> None:
    """Let the next timer fall due."""
    driver.pass_time((driver.shard.due() or 0) - driver.now)


def state_of(driver: Driver) -> str:
    return str(summaries(driver.state)[0]["state"])


# -- the pivot ----------------------------------------------------------------------------------


def test_before_the_pivot_has_succeeded_a_failure_undoes_everything() -> None:
    driver = Driver()
    driver.open_with(step("a"), pivot("a"), step("ship", "charge"))
    driver.succeed("a")
    driver.fail("charge", BROKEN)
    driver.succeed("a", undo=True)
    assert driver.results[0].state == "compensated"


def test_after_the_pivot_a_failure_is_retried_until_it_succeeds_and_shown_as_stuck() -> None:
    driver = Driver()
    driver.open_with(step("a"), pivot("a"), step("ship", "charge"))
    driver.succeed("a")
    driver.succeed("charge")
    assert names(driver.fail("ship", BROKEN)) == ["StepRetryScheduled", "StepStuck"]
    for _ in range(30):
        wait(driver)
        assert names(driver.fail("ship", BROKEN)) == ["StepRetryScheduled"]
    assert (state_of(driver), list(driver.state.stuck)) == ("stuck", ["s1"])
    wait(driver)
    driver.succeed("ship")
    assert (state_of(driver), list(driver.state.stuck)) == ("aggregating", [])
    driver.fail("aggregate", BROKEN)
    wait(driver)
    driver.succeed("aggregate", "done")
    assert driver.results[0].state == "completed"
    assert "compensate" not in [call.kind for call in driver.calls]
    assert driver.replayed() == driver.state


def test_after_the_pivot_a_refusal_for_good_is_waited_out() -> None:
    driver = Driver(SagaSettings(deferred_ms_max=1_000))
    driver.open_with(pivot(), step("ship", "charge"))
    driver.succeed("charge")
    assert names(driver.fail("ship", NOBODY, status="refused")) == ["StepDeferred", "StepStuck"]
    for _ in range(5):
        wait(driver)
        assert names(driver.fail("ship", OPEN, status="refused")) == ["StepDeferred"]
    wait(driver)
    driver.succeed("ship")
    assert driver.calls[-1].step_id == "aggregate"


def test_a_pivot_without_an_answer_is_tried_until_it_is_known_whether_it_took_effect() -> None:
    driver = Driver()
    driver.open_with(step("a"), pivot("a"))
    driver.succeed("a")
    for _ in range(3):
        driver.pass_time(1_000 + GRACE)
        assert state_of(driver) == "stuck"
        wait(driver)
    driver.fail("charge", BROKEN)
    driver.succeed("a", undo=True)
    assert driver.results[0].state == "compensated"


def test_a_pivot_in_doubt_that_is_refused_for_good_stays_in_doubt() -> None:
    driver = Driver()
    driver.open_with(step("a"), pivot("a"))
    driver.succeed("a")
    driver.pass_time(1_000 + GRACE)
    wait(driver)
    driver.fail("charge", NOBODY, status="refused")
    assert state_of(driver) == "stuck"


@pytest.mark.parametrize("when", ["under way", "in doubt", "succeeded"])
def test_nobody_can_cancel_what_may_be_past_its_pivot(when: str) -> None:
    driver = Driver()
    driver.open_with(pivot(retry={"attempts": 2}), step("ship", "charge"))
    if when == "in doubt":
        driver.pass_time(1_000 + GRACE)
    elif when == "succeeded":
        driver.succeed("charge")
    (event,) = driver.give(CancelSaga("s1", "anna"))
    assert event.failure.kind == "past-pivot"


def test_a_cancel_is_fine_before_the_pivot_and_when_it_is_known_to_have_failed() -> None:
    driver = Driver()
    driver.open_with(step("a"), pivot("a", retry={"attempts": 2}))
    driver.succeed("a")
    driver.fail("charge", FLAKY)
    driver.give(CancelSaga("s1", "anna"))
    driver.succeed("a", undo=True)
    assert driver.results[0].state == "compensated"


def test_an_operator_says_that_the_pivot_took_effect_and_cannot_skip_it() -> None:
    driver = Driver()
    driver.open_with(pivot(), step("ship", "charge"))
    (refused,) = driver.give(SkipStep("s1", "charge", "anna"))
    assert "is the pivot" in refused.failure.detail
    driver.give(ForceComplete("s1", "charge", "anna", "the bank says so"))
    assert driver.state.sagas["s1"].committed
    assert driver.calls[-1].step_id == "ship"


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        ([pivot(), step("b")], "step 'b' may run beside the pivot 'charge'"),
        ([step("a"), pivot("a"), step("b", "a")], "step 'b' may run beside the pivot"),
        ([pivot(), step("b", "charge", role="pivot")], "two pivots, 'charge' and 'b'"),
        ([step("b", role="pivot")], "is a pivot and compensable"),
        ([step("b", role="captain")], "role must be one of: ordinary, pivot, retriable"),
        ([step("b", heartbeat_ms=-1)], "heartbeat_ms must be a whole number from 0"),
        ([step("b", retry={"total_ms": 0.5})], "total_ms must be a whole number from 0"),
    ],
)
def test_a_plan_that_could_need_both_ways_at_once_is_refused(plan: Any, sentence: str) -> None:
    driver = Driver()
    driver.submit()
    driver.succeed("plan", plan)
    assert driver.results[0].failure is not None
    assert sentence in driver.results[0].failure.detail


# -- retriable steps ----------------------------------------------------------------------------


def test_a_retriable_step_may_run_beside_the_pivot_and_never_fails_for_good() -> None:
    driver = Driver()
    driver.open_with(pivot(), step("mail", role="retriable"))
    driver.fail("mail", BROKEN)
    driver.succeed("charge")
    wait(driver)
    driver.succeed("mail")
    assert driver.calls[-1].step_id == "aggregate"


def test_a_retriable_step_is_undone_like_any_other_before_the_pivot() -> None:
    driver = Driver()
    driver.open_with(step("a", role="retriable"), step("b"))
    driver.fail("a", BROKEN)
    driver.fail("b", BROKEN)
    assert list(driver.state.stuck) == []
    assert driver.call("a", undo=True).in_doubt


# -- times --------------------------------------------------------------------------------------


def test_no_attempt_begins_after_the_time_for_all_together() -> None:
    driver = Driver()
    retry = {"attempts": 99, "initial_ms": 10_000, "factor": 1.0, "cap_ms": 10_000}
    driver.open_with(step("a", retry=retry | {"total_ms": 30_000}))
    began = driver.now
    while driver.state.sagas["s1"].phase == "running":
        driver.fail("a", Failure("busy", "later", retry_after_ms=10_000))
        driver.pass_time(10_000)
    assert driver.call("a").attempt == 3
    assert driver.now <= began + 30_000


def test_an_attempt_that_no_worker_begins_in_time_is_tried_elsewhere() -> None:
    driver = Driver()
    retry = {"attempts": 2, "initial_ms": 0, "cap_ms": 0}
    driver.open_with(step("a", timeout_ms=600_000, queue_timeout_ms=5_000, retry=retry))
    first = driver.call("a")
    assert first.start_by == driver.now + 5_000
    driver.pass_time(5_000 + GRACE + 1)
    assert [cancel.call_id for cancel in driver.cancels] == [first.call_id]
    failure = driver.state.sagas["s1"].steps["a"].failure
    assert failure is not None
    assert failure.detail == "no worker began it within 5,000 ms"
    assert driver.call("a").attempt == 2


def test_an_attempt_that_was_begun_in_time_has_its_whole_time() -> None:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=600_000, queue_timeout_ms=5_000))
    began(driver)
    assert began(driver) == []
    driver.pass_time(599_999)
    assert not driver.cancels
    driver.pass_time(GRACE + 1)
    assert len(driver.cancels) == 1


def began(driver: Driver) -> list[Any]:
    call = driver.call("a")
    return driver.give(CallProgress(call.call_id, call.saga_id, call.step_id))


def test_an_attempt_that_was_begun_was_not_refused_whatever_its_answer_says() -> None:
    driver = Driver()
    driver.open_with(step("a", queue_timeout_ms=500))
    began(driver)
    assert names(driver.fail("a", OPEN, status="refused"))[0] == "StepFailed"
    assert driver.call("a", undo=True).in_doubt


def test_an_attempt_that_falls_silent_is_given_up_and_one_that_does_not_is_not() -> None:
    driver = Driver()
    retry = {"attempts": 2, "initial_ms": 0, "cap_ms": 0}
    driver.open_with(step("a", timeout_ms=60_000, heartbeat_ms=2_000, retry=retry))
    assert driver.call("a").heartbeat_ms == 2_000
    driver.pass_time(10_000)
    for _ in range(10):
        assert names(began(driver)) == ["StepProgressed"]
        driver.pass_time(2_000)
    assert not driver.cancels
    driver.pass_time(GRACE + 1)
    failure = driver.state.sagas["s1"].steps["a"].failure
    assert failure is not None
    assert failure.detail == "no sign of life came for 2,000 ms"
    assert driver.call("a").attempt == 2
    assert driver.replayed() == driver.state


def test_signs_of_life_do_not_extend_the_deadline() -> None:
    driver = Driver()
    driver.open_with(step("a", timeout_ms=3_000, heartbeat_ms=2_000))
    for _ in range(2):
        driver.pass_time(1_400)
        began(driver)
    driver.pass_time(200 + GRACE)
    assert len(driver.cancels) == 1


def test_a_sign_of_life_of_an_attempt_that_is_over_changes_nothing() -> None:
    driver = Driver()
    driver.open_with(step("a", heartbeat_ms=2_000), step("b", "a"))
    call = driver.call("a")
    driver.give(outcome(call))
    assert driver.give(CallProgress(call.call_id, "s1", "a")) == []
    assert driver.give(CallProgress("s1/x/do/1", "s1", "x")) == []
    assert driver.give(CallProgress("s9/a/do/1", "s9", "a")) == []
