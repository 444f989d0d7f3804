"""So many sagas at a time: the others wait in turn, and begin as places become free."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from saga_driver import TEAM, Driver, step

from folkmoot.core.children import child_id_of
from folkmoot.core.forks import Fork
from folkmoot.core.messages import (
    Budget,
    CancelSaga,
    Failure,
    PauseSaga,
    ResumeSaga,
    Task,
    TerminateSaga,
)
from folkmoot.core.saga import SagaSettings, Wanted, counts, explain, page
from folkmoot.core.shares import Priority, Share

ONE = SagaSettings(sagas_at_once=1)
OTHER = "sport"


def task(saga_id: str, team: str = TEAM, **fields: Any) -> Task:
    return Task(team, {"q": 1}, saga_id, **fields)


def crowded(settings: SagaSettings = ONE, *waiting: Task) -> Driver:
    """Return a shard in which s1 has the only place, and others wait."""
    driver = Driver(settings, teams=(TEAM, OTHER))
    driver.submit("s1")
    for each in waiting:
        driver.give(each)
    return driver


def end(driver: Driver, saga_id: str = "s1") -> list[str]:
    """End a saga; return which begin therefore."""
    before = len(driver.log)
    driver.give(CancelSaga(saga_id, "ann"))
    if saga_id in driver.state.sagas:
        driver.fail("plan", saga_id=saga_id)
    driver.pass_time(0)
    events = [event for entry in driver.log[before:] for event in entry.events]
    return [event.saga_id for event in events if type(event).__name__ == "SagaAdmitted"]


def states(driver: Driver) -> dict[str, str]:
    assert driver.replayed() == driver.state
    return {saga_id: saga.shown_state for saga_id, saga in driver.state.sagas.items()}


def test_what_has_no_place_waits_and_begins_when_there_is_one() -> None:
    driver = crowded(ONE, task("s2"))
    assert states(driver) == {"s1": "planning", "s2": "queued"}
    assert [call.saga_id for call in driver.calls] == ["s1"]
    assert end(driver) == ["s2"]
    assert states(driver) == {"s2": "planning"}
    driver.succeed("plan", [step("a")], saga_id="s2")
    driver.succeed("a", saga_id="s2")
    driver.succeed("aggregate", 7, saga_id="s2")
    assert [(each.saga_id, each.state) for each in driver.results] == [
        ("s1", "failed"), ("s2", "completed"),
    ]  # fmt: skip


def test_nothing_waits_without_a_limit() -> None:
    driver = crowded(SagaSettings(), *(task(f"s{n}") for n in range(2, 9)))
    assert set(states(driver).values()) == {"planning"}


def test_those_who_wait_begin_in_the_order_in_which_they_came() -> None:
    driver = crowded(ONE, *(task(f"s{n}") for n in (4, 2, 3)))
    order = ["s1"]
    while following := end(driver, order[-1]):
        order += following
    assert order == ["s1", "s4", "s2", "s3"]


def test_a_higher_priority_comes_first_and_tenants_take_turns() -> None:
    def of(saga_id: str, tenant: str, priority: Priority = "normal") -> Task:
        return task(saga_id, share=Share(tenant, priority))

    driver = crowded(
        ONE, of("a1", "ann"), of("a2", "ann"), of("b1", "bob"), of("urgent", "bob", "high")
    )
    order = ["s1"]
    while following := end(driver, order[-1]):
        order += following
    assert order == ["s1", "urgent", "a1", "b1", "a2"]


def test_no_team_takes_the_places_of_another() -> None:
    driver = crowded(SagaSettings(team_sagas_at_once=1), task("s2"), task("o1", OTHER))
    assert states(driver) == {"s1": "planning", "s2": "queued", "o1": "planning"}


def test_teams_take_turns() -> None:
    waiting = [task("s2"), task("s3"), task("o1", OTHER), task("o2", OTHER)]
    driver = crowded(ONE, *waiting)
    order = ["s1"]
    while following := end(driver, order[-1]):
        order += following
    assert order == ["s1", "s2", "o1", "s3", "o2"]


def test_a_queue_that_is_full_refuses_and_says_when_to_come_again() -> None:
    driver = crowded(replace(ONE, queued_sagas_max=1), task("s2"), task("s3"))
    (refused,) = driver.results
    assert (refused.saga_id, refused.state) == ("s3", "refused")
    failure = refused.failure
    assert failure is not None
    assert (failure.kind, failure.retryable, failure.retry_after_ms) == ("overloaded", True, 5_000)
    assert "submit the task again in a while, under the same id" in failure.detail
    end(driver)
    driver.give(task("s3"))
    assert states(driver) == {"s2": "planning", "s3": "queued"}, "then it is taken"


def test_what_is_too_much_to_be_open_is_refused_in_the_same_words() -> None:
    driver = crowded(SagaSettings(open_sagas_max=1), task("s2"))
    failure = driver.results[0].failure
    assert failure is not None
    assert (failure.kind, failure.retry_after_ms) == ("overloaded", 5_000)
    assert "1 sagas are open here, the limit (open_sagas_max)" in failure.detail


def test_a_task_that_brings_its_plan_waits_with_it() -> None:
    driver = crowded(ONE, task("s2", plan=[step("a"), step("b", "a")]))
    assert states(driver)["s2"] == "queued"
    assert end(driver) == ["s2"]
    assert [call.step_id for call in driver.calls if call.saga_id == "s2"] == ["a"]


@pytest.mark.parametrize(
    ("results", "begin"), [({"a": 1}, ["b"]), ({"a": 1, "b": 2}, ["aggregate"])]
)
def test_a_fork_waits_with_what_was_done(results: dict[str, Any], begin: list[str]) -> None:
    fork = Fork("s0", 7, results)
    driver = crowded(ONE, task("s2", plan=[step("a"), step("b", "a")], fork=fork))
    assert states(driver) == {"s1": "planning", "s2": "queued"}
    assert [call.saga_id for call in driver.calls] == ["s1"]
    assert end(driver) == ["s2"]
    driver.pass_time(0)
    assert [call.step_id for call in driver.calls if call.saga_id == "s2"] == begin
    assert driver.replayed() == driver.state


def test_a_plan_without_steps_waits_as_well() -> None:
    driver = crowded(ONE, task("s2", plan=[]))
    assert end(driver) == ["s2"]
    assert [call.kind for call in driver.calls if call.saga_id == "s2"] == ["aggregate"]


def test_sagas_of_steps_need_no_place() -> None:
    driver = crowded(ONE)
    driver.succeed("plan", [step("trip", child=True, agent=TEAM)])
    child = child_id_of("s1/trip/do/1")
    driver.give(task("s2"))
    assert states(driver) == {"s1": "running", child: "planning", "s2": "queued"}
    driver.succeed("plan", [step("a")], saga_id=child)
    driver.succeed("a", saga_id=child)
    driver.succeed("aggregate", 1, saga_id=child)
    assert states(driver)["s2"] == "queued", "a child that is done gives no place"
    driver.succeed("aggregate", 1)
    driver.pass_time(0)
    assert states(driver) == {"s2": "planning"}


def test_as_many_begin_as_there_are_places() -> None:
    driver = crowded(SagaSettings(sagas_at_once=1, wave_max=4), *(task(f"s{n}") for n in range(9)))
    driver.shard.machine._settings = SagaSettings(sagas_at_once=6, wave_max=4)  # type: ignore[attr-defined]
    driver.pass_time(0)
    found = list(states(driver).values())
    assert (found.count("planning"), found.count("queued")) == (6, 3)
    assert max(len(entry.events) for entry in driver.log) <= 4


# -- control ------------------------------------------------------------------------------------


def test_what_waits_can_be_cancelled_and_takes_nobodys_place() -> None:
    driver = crowded(ONE, task("s2"), task("s3"))
    driver.give(CancelSaga("s2", "ann", "no more"))
    assert driver.results[0].state == "failed"
    assert end(driver) == ["s3"]
    assert driver.state.lobby.begun == 1


def test_what_waits_can_be_ended() -> None:
    driver = crowded(ONE, task("s2"))
    driver.give(TerminateSaga("s2", "ann"))
    assert [each.state for each in driver.results] == ["terminated"]
    assert end(driver) == []
    assert (driver.state.lobby.begun, driver.state.lobby.waiting) == (0, {})


def test_what_is_paused_while_it_waits_begins_when_it_is_resumed() -> None:
    driver = crowded(ONE, task("s2"))
    driver.give(PauseSaga("s2", "ann"))
    assert end(driver) == ["s2"]
    assert [call.saga_id for call in driver.calls] == ["s1"]
    driver.give(ResumeSaga("s2", "ann"))
    assert [call.saga_id for call in driver.calls] == ["s1", "s2"]


def test_what_is_resumed_while_it_waits_still_waits() -> None:
    driver = crowded(ONE, task("s2"))
    driver.give(PauseSaga("s2", "ann"))
    driver.give(ResumeSaga("s2", "ann"))
    assert states(driver)["s2"] == "queued"
    assert [call.saga_id for call in driver.calls] == ["s1"]
    assert end(driver) == ["s2"]


def test_the_time_of_a_budget_runs_while_it_waits() -> None:
    driver = crowded(ONE, task("s2", budget=Budget(wall_ms=500)), task("s3"))
    driver.pass_time(500)
    failure = driver.results[0].failure
    assert failure is not None
    assert (driver.results[0].saga_id, failure.kind) == ("s2", "over-budget")
    assert end(driver) == ["s3"]


def test_publishing_a_task_again_changes_nothing_while_it_waits() -> None:
    driver = crowded(ONE, task("s2"))
    assert driver.give(task("s2")) == []


# -- what is told -------------------------------------------------------------------------------


def test_what_waits_says_for_what() -> None:
    driver = crowded(ONE, task("s2"), task("s3"))
    assert explain(driver.state, "s3", driver.now) == (
        "It waits for a place: 1 saga is at work here, 1 of its team; 1 of its team have their "
        "turn before it."
    )
    found = page(driver.state, Wanted(state="queued"), 10)["sagas"]
    assert {each["saga_id"]: each["waiting_on"] for each in found} == {
        "s2": ["place"], "s3": ["place"],
    }  # fmt: skip
    assert len(page(driver.state, Wanted(waiting_on="place"), 10)["sagas"]) == 2
    assert counts(driver.state)["queued"] == 2


@pytest.mark.parametrize("ways", ["completed", "compensated"])
def test_whatever_way_a_saga_ends_it_gives_its_place_up_once(ways: str) -> None:
    driver = crowded(ONE, task("s2"), task("s3"))
    driver.succeed("plan", [step("a")])
    if ways == "completed":
        driver.succeed("a")
        driver.succeed("aggregate", 1)
    else:
        driver.fail("a", Failure("broken", "no use", retryable=False))
        driver.succeed("a", undo=True)
    driver.pass_time(0)
    assert states(driver) == {"s2": "planning", "s3": "queued"}
    assert (driver.state.lobby.begun, driver.state.lobby.queued) == (1, 1)
