"""Restate's side: the service whose steps are called from afar. Served by Hypercorn."""

from __future__ import annotations

from restate import Context, Service, TerminalError, app

worker = Service("worker")


@worker.handler()
async def add(ctx: Context, n: int) -> int:
    """Return the next number."""
    return n + 1


@worker.handler()
async def release(ctx: Context, n: int) -> None:
    """Take it back."""


@worker.handler()
async def refuse(ctx: Context, n: int) -> int:
    """Fail for good."""
    raise TerminalError("as planned")


application = app([worker])
