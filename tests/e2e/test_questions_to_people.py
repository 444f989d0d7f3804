"""An approval that takes longer than a step may, and outlives the member that asked for it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from folkmoot import Agent, Client, ControlRefused, NoAnswer, NotAnswered, Saga, StepContext
from folkmoot.mesh import Mesh

agent = Agent("buyer", team="shop")
runs: list[int] = []


@agent.step("buy", timeout_s=2)
async def buy(ctx: StepContext, what: str) -> str:
    """Buy something if somebody says so, and paid for it."""
    runs.append(ctx.run)
    try:
        approved = await ctx.ask_human(f"buy {what}?", bool, deadline_s=1 if what == "tea" else 600)
    except NotAnswered:
        return "nobody cared"
    paid = await ctx.signal("paid", int, deadline_s=600)
    return f"{what} for {paid}" if approved else "nothing"


async def question_of(saga: Saga) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(NoAnswer):
                if questions := (await saga.state())["questions"]:
                    found: dict[str, Any] = questions[0]
                    return found
            await asyncio.sleep(0.02)


async def test_an_approval_survives_the_death_of_who_asked(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("shop", "coffee")
        await saga.signal("paid", "bank", 3)
        question = await question_of(saga)
        assert (question["prompt"], question["schema"]) == ("buy coffee?", {"type": "boolean"})
        history = [e["data"] async for e in some(saga, "folkmoot.question-asked.v1")]
        assert history[0]["question_id"] == question["id"]
        for name in ("member-1", "member-2"):
            mesh.kill(name)
        await saga.answer(question["id"], "anna", "perhaps")
        async with asyncio.timeout(30):
            while (again := await question_of(saga))["id"] == question["id"]:
                await asyncio.sleep(0.02)
        assert again["prompt"].startswith("buy coffee? (the answer before did not fit")
        await saga.answer(again["id"], "anna", True)
        assert await saga.result(timeout_s=20) == "coffee for 3"
        with pytest.raises(ControlRefused):
            await saga.answer(again["id"], "bert", False)


async def some(saga: Saga, type_: str) -> Any:
    async for event in saga.events():
        if event["type"] == type_:
            yield event
            return


async def test_who_is_not_answered_goes_on_without(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("shop", "tea")
        assert await saga.result(timeout_s=20) == "nobody cared"
