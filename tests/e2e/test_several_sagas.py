"""Several sagas of one team: each by its name, one of them pinned, and one that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from folkmoot import Agent, Client, SagaFailed, Step, StepContext
from folkmoot.mesh import Mesh

agent = Agent("clerk", team="counter")


@agent.step("file")
async def file(ctx: StepContext, paper: str) -> str:
    """File a paper."""
    return f"{ctx.step_id}: {paper}"


agent.saga([Step("file", id="sale")])


@agent.saga(name="refund")
def refund(paper: str) -> list[Step]:
    """File what is given back, twice."""
    return [Step("file", paper, id="refund"), Step("file", paper, id="copy", needs=["refund"])]


async def test_a_team_runs_the_saga_that_the_task_names(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        sale = await client.submit("counter", "x")
        assert await sale.result(timeout_s=20) == {"sale": "sale: x"}
        given_back = await client.submit("counter", "x", definition="refund")
        assert set(await given_back.result(timeout_s=20)) == {"refund", "copy"}
        pinned = (await sale.state())["plan_hash"]
        again = await client.submit("counter", "x", plan_hash=pinned)
        assert await again.result(timeout_s=20) == {"sale": "sale: x"}
        other = await client.submit("counter", "x", definition="refund", plan_hash=pinned)
        with pytest.raises(SagaFailed, match=f"only {pinned} may be run"):
            await other.result(timeout_s=20)
        missing = await client.submit("counter", "x", definition="barter")
        with pytest.raises(SagaFailed, match=r"has no saga 'barter'; there are: plan, refund"):
            await missing.result(timeout_s=20)
