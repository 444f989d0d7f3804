"""What a saga results in when its leader need not be asked for it."""

from __future__ import annotations

from typing import Any

from saga_driver import Driver, step

from folkmoot.core.messages import PauseSaga, ResumeSaga
from folkmoot.core.saga import SagaSettings
from folkmoot.core.saga.plan import RESULTS, parse_plan


def planned(driver: Driver, result: str, *steps: dict[str, Any]) -> Driver:
    driver.submit()
    driver.succeed("plan", {"steps": list(steps), "result": result})
    return driver


def asked(driver: Driver) -> bool:
    return any(call.kind == "aggregate" for call in driver.calls)


def test_the_steps_results_by_id_are_the_result_without_a_call() -> None:
    driver = planned(Driver(), "steps", step("a"), step("b"), step("c", "a"))
    driver.succeed("b", [2])
    driver.succeed("a", 1)
    driver.succeed("c", None)
    (result,) = driver.results
    assert (result.state, result.result) == ("completed", {"a": 1, "b": [2], "c": None})
    assert not asked(driver)
    assert driver.replayed() == driver.state


def test_the_only_steps_result_is_the_result() -> None:
    driver = planned(Driver(), "only-step", step("a"))
    driver.succeed("a", {"x": 1})
    assert [result.result for result in driver.results] == [{"x": 1}]


def test_results_that_may_be_too_large_go_through_the_leader() -> None:
    driver = planned(Driver(SagaSettings(result_bytes_max=100)), "steps", step("a"), step("b", "a"))
    driver.succeed("a", "x" * 60)
    driver.succeed("b", "y" * 60)
    assert not driver.results
    assert driver.call("aggregate").recorded == {"a": "x" * 60, "b": "y" * 60}


def test_a_paused_saga_does_not_end() -> None:
    driver = planned(Driver(), "steps", step("a"))
    driver.give(PauseSaga("s1", "ann"))
    driver.succeed("a", 1)
    assert not driver.results
    driver.give(ResumeSaga("s1", "ann"))
    driver.pass_time(0)
    assert asked(driver)


def test_a_plan_is_another_if_its_result_is() -> None:
    steps = [step("a")]
    settings = SagaSettings()
    hashes = {parse_plan({"steps": steps, "result": r}, settings).hash for r in RESULTS}
    assert len(hashes) == len(RESULTS)
    assert parse_plan(steps, settings).hash in hashes
