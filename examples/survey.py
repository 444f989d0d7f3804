"""A fan-out over a list that is known only at run time, a condition, and a limit side by side.

Run it with `python examples/survey.py`. The districts are found first; each is surveyed, two at a
time; the mayor is told only if something was found.
"""

from __future__ import annotations

import asyncio
import tempfile

from folkmoot import Agent, Client, LeaderContext, Plan, Step, StepContext, When
from folkmoot.mesh import Mesh

agent = Agent("surveyor", team="town")
HOLES = {"harbour": 2, "old town": 0, "station": 1}


@agent.plan
async def plan(ctx: LeaderContext, town: str) -> Plan:
    """Find the districts, survey each, add up, and tell the mayor if there is anything to tell."""
    return Plan(
        [
            Step("districts", town),
            Step("survey", each="districts"),
            Step("total", needs=["survey"]),
            Step("letter", when=When("total", op="gt", value=0)),
        ],
        max_parallel=2,
    )


@agent.step("districts")
async def districts(ctx: StepContext, town: str) -> list[str]:
    """List what is to be surveyed."""
    return sorted(HOLES)


@agent.step("survey")
async def survey(ctx: StepContext, district: str) -> int:
    """Count the holes in the streets of one district."""
    return HOLES[district]


@agent.step("total")
async def total(ctx: StepContext, nothing: None) -> int:
    """Add up."""
    return sum(ctx.result("survey", list[int]))


@agent.step("letter")
async def letter(ctx: StepContext, nothing: None) -> str:
    """Write to the mayor."""
    return f"Dear mayor, there are {ctx.result('total', int)} holes."


async def main() -> dict[str, object]:
    """Run the survey on a mesh in this process; the steps' results by step id."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            Mesh.start(f"embedded:{folder}/survey.db", [agent]) as mesh,
            Client.on(mesh.bus) as client,
        ):
            saga = await client.submit("town", "Folkstead")
            results: dict[str, object] = await saga.result(dict[str, object], timeout_s=30)
            return results


if __name__ == "__main__":
    print(asyncio.run(main())["letter"])
