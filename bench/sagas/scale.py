"""What many sagas cost: those that are open and wait, and those that have ended.

The open ones wait in a step for a signal that nobody sends. Their memory is that of the
orchestrators, each of which holds every saga of its shards as leader or as standby; the workers'
memory, where a handler waits for each, is told apart. What a saga costs is measured before, beside
them, and after many more have ended.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.rows import Row
from bench.sagas.accounting import memory_mb
from bench.sagas.contender import Running
from bench.sagas.goals import most
from bench.sagas.kafka import PARTITIONS, REPLICAS, Folkmoot
from bench.sagas.loops import Load
from bench.sagas.points import Point
from folkmoot.bus import connect
from folkmoot.core.messages import inbox

SERVICE, WORKER = "saga-orchestrator", "agent-worker"
IN_FLIGHT = 64
OPEN_SAGA_BYTES = 2_000
COST_WITHIN = 1.1
QUIET_S = 3.0
"""Nothing has come for so long: all open sagas wait."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many sagas, and for how long each cost is measured."""

    open_sagas: int = 20_000
    ended_sagas: int = 20_000
    seconds: float = 10.0
    piece_s: float = 5.0
    """For how long sagas are run at a time, until there are as many as are wanted."""
    in_flight: int = 512
    """While they are made; costs are measured with 64."""


async def measure(contender: Folkmoot, folder: Path, scale: Scale) -> list[Row]:
    """Measure an empty system, one with open sagas, and one with many that have ended as well."""
    async with contender.turn(folder) as running:
        empty = await _cost(running, scale)
        before = memory_mb(running.pids)
        count = await _run(running, "idle", scale.open_sagas, scale)
        await _quiet(contender.bus)
        opened = memory_mb(running.pids)
        beside_open = await _cost(running, scale)
        middle = memory_mb(running.pids)
        ended = await _run(running, "three", scale.ended_sagas, scale)
        beside_ended = await _cost(running, scale)
        after = memory_mb(running.pids)
    each = 1e6 / (REPLICAS * count)
    waiting = f"{count:,} open sagas"
    more = f"{ended:,} ended ones more"
    return [
        most(
            f"orchestrator's memory for each of {waiting}, in each replica",
            (opened[SERVICE] - before[SERVICE]) * each,
            "bytes",
            OPEN_SAGA_BYTES,
            n=count,
        ),
        Row(
            f"worker's memory for each of {waiting}, whose handlers wait",
            (opened[WORKER] - before[WORKER]) * 1e6 / count,
            "bytes",
            n=count,
        ),
        Row(
            f"orchestrator's memory for each of {more}, in each replica",
            (after[SERVICE] - middle[SERVICE]) * 1e6 / (REPLICAS * ended),
            "bytes",
            n=ended,
        ),
        _ratio(f"processor time beside {waiting}", beside_open, empty),
        _ratio(f"processor time beside {waiting} and {more}", beside_ended, empty),
    ]


def _ratio(name: str, now: Point, empty: Point) -> Row:
    value = now.own_processor_ms / empty.own_processor_ms
    peer = f"empty: {empty.own_processor_ms:.3g} ms a saga"
    return most(name, value, "times", COST_WITHIN, peer, now.sagas)


async def _cost(running: Running, scale: Scale) -> Point:
    load = Load("three", scale.seconds, IN_FLIGHT)
    await running.driver.run(load)  # whatever is new warms up
    point, before = Point("Folkmoot", load), running.account()
    point.take(await running.driver.run(load), running.account().since(before))
    return point


async def _run(running: Running, shape: str, sagas: int, scale: Scale) -> int:
    """Run at least so many, and return how many they were."""
    done = 0
    while done < sagas:
        outcome = await running.driver.run(Load(shape, scale.piece_s, scale.in_flight))
        done += len(outcome.latencies_ms)
        print(f"{done:,} of {sagas:,} ({shape})", file=sys.stderr)
    return done


async def _quiet(address: str) -> None:
    """Return when nothing has come to the orchestrators for a while."""
    bus = await connect(address)
    ends, topic = [-1], inbox(SERVICE)
    while True:
        now = [await bus.log.end_offset(topic, each) for each in range(PARTITIONS)]
        if now == ends:
            break
        ends = now
        await asyncio.sleep(QUIET_S)
    await bus.close()
