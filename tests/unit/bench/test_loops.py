"""The saga benchmark's loads: what is in flight, what a latency counts from, what a rate is."""

from __future__ import annotations

import asyncio
import time
from itertools import count

import pytest

from bench.sagas.loops import Load, Outcome, run


async def test_a_closed_loop_keeps_so_many_in_flight_and_ends_at_whole_rounds() -> None:
    now = most = 0

    async def one(number: int) -> None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.25)
        now -= 1

    outcome = await run(Load("three", seconds=0.5, in_flight=4), one, count())
    assert most == 4
    assert 12 <= len(outcome.latencies_ms) <= 16, "three rounds, and those still in flight"
    assert outcome.ended_s == sorted(outcome.ended_s)


async def test_a_closed_loop_of_slow_sagas_ends_at_four_times_its_time() -> None:
    async def one(number: int) -> None:
        await asyncio.sleep(0.03)

    outcome = await run(Load("three", seconds=0.005, in_flight=4), one, count())
    assert len(outcome.latencies_ms) == 4
    assert outcome.window_s == outcome.ended_s[-1], "no rate is drawn from a part of a round"
    assert outcome.per_second == 4 / outcome.window_s


async def test_an_open_loop_counts_a_latency_from_the_moment_that_was_meant() -> None:
    async def one(number: int) -> None:
        if number == 0:
            time.sleep(0.2)  # noqa: ASYNC251 - all stands still, as when a system stalls

    outcome = await run(Load("three", seconds=0.2, per_second=200), one, count())
    stalled = [each for each in outcome.latencies_ms if each > 50]
    assert len(stalled) > 15, "those that were meant to begin meanwhile waited as well"


async def test_an_open_loop_is_the_same_each_time() -> None:
    async def one(number: int) -> None:
        pass

    load = Load("three", seconds=0.05, per_second=400)
    first, second = [await run(load, one, count()) for _ in range(2)]
    assert 5 < len(first.latencies_ms) == len(second.latencies_ms)


@pytest.mark.parametrize("rate", [0, 100])
async def test_what_goes_wrong_in_a_saga_is_raised_and_ends_the_loop(rate: float) -> None:
    begun = 0

    async def one(number: int) -> None:
        nonlocal begun
        begun += 1
        if number == 3:
            raise ValueError("as it should not end")
        await asyncio.sleep(0.001)

    load = Load("three", seconds=1, in_flight=2, per_second=rate)
    with pytest.raises(ValueError, match="as it should not end"):
        await run(load, one, count())
    so_many = begun
    await asyncio.sleep(0.05)
    assert begun == so_many


def test_a_rate_counts_what_ended_within_the_window() -> None:
    outcome = Outcome(window_s=2.0, ended_s=[0.5, 1.0, 2.0, 2.5], latencies_ms=[1, 1, 1, 1])
    assert outcome.per_second == 1.5
