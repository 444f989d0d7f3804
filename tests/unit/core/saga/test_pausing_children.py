"""A pause goes down to the sagas that a saga runs, and to those below them; so does its end."""

from __future__ import annotations

from typing import Any

from saga_driver import TEAM, Driver, step

from folkmoot.core.children import PauseChild, ResumeChild, child_id_of
from folkmoot.core.messages import (
    CancelSaga,
    Failure,
    PauseSaga,
    ResumeSaga,
    SkipStep,
    TerminateSaga,
)
from folkmoot.core.saga import explain, find

CHILD = child_id_of("s1/trip/do/1")
GRANDCHILD = child_id_of(f"{CHILD}/hotel/do/1")
FLAKY = Failure("flaky", "try again")
RETRY = {"attempts": 3, "initial_ms": 500, "factor": 1.0, "cap_ms": 500}


def saga(step_id: str, *needs: str) -> dict[str, Any]:
    return step(step_id, *needs, child=True, agent=TEAM, timeout_ms=60_000)


def nested() -> Driver:
    """Return a saga whose step `trip` is a saga, whose step `hotel` is one, of a step `room`."""
    driver = Driver()
    driver.open_with(saga("trip"), step("pay", "trip"))
    driver.succeed("plan", [saga("hotel")], saga_id=CHILD)
    driver.succeed("plan", [step("room", retry=RETRY), step("key", "room")], saga_id=GRANDCHILD)
    return driver


def paused(driver: Driver) -> set[str]:
    assert driver.replayed() == driver.state
    return {saga_id for saga_id, each in driver.state.sagas.items() if each.paused}


def begun(driver: Driver) -> list[str]:
    return [call.step_id for call in driver.calls if call.kind in ("step", "compensate")]


def test_a_pause_reaches_children_and_theirs_and_so_does_going_on() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    assert paused(driver) == {"s1", CHILD, GRANDCHILD}
    driver.succeed("room", saga_id=GRANDCHILD)
    driver.pass_time(100_000)
    assert begun(driver) == ["room"], "nothing begins, and nothing is given up, at any depth"
    driver.give(ResumeSaga("s1", "ann"))
    driver.pass_time(0)
    assert paused(driver) == set()
    assert begun(driver) == ["room", "key"]


def test_their_timers_stand_still() -> None:
    driver = nested()
    driver.fail("room", failure=FLAKY, saga_id=GRANDCHILD)
    due = driver.shard.due()
    assert due is not None
    left_ms = due - driver.now
    driver.give(PauseSaga("s1", "ann"))
    assert driver.shard.due() is None
    driver.pass_time(1_000_000)
    driver.give(ResumeSaga("s1", "ann"))
    assert driver.shard.due() == driver.now + left_ms
    driver.pass_time(left_ms)
    assert begun(driver) == ["room", "room"]


def test_what_was_paused_by_itself_stays_so() -> None:
    driver = nested()
    driver.give(PauseSaga(CHILD, "bob"))
    assert paused(driver) == {CHILD, GRANDCHILD}
    driver.give(PauseSaga("s1", "ann"))
    driver.give(ResumeSaga("s1", "ann"))
    assert paused(driver) == {CHILD, GRANDCHILD}
    driver.give(ResumeSaga(CHILD, "bob"))
    assert paused(driver) == set()


def test_who_is_paused_both_ways_goes_on_when_both_are_over() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    driver.give(PauseSaga(CHILD, "bob"))
    driver.give(ResumeSaga(CHILD, "bob"))
    assert paused(driver) == {"s1", CHILD, GRANDCHILD}, "its parent is still paused"
    driver.give(PauseSaga(CHILD, "bob"))
    driver.give(ResumeSaga("s1", "ann"))
    assert paused(driver) == {CHILD, GRANDCHILD}
    driver.give(ResumeSaga(CHILD, "bob"))
    assert paused(driver) == set()


