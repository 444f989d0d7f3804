"""For whom a saga runs, and how urgent it is, goes with all of its calls."""

from __future__ import annotations

from saga_driver import TEAM, Driver, step

from folkmoot.core.children import child_id_of
from folkmoot.core.messages import Task
from folkmoot.core.saga import find
from folkmoot.core.shares import Share

BATCH = Share("acme", "low")


def test_a_sagas_share_goes_with_its_calls_and_its_children() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", share=BATCH))
    child = {"id": "book", "name": "trip", "agent": TEAM, "child": True}
    driver.succeed("plan", [step("a"), child])
    driver.succeed("plan", [step("b")], saga_id=child_id_of("s1/book/do/1"))
    assert {call.share for call in driver.calls} == {BATCH}
    shown = find(driver.state, "s1")
    assert shown is not None
    assert shown["share"] == {"tenant": "acme", "priority": "low"}
    assert driver.replayed() == driver.state


def test_a_name_that_is_too_long_for_a_tenant_is_refused() -> None:
    driver = Driver()
    driver.give(Task(TEAM, None, "s1", share=Share("x" * 101)))
    (result,) = driver.results
    assert result.failure is not None
    assert (result.state, result.failure.kind) == ("refused", "invalid-tenant")
