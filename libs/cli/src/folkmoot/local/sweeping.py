"""Stopping processes that are no children of this one: what a run that is over left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import psutil

from folkmoot.local.events import OnEvent, Stopped, Stopping, ignore
from folkmoot.local.processes import LOOK_EVERY_S, STOP_WITHIN_MS
from folkmoot.local.state import Identity, ProcessRecord


async def sweep(
    processes: Sequence[ProcessRecord],
    on_event: OnEvent = ignore,
    within_ms: int = STOP_WITHIN_MS,
) -> tuple[str, ...]:
    """Stop those that still live, the last first, and return their names."""
    swept = []
    for record in reversed(processes):
        if record.identity.find() is not None:
            on_event(Stopping(record.name))
            killed = not await end(record.identity, within_ms)
            on_event(Stopped(record.name, killed))
            swept.append(record.name)
    return tuple(swept)


async def end(identity: Identity, within_ms: int) -> bool:
    """Ask a process to end, and return whether it did so without being killed."""
    if (process := identity.find()) is None:
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
    if await gone(identity, within_ms):
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    await gone(identity, within_ms)
    return False


async def gone(identity: Identity, within_ms: int) -> bool:
    """Return whether a process ends within a time."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_ms / 1000):
            while identity.find() is not None:
                await asyncio.sleep(LOOK_EVERY_S)
            return True
    return False
