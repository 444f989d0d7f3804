"""What a saga may use up: counted from answers, enforced before anything more begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from saga_driver import Driver, outcome, step

from folkmoot.core.messages import Budget, Failure, PauseSaga, ResumeSaga, Usage
from folkmoot.core.saga import find

FLAKY = Failure("flaky", "try again")
MINUTE = 60_000


def begin(budget: Budget, *steps: Any) -> Driver:
    driver = Driver()
    driver.submit(budget=budget)
    driver.succeed("plan", list(steps))
    return driver


def end(driver: Driver, step_id: str, usage: Usage, failure: Failure | None = None) -> None:
    status = "succeeded" if failure is None else "failed"
    answer = outcome(driver.call(step_id), status=status, failure=failure)
    driver.give(replace(answer, usage=usage))


def chain(**fields: Any) -> tuple[dict[str, Any], ...]:
    return step("a", **fields), step("b", "a", **fields), step("c", "b", **fields)


def stopped_because(driver: Driver) -> Failure:
    failure = driver.state.sagas["s1"].failure
    assert failure is not None
    return failure


@pytest.mark.parametrize(
    ("budget", "usage", "kind", "sentence"),
    [
        (Budget(tokens=100), Usage(tokens=101), "over-budget", "101 tokens, of 100"),
        (Budget(micros=500_000), Usage(micros=510_000), "over-budget", "$0.51, of $0.50"),
        (Budget(micros=500_000), Usage(unpriced=1), "unpriced", "has no known price"),
    ],
)
def test_a_saga_that_has_used_up_its_budget_is_turned_back_before_more_begins(
    budget: Budget, usage: Usage, kind: str, sentence: str
) -> None:
    driver = begin(budget, *chain())
    end(driver, "a", usage)
    assert stopped_because(driver).kind == kind
    assert sentence in stopped_because(driver).detail
    undo = driver.call("a", undo=True)
    assert not undo.in_doubt
    driver.succeed("a", undo=True)
    assert (driver.results[0].state, driver.results[0].failed_step) == ("compensated", None)
    assert [call.step_id for call in driver.calls if call.kind == "step"] == ["a"]
    assert driver.replayed() == driver.state


def test_what_is_within_the_budget_goes_on_and_is_added_up() -> None:
    driver = begin(Budget(tokens=100, micros=100), *chain())
    end(driver, "a", Usage(60, 40))
    assert driver.calls[-1].step_id == "b"
    shown = find(driver.state, "s1")
    assert shown is not None
    assert shown["spent"] == {"tokens": 60, "micros": 40, "unpriced": 0, "hops": 2}
    end(driver, "b", Usage(60, 40))
    assert stopped_because(driver).detail == "the saga has used up 120 tokens, of 100"


def test_spending_without_a_price_is_shown_and_may_be_allowed() -> None:
    driver = begin(Budget(micros=100, unpriced_allowed=True), *chain())
    end(driver, "a", Usage(unpriced=2))
    assert driver.state.sagas["s1"].spent.unpriced == 2
    assert driver.calls[-1].step_id == "b"


def test_attempts_that_fail_have_spent_as_well_and_are_not_repeated() -> None:
    driver = begin(Budget(tokens=100), *chain(retry={"attempts": 9}, role="retriable"))
    end(driver, "a", Usage(60), FLAKY)
    driver.pass_time((driver.shard.due() or 0) - driver.now)
    end(driver, "a", Usage(60), FLAKY)
    assert stopped_because(driver).kind == "over-budget"
    assert driver.call("a", undo=True).in_doubt


def test_an_answer_that_comes_too_late_has_spent_as_well() -> None:
    driver = begin(Budget(tokens=100), *chain(retry={"attempts": 2}))
    late = replace(outcome(driver.call("a")), usage=Usage(90))
    driver.pass_time(3_000)
    driver.give(late)
    end(driver, "a", Usage(20))
    assert stopped_because(driver).kind == "over-budget"


def test_hops_count_attempts() -> None:
    driver = begin(Budget(hops=2), step("a", retry={"attempts": 9, "initial_ms": 0, "cap_ms": 0}))
    for _ in range(3):
        end(driver, "a", Usage(), FLAKY)
        driver.pass_time(1)
    assert stopped_because(driver).detail == "the saga has used up 3 hops, of 2"
    enough = begin(Budget(hops=3), step("a"), step("b"), step("c"))
    for name in "abc":
        end(enough, name, Usage())
    assert enough.calls[-1].step_id == "aggregate"


def test_a_saga_that_takes_too_long_is_turned_back_and_a_pause_is_no_time() -> None:
    driver = begin(Budget(wall_ms=MINUTE), *chain(timeout_ms=10 * MINUTE))
    driver.pass_time(MINUTE // 2)
    driver.give(PauseSaga("s1", "anna"))
    driver.pass_time(5 * MINUTE)
    driver.give(ResumeSaga("s1", "anna"))
    driver.pass_time(MINUTE // 2 - 1)
    assert not driver.cancels
    driver.pass_time(1)
    assert stopped_because(driver).detail == "the saga has used up its time of 60,000 ms"
    assert [cancel.call_id for cancel in driver.cancels] == [driver.call("a").call_id]
    assert driver.replayed() == driver.state


def test_what_is_done_but_for_its_aggregation_ends() -> None:
    driver = begin(Budget(tokens=100, wall_ms=MINUTE), step("a"))
    end(driver, "a", Usage(1_000))
    driver.pass_time(MINUTE)
    driver.succeed("aggregate", "done")
    assert driver.results[0].state == "completed"
    assert driver.shard.due() is None


def test_past_its_pivot_a_saga_only_goes_forward_whatever_it_costs() -> None:
    pay = step("a", role="pivot", compensable=False, timeout_ms=2 * MINUTE)
    driver = begin(Budget(tokens=1, wall_ms=MINUTE), pay, step("b", "a"), step("c", "b"))
    driver.pass_time(MINUTE)
    assert not driver.cancels
    end(driver, "a", Usage(1_000))
    end(driver, "b", Usage(1_000))
    assert driver.calls[-1].step_id == "c"


def test_a_plan_that_costs_too_much_fails_the_saga() -> None:
    driver = Driver()
    driver.submit(budget=Budget(tokens=10))
    answer = outcome(driver.call("plan"), result=[step("a")])
    driver.give(replace(answer, usage=Usage(11)))
    assert driver.results[0].failure is not None
    assert (driver.results[0].state, driver.results[0].failure.kind) == ("failed", "over-budget")


def test_a_saga_without_a_budget_only_counts() -> None:
    driver = Driver()
    driver.open_with(*chain())
    end(driver, "a", Usage(10**9, 10**12, 5))
    assert driver.calls[-1].step_id == "b"
    assert driver.state.sagas["s1"].spent == Usage(10**9, 10**12, 5)
