"""The team of the reference saga: three bookings, of which the last fails, and the others undone.

Each journaled call leaves a line in the file that `CRASH_EFFECTS` names, which nothing takes back.
"""

from __future__ import annotations

import os

from folkmoot import Agent, LeaderContext, Permanent, Step, StepContext

TEAM = "trips"
AGENTS = "tests.crashes.agents:agent"
"""What a worker is told to host."""

EFFECTS = "CRASH_EFFECTS"

agent = Agent("travel", team=TEAM, partitions=1)


async def _act(saga_id: str, deed: str) -> None:
    """Write one line at once: it is there whole or not at all, whoever dies."""
    file = os.open(os.environ[EFFECTS], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(file, f"{saga_id} {deed}\n".encode())
    finally:
        os.close(file)


@agent.plan
async def plan(ctx: LeaderContext, city: str) -> list[Step]:
    """Look around, and book one thing after the other."""
    await ctx.call("look", _act, ctx.saga_id, "look")
    return [
        Step("flight", city),
        Step("hotel", city, needs=["flight"]),
        Step("table", city, needs=["hotel"]),
    ]


def _offer(name: str) -> None:
    @agent.step(name)
    async def book(ctx: StepContext, city: str) -> str:
        if name == "table":
            raise Permanent("no table is free")
        await ctx.call("book", _act, ctx.saga_id, f"book {name}")
        return name

    @book.compensate
    async def cancel(ctx: StepContext, city: str, done: str | None) -> None:
        await ctx.call("cancel", _act, ctx.saga_id, f"cancel {name}")


for _name in ("flight", "hotel", "table"):
    _offer(_name)
