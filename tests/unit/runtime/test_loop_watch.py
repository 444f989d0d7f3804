"""A stall of the event loop is noticed, and idling is none."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping

import pytest

from folkmoot.runtime import garbage
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


async def test_looking_for_garbage_is_told_apart() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)

    def take_long(phase: str, _info: Mapping[str, int]) -> None:
        if phase == "stop":
            loop.stall(0.3)

    watch = LoopWatch()
    gc.callbacks.append(take_long)
    watching = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0)
        before, taken = sum(watch.collections.counts), watch.collections.sum
        gc.collect()
        assert sum(watch.collections.counts) == before + 1
        assert watch.collections.sum - taken == pytest.approx(0.3)
    finally:
        gc.callbacks.remove(take_long)
        watching.cancel()
        await asyncio.wait([watching])
    assert not [each for each in gc.callbacks if "LoopWatch" in each.__qualname__]


def test_a_service_looks_rarely() -> None:
    before = gc.get_threshold()
    try:
        garbage.look_rarely()
        assert gc.get_threshold() == garbage.GARBAGE_AFTER
        assert gc.get_freeze_count() > 0
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
