"""The team whose sagas are measured. Its steps do nothing; the task says which shape is wanted.

`three`: three steps, one after the other. `undo`: five, of which the last fails for good, so that
the four before it are compensated. `wide`: as many steps side by side as the task says.
"""

from __future__ import annotations

from typing import Any

from folkmoot import Agent, LeaderContext, Permanent, Step, StepContext

CONCURRENCY = 512
"""Handlers at a time on each partition: what is measured is not how many we allow ourselves."""

agent = Agent("bench", team="bench", concurrency=CONCURRENCY, partitions=2)


@agent.step("add")
async def add(ctx: StepContext, n: int) -> int:
    """Return the next number."""
    return n + 1


@agent.step("reserve")
async def reserve(ctx: StepContext, n: int) -> int:
    """Return the next number; it can be taken back."""
    return n + 1


@reserve.compensate
async def release(ctx: StepContext, n: int, done: int | None) -> None:
    """Take it back."""
    assert done == n + 1, f"a reservation of {n} is undone as {done}"


@agent.step("refuse")
async def refuse(ctx: StepContext, n: int) -> int:
    """Fail for good."""
    raise Permanent("as planned")


@agent.step("wait")
async def wait(ctx: StepContext, n: int) -> int:
    """Wait for a signal that nobody sends."""
    await ctx.signal("go-on", bool, deadline_s=7 * 24 * 3600)
    return n + 1


def _row(names: list[str], n: int) -> list[Step]:
    """Return steps of these names, one after the other."""
    return [
        Step(name, n + place, id=f"s{place}", needs=[f"s{place - 1}"] if place else [])
        for place, name in enumerate(names)
    ]


@agent.plan
async def plan(ctx: LeaderContext, task: dict[str, Any]) -> list[Step]:
    """Return the steps of the shape that the task asks for."""
    n, shape = task["n"], task["shape"]
    if shape == "wide":
        return [Step("add", n + place, id=f"s{place}") for place in range(task["width"])]
    names = {"three": ["add"] * 3, "undo": ["reserve"] * 4 + ["refuse"], "idle": ["wait"]}
    return _row(names[shape], n)
