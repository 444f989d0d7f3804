"""The main job on real Kafka and NATS, every service and member a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from dossier_checks import assert_facts_are_right, assert_report_is_there, kept_facts
from history import (
    History,
    assert_finished_steps_ran_once,
    assert_undone_in_reverse,
    read_history,
)
from running import demo

pytestmark = pytest.mark.kafka

GIVEN_UP_WITHIN_S = 20


async def history_of_a_death(address: str, saga_id: str) -> tuple[History, str]:
    """Return the history and the member that worked for the saga and was never heard of again.

    The saga may end before the election gives its dead member up, so it is asked for again.
    """
    deadline = time.monotonic() + GIVEN_UP_WITHIN_S
    while True:
        history = await read_history(address)
        workers = {event.data["member"] for event in history.of("call-started", saga_id=saga_id)}
        silent = history.of("session-ended", reason="session-expired")
        dead = workers & {event.data["member"] for event in silent}
        if dead or time.monotonic() > deadline:
            assert len(dead) == 1, (workers, dead)
            return history, str(dead.pop())


async def test_a_plain_run(tmp_path: Path, platform_address: str) -> None:
    run = demo(tmp_path, bus=platform_address)
    assert (run.status, run.complaints) == (0, "")
    history = await read_history(platform_address)
    plan = history.plan(run.saga_id)
    assert set(history.finished(run.saga_id)) == {*plan, "plan", "aggregate"}
    assert all(history.runs(run.saga_id, step_id) == 1 for step_id in plan)
    await assert_facts_are_right(platform_address, run.saga_id)
    assert_report_is_there(tmp_path)


@pytest.mark.parametrize("harm", [("leader",), ("worker",), ("worker", "--late")], ids=" ".join)
async def test_kill_9_of_a_member(
    tmp_path: Path, platform_address: str, harm: tuple[str, ...]
) -> None:
    run = demo(tmp_path, "--kill", *harm, bus=platform_address)
    assert (run.status, run.complaints) == (0, "")
    history, dead = await history_of_a_death(platform_address, run.saga_id)
    assert len(history.of("plan-recorded", saga_id=run.saga_id)) == 1
    assert set(history.plan(run.saga_id)) <= set(history.finished(run.saga_id))
    assert_finished_steps_ran_once(history, run.saga_id, dead)
    assert_no_journaled_call_was_repeated(history, run.saga_id)
    if harm == ("leader",):
        leaders = [change["member"] for change in run.told["leader_changes"]]
        assert dead in leaders
        aggregated = history.of("call-started", saga_id=run.saga_id, kind="aggregate")
        assert aggregated[-1].data["member"] != dead
    await assert_facts_are_right(platform_address, run.saga_id)
    assert_report_is_there(tmp_path)


def assert_no_journaled_call_was_repeated(history: History, saga_id: str) -> None:
    journaled = [
        (event.data["call_id"], event.data["key"])
        for event in history.of("call-journaled", saga_id=saga_id)
    ]
    assert len(journaled) == len(set(journaled))


@pytest.mark.parametrize("step", ["write", "verify"])
async def test_a_failed_step_undoes_everything_in_reverse(
    tmp_path: Path, platform_address: str, step: str
) -> None:
    run = demo(tmp_path, "--fail", step, bus=platform_address)
    assert (run.status, run.complaints) == (3, "")
    history = await read_history(platform_address)
    assert_undone_in_reverse(history, run.saga_id)
    assert run.told["compensations"] == history.undone(run.saga_id)
    assert await kept_facts(platform_address, run.saga_id) == []
    assert not list((tmp_path / "dossier").glob("*"))


async def test_a_flaky_agent(tmp_path: Path, platform_address: str) -> None:
    run = demo(tmp_path, "--flaky", bus=platform_address)
    assert (run.status, run.complaints) == (0, "")
    history = await read_history(platform_address)
    turns = ("breaker-opened", "breaker-half-opened", "breaker-closed")
    seen = [event.type for event in history.of(*turns, target="researcher")]
    assert set(turns) == set(seen)
    assert seen[-1] == "breaker-closed"
    assert_report_is_there(tmp_path)
