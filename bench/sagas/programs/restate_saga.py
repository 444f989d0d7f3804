"""Restate's side: the saga, whose steps are durable calls to another service. Served by Hypercorn.

Its guide to sagas is followed: what undoes a step is noted before the step is called, and run in
reverse when one fails for good.
"""

from __future__ import annotations

from typing import Any

from restate import Context, Service, TerminalError, app, gather

from bench.sagas.programs.restate_worker import add, refuse, release

saga = Service("saga")


@saga.handler()
async def three(ctx: Context, task: dict[str, Any]) -> dict[str, int]:
    """Call three steps, one after the other."""
    n = task["n"]
    return {f"s{place}": await ctx.service_call(add, arg=n + place) for place in range(3)}


@saga.handler()
async def undo(ctx: Context, task: dict[str, Any]) -> str:
    """Call five steps of which the last fails, and undo the others."""
    undone: list[int] = []
    try:
        for place, step in enumerate([add] * 4 + [refuse]):
            if step is add:
                undone.append(task["n"] + place)
            await ctx.service_call(step, arg=task["n"] + place)
    except TerminalError:
        for n in reversed(undone):
            await ctx.service_call(release, arg=n)
        return "compensated"
    return "completed"


@saga.handler()
async def wide(ctx: Context, task: dict[str, Any]) -> dict[str, int]:
    """Call many steps side by side."""
    calls = [ctx.service_call(add, arg=task["n"] + place) for place in range(task["width"])]
    await gather(*calls)
    return {f"s{place}": await call for place, call in enumerate(calls)}


application = app([saga])
