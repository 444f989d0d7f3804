"""A saga that has used up its budget is undone, and says what it used up."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, Budget, Client, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh

agent = Agent("writer", team="press")
begun: list[str] = []


@agent.step("write")
async def write(ctx: StepContext, topic: str) -> str:
    """Write, with a model that is paid by the token."""
    begun.append(ctx.step_id)
    await ctx.spend(600, usd=0.01)
    return topic


agent.saga([Step("write", id="one"), Step("write", id="two", needs=["one"]),
            Step("write", id="three", needs=["two"])])  # fmt: skip


async def test_what_handlers_spend_is_held_to_the_budget(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("press", "folk", budget=Budget(tokens=1_000, usd=5))
        with pytest.raises(SagaFailed, match=r"has used up 1,200 tokens, of 1,000"):
            await saga.result(timeout_s=20)
        spent = (await saga.state())["spent"]
        assert spent == {"tokens": 1_200, "micros": 20_000, "unpriced": 0, "hops": 2}
        assert begun == ["one", "two"]
