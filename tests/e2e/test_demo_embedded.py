"""The main job in one process, plain and with every kind of harm; judged by the log."""

from __future__ import annotations

import sqlite3
from itertools import pairwise
from pathlib import Path

import pytest
from dossier_checks import assert_facts_are_right, assert_report_is_there, kept_facts
from history import (
    assert_finished_steps_ran_once,
    assert_undone_in_reverse,
    read_history,
)
from running import demo, kill_when


async def test_a_plain_run_writes_a_verified_report(tmp_path: Path) -> None:
    run = demo(tmp_path)
    assert (run.status, run.complaints) == (0, "")
    history = await read_history(run.address)
    plan = history.plan(run.saga_id)
    assert set(history.finished(run.saga_id)) == {*plan, "plan", "aggregate"}
    assert all(history.runs(run.saga_id, step_id) == 1 for step_id in plan)
    assert len(history.of("saga-completed", saga_id=run.saga_id)) == 1
    assert history.undone(run.saga_id) == []
    assert_report_is_there(tmp_path)
    await assert_facts_are_right(run.address, run.saga_id)
    assert run.told["facts"] == len(await kept_facts(run.address, run.saga_id))
    assert run.told["state"] == "completed"
    assert run.told["report"] == str(tmp_path / "dossier" / "dossier.html")
    assert run.told["counters"]["pages-read"] > 0


async def test_a_second_run_begins_from_nothing(tmp_path: Path) -> None:
    first = demo(tmp_path)
    left = tmp_path / ".folkmoot" / "demo.db.blobs" / "of-the-first"
    left.parent.mkdir(exist_ok=True)
    left.touch()
    second = demo(tmp_path)
    assert (second.status, second.complaints) == (0, "")
    assert second.saga_id != first.saga_id
    history = await read_history(second.address)
    assert [event.data["saga_id"] for event in history.of("saga-opened")] == [second.saga_id]
    assert not left.exists()


@pytest.mark.parametrize("whom", ["leader", "worker"])
async def test_a_member_dies_and_the_same_plan_goes_on(tmp_path: Path, whom: str) -> None:
    run = demo(tmp_path, "--kill", whom)
    assert (run.status, run.complaints) == (0, "")
    history = await read_history(run.address)
    assert len(history.of("plan-recorded", saga_id=run.saga_id)) == 1
    assert set(history.plan(run.saga_id)) <= set(history.finished(run.saga_id))
    (ended,) = {e.data["member"] for e in history.of("session-ended", reason="session-expired")}
    assert_finished_steps_ran_once(history, run.saga_id, ended)
    if whom == "leader":
        leaders = [event.data["leader"] for event in history.of("leader-elected", team="dossier")]
        assert leaders[0] == ended
        assert leaders[1] not in (ended, None)
        aggregated = history.of("call-started", saga_id=run.saga_id, kind="aggregate")
        assert aggregated[-1].data["member"] == leaders[1]
    await assert_facts_are_right(run.address, run.saga_id)
    assert_report_is_there(tmp_path)


@pytest.mark.parametrize("step", ["write", "verify"])
async def test_a_failed_step_undoes_everything_in_reverse(tmp_path: Path, step: str) -> None:
    run = demo(tmp_path, "--fail", step)
    assert (run.status, run.complaints) == (3, "")
    history = await read_history(run.address)
    (ended,) = history.of("saga-compensated", saga_id=run.saga_id)
    assert ended.data["failed_step"] == step
    assert_undone_in_reverse(history, run.saga_id)
    assert run.told["compensations"] == history.undone(run.saga_id)
    assert all(history.runs(run.saga_id, s, "compensate") == 1 for s in history.undone(run.saga_id))
    assert await kept_facts(run.address, run.saga_id) == []
    assert not list((tmp_path / "dossier").glob("*"))
    assert run.told["report"] is None


async def test_a_flaky_agent_is_fenced_off_and_the_job_completes(tmp_path: Path) -> None:
    run = demo(tmp_path, "--flaky")
    assert (run.status, run.complaints) == (0, "")
    history = await read_history(run.address)
    kinds = ("breaker-opened", "breaker-half-opened", "breaker-closed")
    turns = [event.type for event in history.of(*kinds, target="researcher")]
    assert turns[0] == "breaker-opened"
    assert turns[-1] == "breaker-closed"
    for before, after in pairwise(turns):
        assert (before, after) in {
            ("breaker-opened", "breaker-half-opened"),
            ("breaker-half-opened", "breaker-opened"),
            ("breaker-half-opened", "breaker-closed"),
            ("breaker-closed", "breaker-opened"),
        }
    probes = history.of("call-admitted", target="researcher", probe=True)
    assert len(probes) == turns.count("breaker-half-opened")
    assert_report_is_there(tmp_path)


async def test_a_killed_demo_is_resumed_without_repeating_a_finished_step(tmp_path: Path) -> None:
    database = tmp_path / ".folkmoot" / "demo.db"

    def some_steps_are_done() -> bool:
        return _count(database, "step-succeeded") >= 3

    kill_when(tmp_path, some_steps_are_done, "--kill", "worker")
    before = await read_history(f"embedded:{database}")
    run = demo(tmp_path, "--resume")
    assert (run.status, run.complaints) == (0, "")
    after = await read_history(run.address)
    done = before.finished(run.saga_id)
    assert len(done) >= 2
    for step_id in done:
        kind = step_id if step_id in ("plan", "aggregate") else "step"
        runs_before = before.runs(run.saga_id, step_id, kind)
        assert after.runs(run.saga_id, step_id, kind) == runs_before
    assert len(after.of("plan-recorded", saga_id=run.saga_id)) == 1
    assert_report_is_there(tmp_path)


def _count(database: Path, event: str) -> int:
    if not database.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as file:
            sought = f"%folkmoot.{event}.v1%"
            query = "SELECT count(*) FROM records WHERE CAST(value AS TEXT) LIKE ?"
            return int(file.execute(query, (sought,)).fetchone()[0])
    except sqlite3.OperationalError:
        return 0


async def test_resuming_what_was_never_begun_says_what_to_do(tmp_path: Path) -> None:
    run = demo(tmp_path, "--resume")
    assert run.status == 1
    assert "start one with `folkmoot demo`" in run.complaints.replace("\n", " ")
