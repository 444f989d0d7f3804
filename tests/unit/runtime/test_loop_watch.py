"""A stall of the event loop is noticed, and idling is none."""

from __future__ import annotations

import asyncio

from folkmoot.runtime.loop_watch import LOOK_EVERY_S, LoopWatch
from folkmoot.testing.virtual_time import VirtualLoop


async def test_a_loop_that_stands_still_is_late_by_as_much() -> None:
    watch = LoopWatch()
    watching = asyncio.create_task(watch.run())
    await asyncio.sleep(10.5 * LOOK_EVERY_S)
    assert watch.delays.sum == 0
    looks = sum(watch.delays.counts)
    assert looks == 10
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.stall(0.75)
    await asyncio.sleep(LOOK_EVERY_S / 2)
    assert sum(watch.delays.counts) == looks + 1
    assert 0.75 - LOOK_EVERY_S <= watch.delays.sum <= 0.75
    watching.cancel()
