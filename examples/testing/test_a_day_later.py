"""Sagas that wait for hours and days, tested in milliseconds."""

from __future__ import annotations

import asyncio

from folkmoot import Agent, Retry, Retryable, Step, StepContext
from folkmoot.testing import TestMesh, simulated

HOUR_S = 3600
DAY_S = 24 * HOUR_S

clerk = Agent("clerk", team="office")


@clerk.step("approve")
async def approve(ctx: StepContext, what: str) -> bool:
    """Ask somebody who may be out of office."""
    return await ctx.ask_human(f"Buy {what}?", bool, deadline_s=2 * DAY_S)


@clerk.step("order", retry=Retry(attempts=5))
async def order(ctx: StepContext, what: str) -> str:
    """Order it; the shop says when to come back."""
    if ctx.attempt < 3:
        raise Retryable("the shop is closed", after_s=HOUR_S / 2)
    return f"{what} is ordered"


clerk.saga([Step("approve"), Step("order", needs=["approve"])])


@simulated
async def test_the_boss_answers_a_day_later() -> None:
    """A day passes, a member dies, the answer arrives, and the saga goes on."""
    async with TestMesh(clerk) as mesh:
        saga = await mesh.submit("office", "a boat")
        await asyncio.sleep(DAY_S)
        (question,) = (await saga.state())["questions"]
        assert question["prompt"] == "Buy a boat?"
        mesh.kill("worker-1", restart_s=1)
        await saga.answer(question["id"], "anna", value=True)
        results = await saga.result(dict[str, object])
        history = mesh.history(saga)
    assert results == {"approve": True, "order": "a boat is ordered"}
    assert history.waits_s("order") == [HOUR_S / 2, HOUR_S / 2]


@simulated
async def test_nobody_answers() -> None:
    """After two days the step fails, and the saga with it."""
    async with TestMesh(clerk) as mesh:
        began = mesh.now
        saga = await mesh.submit("office", "a boat")
        ended = await saga.outcome()
        assert (ended.state, ended.failed_step) == ("compensated", "approve")
        assert 2 * DAY_S <= (mesh.now - began) / 1000 < 2 * DAY_S + 60
