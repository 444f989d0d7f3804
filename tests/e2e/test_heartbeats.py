"""A handler that falls silent is given up and run elsewhere; one that reports is left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

from folkmoot import Agent, Client, Retry, StepContext
from folkmoot.mesh import Mesh

agent = Agent("miner", team="mine")
attempts: list[int] = []


@agent.step("dig", timeout_s=60, heartbeat_s=0.5, retry=Retry(2, initial_s=0, cap_s=0))
async def dig(ctx: StepContext, metres: int) -> int:
    """Dig for longer than a silence may be, the first time without a word."""
    attempts.append(ctx.attempt)
    if ctx.attempt == 1:
        await asyncio.Event().wait()
    for metre in range(metres):
        await ctx.progress(f"{metre} m")
        await asyncio.sleep(0.2)
    return metres


async def test_silence_is_not_waited_out(tmp_path: Path) -> None:
    async with (
        Mesh.start(f"embedded:{tmp_path}/log.db", [agent]) as mesh,
        Client.on(mesh.bus) as client,
    ):
        saga = await client.submit("mine", 12)
        assert await saga.result(timeout_s=30) == 12
        history = [event async for event in saga.events()]
    retried = [e["data"] for e in history if e["type"].startswith("folkmoot.step-retry-scheduled")]
    assert [each["failure"]["kind"] for each in retried] == ["heartbeat-timed-out"]
    assert attempts == [1, 2]
