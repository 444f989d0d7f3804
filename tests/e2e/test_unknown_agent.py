"""An agent that nobody hosts: the saga that names it ends with a sentence, and others go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, Client, LeaderContext, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh

app = Agent("clerk", team="office")


@app.step("file")
async def file(ctx: StepContext, agent: str) -> str:
    """File something."""
    return agent


@app.plan
async def plan(ctx: LeaderContext, agent: str) -> list[Step]:
    """File, and then let `agent` file."""
    first = Step("file", agent)
    return [first, Step("file", agent, id="again", agent=agent, needs=["file"])]


async def test_a_step_for_an_unknown_agent_ends_its_saga_alone(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [app]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("office", "nobody")
        with pytest.raises(SagaFailed, match=r"team 'office' has no agent 'nobody'; .*: clerk"):
            await saga.result(timeout_s=60)
        assert (await saga.state())["state"] == "failed"
        other = await client.submit("office", "clerk")
        await other.result(timeout_s=60)
