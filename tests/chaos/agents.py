"""The team under chaos: sagas of four steps with an effect each, some of them doomed.

A handler waits before and after it acts, so that a kill finds it on either side, and a pause makes
it a zombie that acts when its saga has long gone on. The waits follow from the key of the step.

`CHAOS_LEDGER` is the file of effects; `CHAOS_FENCED=0` switches off its guard.
"""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from folkmoot import Agent, LeaderContext, Permanent, Retry, Step, StepContext
from tests.chaos.ledger import Deed, Effect, Fenced, Ledger

TEAM = "chaos"
NEEDS = {
    "reserve": (),
    "charge": ("reserve",),
    "notify": ("reserve",),
    "ship": ("charge", "notify"),
}
"""The plan of every saga: a diamond."""

AGGREGATE = "aggregate"
PATIENT = Retry(attempts=1_000, initial_s=0.1, cap_s=1.0)
"""No fault outlasts it, so that only what is doomed, or cancelled, is undone."""

TIMEOUT_S = 4.0
"""Shorter than the longest pause, so that some who are paused are given up and come back."""

WAIT_MS_MAX = 600

AGENTS = "tests.chaos.agents:agent"
"""What a worker is told to host."""

agent = Agent("chaos", team=TEAM, partitions=3, concurrency=16)


class Order(BaseModel):
    """What a saga is asked to do."""

    number: int
    doomed: bool = False


def _ledger() -> Ledger:
    return Ledger(Path(os.environ["CHAOS_LEDGER"]), fenced=os.environ.get("CHAOS_FENCED") != "0")


async def _wait(ctx: StepContext | LeaderContext, moment: str) -> None:
    drawn = blake2b(f"{ctx.idempotency_key}/{ctx.attempt}/{ctx.run}/{moment}".encode())
    await asyncio.sleep(int.from_bytes(drawn.digest()[:4], "big") % WAIT_MS_MAX / 1000)


async def _act(ctx: StepContext | LeaderContext, deed: Deed) -> None:
    await _wait(ctx, "before")
    effect = Effect(
        ctx.saga_id,
        ctx.step_id,
        deed,
        ctx.idempotency_key,
        ctx.epoch,
        ctx.attempt,
        ctx.run,
        f"{os.getpid()}",
    )
    try:
        await asyncio.to_thread(LEDGER.act, effect)
    except Fenced as fenced:
        raise Permanent(str(fenced)) from fenced
    await _wait(ctx, "after")


@agent.plan
async def plan(ctx: LeaderContext, order: Order) -> list[Step]:
    """Return the diamond."""
    return [Step(name, order, needs=needs) for name, needs in NEEDS.items()]


@agent.aggregate
async def aggregate(ctx: LeaderContext, results: dict[str, Any]) -> list[str]:
    """Close the order: an effect of the leader, under its epoch."""
    await _act(ctx, "do")
    return sorted(results)


def _define(name: str) -> None:
    @agent.step(name, timeout_s=TIMEOUT_S, retry=PATIENT)
    async def do(ctx: StepContext, order: Order) -> int:
        if name == "ship" and order.doomed:
            raise Permanent("it cannot be shipped")
        await _act(ctx, "do")
        return order.number

    @do.compensate
    async def undo(ctx: StepContext, order: Order, done: int | None) -> None:
        await _act(ctx, "undo")


for _name in NEEDS:
    _define(_name)

LEDGER = _ledger() if "CHAOS_LEDGER" in os.environ else Ledger(Path(os.devnull))
