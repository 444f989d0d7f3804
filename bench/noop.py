"""A team whose task is three steps, one after the other, that do nothing."""

from __future__ import annotations

from folkmoot import Agent, LeaderContext, Step, StepContext

agent = Agent("noop", team="noop", concurrency=64, partitions=2)


@agent.step("one")
async def one(ctx: StepContext, n: int) -> int:
    """Return the next number."""
    return n + 1


@agent.step("two")
async def two(ctx: StepContext, n: int) -> int:
    """Return the next number."""
    return n + 1


@agent.step("three")
async def three(ctx: StepContext, n: int) -> int:
    """Return the next number."""
    return n + 1


@agent.plan
async def plan(ctx: LeaderContext, n: int) -> list[Step]:
    """Return the three steps in a row."""
    return [
        Step("one", n),
        Step("two", n + 1, needs=["one"]),
        Step("three", n + 2, needs=["two"]),
    ]
