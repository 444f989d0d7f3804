"""What a fork begins with: the recorded plan and results, less what a patch makes doubtful."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import orjson
import pytest
from saga_driver import Driver, step

from folkmoot.core.names import wire_name
from folkmoot.core.saga import SagaSettings
from folkmoot.core.saga.plan import parse_plan
from folkmoot.sdk.errors import CannotFork
from folkmoot.sdk.forking import fork_of, merged

PLAN = [step("a"), step("b", "a"), step("c", "b"), step("d")]


def history(driver: Driver) -> list[dict[str, Any]]:
    """Return a saga's events as the event store gives them."""
    found = []
    for offset, entry in enumerate(driver.log):
        for event in entry.events:
            if getattr(event, "saga_id", "") == "s1":
                data = orjson.loads(orjson.dumps(asdict(event)))
                told = {"type": wire_name(type(event)), "data": data}
                found.append({"version": 0, "offset": offset, "at": entry.at, "event": told})
    return found


@pytest.fixture
def driver() -> Driver:
    """A saga of which a, b and d are done, and c is under way."""
    driver = Driver()
    driver.open_with(*PLAN)
    for name in "abd":
        driver.succeed(name, f"{name}!")
    return driver


def test_what_is_done_is_carried_over_with_the_very_plan(driver: Driver) -> None:
    recorded = history(driver)
    task = fork_of("s1", recorded, None)
    assert task.fork is not None
    assert (task.fork.saga_id, task.fork.at) == ("s1", len(recorded))
    assert task.fork.results == {"a": "a!", "b": "b!", "d": "d!"}
    assert task.plan_hash == parse_plan(PLAN, SagaSettings()).hash
    assert parse_plan(task.plan, SagaSettings()).hash == task.plan_hash
    assert (task.team, task.input) == ("newsroom", {"q": 1})


def test_it_is_forked_as_it_was_then(driver: Driver) -> None:
    recorded = history(driver)
    done = [n for n, each in enumerate(recorded, 1) if "step-succeeded" in each["event"]["type"]]
    task = fork_of("s1", recorded[: done[1]], None)
    assert task.fork is not None
    assert task.fork.results == {"a": "a!"}


@pytest.mark.parametrize(
    ("patch", "results", "pinned"),
    [
        ({"results": {"b": "other"}}, {"a": "a!", "b": "other", "d": "d!"}, True),
        ({"results": {"b": None}}, {"a": "a!", "d": "d!"}, True),
        ({"results": {"a": "other"}}, {"a": "other", "d": "d!"}, True),
        ({"steps": {"c": {"input": 7}}}, {"a": "a!", "b": "b!", "d": "d!"}, False),
        ({"steps": {"a": {"input": 7}}}, {"d": "d!"}, False),
        ({"steps": {"a": {"input": 7}}, "results": {"a": 1}}, {"a": 1, "d": "d!"}, False),
        ({"steps": {"d": None}}, {"a": "a!", "b": "b!"}, False),
        ({"steps": {"a": {}}}, {"a": "a!", "b": "b!", "d": "d!"}, True),
    ],
    ids=str,
)
def test_what_a_patch_makes_doubtful_is_run_again(
    driver: Driver, patch: dict[str, Any], results: dict[str, Any], pinned: bool
) -> None:
    task = fork_of("s1", history(driver), patch)
    assert task.fork is not None
    assert task.fork.results == results
    assert bool(task.plan_hash) == pinned


def test_a_patch_changes_a_step_and_may_add_one(driver: Driver) -> None:
    patch = {"steps": {"c": {"retry": {"attempts": 9}}, "e": {"name": "e", "agent": "worker"}}}
    steps = {each["id"]: each for each in fork_of("s1", history(driver), patch).plan["steps"]}
    assert steps["c"]["retry"] == {
        "attempts": 9, "initial_ms": 10, "factor": 2.0, "cap_ms": 100, "total_ms": 0
    }  # fmt: skip
    assert parse_plan([*steps.values()], SagaSettings()).steps[-1].id == "e"


def test_before_the_plan_only_the_input_can_be_patched(driver: Driver) -> None:
    recorded = history(driver)[:1]
    task = fork_of("s1", recorded, {"input": {"more": 2}})
    assert (task.input, task.plan) == ({"q": 1, "more": 2}, None)
    with pytest.raises(CannotFork, match="had no plan by then"):
        fork_of("s1", recorded, {"results": {}})


def test_skipped_and_omitted_steps_are_done_too() -> None:
    driver = Driver()
    omitted = step("b", "a", when={"step": "a", "op": "eq", "value": 1})
    driver.open_with(step("a"), omitted, step("c", "b"))
    driver.succeed("a", 2)
    driver.pass_time(0)
    task = fork_of("s1", history(driver), None)
    assert task.fork is not None
    assert task.fork.results == {"a": 2, "b": None}


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ({"budget": {}}, "'budget' of the patch is none of: input, steps, results"),
        ({"input": 7}, "patch the inputs of its `steps`"),
        ({"results": []}, "'results' of the patch must be an object"),
        ({"steps": {"a": 7}}, "step 'a' of the patch is no object"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(
    driver: Driver, patch: dict[str, Any], said: str
) -> None:
    with pytest.raises(CannotFork, match=said):
        fork_of("s1", history(driver), patch)


def test_a_saga_that_turns_back_or_has_ended_is_forked_before_that(driver: Driver) -> None:
    driver.fail("c")
    turning = history(driver)
    with pytest.raises(CannotFork, match=r"had turned back by then: take event \d+ at most") as no:
        fork_of("s1", turning, None)
    most = int(str(no.value).split("event ")[1].split()[0])
    assert fork_of("s1", turning[:most], None).fork is not None
    for name in ("c", "b", "a", "d"):
        driver.succeed(name, undo=True)
    with pytest.raises(CannotFork, match="had ended by event"):
        fork_of("s1", history(driver), None)


def test_the_examples_of_rfc_7396_hold() -> None:
    """A sample of its appendix A."""
    assert merged({"a": "b"}, {"a": "c"}) == {"a": "c"}
    assert merged({"a": "b", "b": "c"}, {"a": None}) == {"b": "c"}
    assert merged({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert merged({"a": [{"b": "c"}]}, {"a": [1]}) == {"a": [1]}
    assert merged({"a": "foo"}, "bar") == "bar"
    assert merged({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
