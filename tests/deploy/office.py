"""An office with one clerk, who fails in every way, in a mesh that a Prometheus watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from folkmoot import Agent, LeaderContext, Permanent, Step, StepContext
from folkmoot.mesh import Mesh
from folkmoot.mesh.embedded import MeshOptions
from folkmoot.runtime.loop_watch import LoopWatch
from folkmoot.runtime.service import Service
from tests.deploy.watching import Prometheus, watched

app = Agent("clerk", team="office")


@app.step("file")
async def file(ctx: StepContext, paper: str) -> str:
    """File something."""
    await ctx.knowledge.counter("filed").increment()
    if paper in ("torn", "missing"):
        raise Permanent(f"it is {paper}")
    if paper == "wet":
        raise RuntimeError("it is wet")
    return paper


@file.compensate
async def unfile(ctx: StepContext, paper: str, done: str | None) -> None:
    """Take it out again, which works only if it was never there."""
    if paper != "missing":
        raise RuntimeError("the cabinet is locked")


@app.plan
async def plan(ctx: LeaderContext, paper: str) -> list[Step]:
    """File a paper, eagerly."""
    return [Step("file", paper)]


QUICK = MeshOptions(partitions=1, ttl_ms=400, breaker_open_base_ms=30_000)


@asynccontextmanager
async def meshed(
    folder: Path, members: Sequence[str] = ("a",)
) -> AsyncIterator[tuple[Mesh, Prometheus]]:
    """Run a mesh, and a Prometheus that watches all of it."""
    watch = LoopWatch()
    watching = asyncio.create_task(watch.run())
    async with Mesh.start(f"embedded:{folder}/log.db", [app], members, QUICK) as mesh:
        services: list[Service] = [*mesh.services.values()]
        services += [member.service for member in mesh.members.values()]
        async with watched(folder, services, watch) as (prometheus, _):
            yield mesh, prometheus
    watching.cancel()