def test_what_is_paused_with_its_parent_goes_on_only_with_it() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    (refused,) = driver.give(ResumeSaga(CHILD, "bob"))
    assert (refused.failure.kind, refused.failure.detail) == (
        "wrong-phase", "it is paused with saga s1: resume that",
    )  # fmt: skip
    assert paused(driver) == {"s1", CHILD, GRANDCHILD}


def test_a_child_that_is_done_meanwhile_is_heard() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    driver.give(PauseChild(CHILD, "ann"))
    driver.give(ResumeSaga("s1", "ann"))
    driver.give(ResumeChild(CHILD))
    for each in ("room", "key"):
        driver.succeed(each, saga_id=GRANDCHILD)
    for saga_id in (GRANDCHILD, CHILD):
        driver.succeed("aggregate", 1, saga_id=saga_id)
    assert begun(driver) == ["room", "key", "pay"]


def test_a_pause_that_comes_when_the_child_is_done_changes_nothing() -> None:
    driver = nested()
    for each in ("room", "key"):
        driver.succeed(each, saga_id=GRANDCHILD)
    driver.succeed("aggregate", 1, saga_id=GRANDCHILD)
    assert driver.give(PauseChild(GRANDCHILD, "ann")) == []
    assert driver.give(PauseChild("unknown", "ann")) == []
    assert driver.give(ResumeChild("unknown")) == []


def test_what_is_being_undone_is_paused_too() -> None:
    driver = nested()
    driver.succeed("room", saga_id=GRANDCHILD)
    driver.fail("key", saga_id=GRANDCHILD)
    driver.succeed("key", undo=True, saga_id=GRANDCHILD)
    driver.give(PauseSaga("s1", "ann"))
    driver.fail("room", undo=True, failure=FLAKY, saga_id=GRANDCHILD)
    driver.pass_time(100_000)
    assert begun(driver).count("room") == 2
    driver.give(ResumeSaga("s1", "ann"))
    driver.pass_time(1_000)
    assert begun(driver).count("room") == 3


def test_a_paused_saga_that_is_cancelled_is_undone_at_every_depth_once_it_goes_on() -> None:
    driver = nested()
    driver.succeed("room", saga_id=GRANDCHILD)
    driver.give(PauseSaga("s1", "ann"))
    driver.give(CancelSaga("s1", "ann"))
    driver.fail("key", saga_id=GRANDCHILD)
    driver.pass_time(0)
    assert begun(driver) == ["room", "key"]
    driver.give(ResumeSaga("s1", "ann"))
    driver.pass_time(0)
    for each in ("key", "room"):
        driver.succeed(each, undo=True, saga_id=GRANDCHILD)
    assert {each.saga_id: each.state for each in driver.results} == {
        GRANDCHILD: "compensated", CHILD: "compensated", "s1": "compensated",
    }  # fmt: skip


def test_what_is_let_go_of_while_it_is_paused_goes_on_with_its_parent() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    driver.give(SkipStep("s1", "trip", "ann"))
    assert paused(driver) == {"s1", CHILD, GRANDCHILD}
    driver.give(ResumeSaga("s1", "ann"))
    assert paused(driver) == set()


def test_what_is_paused_with_a_parent_that_is_ended_goes_on() -> None:
    driver = nested()
    driver.succeed("room", saga_id=GRANDCHILD)
    driver.give(PauseSaga("s1", "ann"))
    driver.give(TerminateSaga("s1", "ann"))
    assert paused(driver) == set()
    driver.fail("key", saga_id=GRANDCHILD)
    for each in ("key", "room"):
        driver.pass_time(0)
        driver.succeed(each, undo=True, saga_id=GRANDCHILD)
    assert driver.state.sagas == {}


def test_it_is_told() -> None:
    driver = nested()
    driver.give(PauseSaga("s1", "ann"))
    driver.pass_time(5_000)
    said = explain(driver.state, GRANDCHILD, driver.now)
    assert said is not None
    assert said.startswith(f"It is paused with saga {CHILD} by ann for 5.0 s:")
    shown = find(driver.state, CHILD)
    assert shown is not None
    assert (shown["state"], shown["paused_with_parent"]) == ("paused", True)
