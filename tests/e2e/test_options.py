"""What a user can say of a task on the command line, and see of the calls that it makes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from desk import Desk

from folkmoot import Agent, Client, Step, StepContext
from folkmoot.mesh import Mesh
from folkmoot.testing import History

agent = Agent("clerk", team="office", partitions=1)
gate = asyncio.Event()


@agent.step("stamp")
async def stamp(ctx: StepContext, paper: str) -> str:
    """Stamp it, when the test lets it."""
    if paper == "slow":
        await gate.wait()
    return f"stamped {paper}"


agent.saga([Step("stamp")])
agent.saga([Step("stamp", id="first"), Step("stamp", id="again", needs=["first"])], name="twice")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    gate.clear()
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent], ("one",)) as mesh,
        Client.on(mesh.bus) as client,
    ):
        yield Desk(client, tmp_path)


async def test_a_task_may_say_by_what_and_for_whom_it_is_run(desk: Desk) -> None:
    options = ("--definition", "twice", "--tenant", "acme", "--priority", "high")
    status, printed, _ = await desk.command("submit", "office", '"a"', *options, "--json")
    told = json.loads(printed)
    assert (status, told["result"].keys()) == (0, {"first", "again"})
    shown = await (await desk.client.saga(told["saga_id"])).state()
    assert (shown["definition"], shown["share"]) == (
        "twice",
        {"tenant": "acme", "priority": "high"},
    )
    pinned = ("--plan-hash", shown["plan_hash"], "--json")
    status, printed, _ = await desk.command(
        "submit", "office", '"a"', "--definition=twice", *pinned
    )
    assert (status, json.loads(printed)["state"]) == (0, "completed")
    status, printed, _ = await desk.command("submit", "office", '"a"', *pinned)
    assert status == 1
    assert "only" in json.loads(printed)["failure"]


async def test_breakers_count_calls_and_know_where_one_is(desk: Desk) -> None:
    quick = await desk.client.submit("office", "quick")
    await quick.result(timeout_s=20)
    slow = await desk.client.submit("office", "slow")
    async with asyncio.timeout(20):
        while not (
            started := (await History.read(desk.client.bus, slow.saga_id)).of(
                "call-started", step_id="stamp"
            )
        ):
            await asyncio.sleep(0.02)
    call_id = started[0].data["call_id"]
    _, printed, _ = await desk.command("breakers", "--call", call_id)
    assert printed.startswith("it was sent to partition 0 of clerk; the breaker of clerk is closed")
    _, printed, _ = await desk.command("breakers", "--json")
    (clerk,) = json.loads(printed)
    assert clerk["totals"] == {"admitted": 2, "ended": 1, "expired": 0, "refused": 0}
    assert sum(clerk["in_flight"]) == 1
    _, printed, _ = await desk.command("breakers")
    words = printed.split()
    assert {"1", "in", "flight,", "2", "admitted,", "ended"} <= set(words)
    assert not {"expired", "refused"} & set(words), "what has not happened is not counted out"
    gate.set()
    await slow.result(timeout_s=20)
    status, _, complaints = await desk.command("breakers", "--call", call_id)
    assert (status, "it has ended, or never came" in complaints) == (1, True)
