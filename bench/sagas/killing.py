"""What becomes of sagas when the leader of an orchestrator's shard is killed under full load."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from bench.failover.watching import Watch
from bench.figures import percentile
from bench.rows import Row
from bench.sagas.goals import most
from bench.sagas.kafka import Folkmoot
from bench.sagas.loops import Load, Outcome
from folkmoot.bus import connect
from folkmoot.bus.ports import Bus
from folkmoot.core.messages import log
from folkmoot.runtime.timing import Timing

SERVICE = "saga-orchestrator"
IN_FLIGHT = 64
BEFORE_S, AFTER_S = 6.0, 8.0
WINDOW_S = 1.0
"""Over which throughput is taken, before and after."""

LOOK_EVERY_S = 0.05
BACK_SHARE, BACK_WITHIN_S = 0.9, 3.0
AFFECTED_MARGIN_MS = 1_000


async def measure(contender: Folkmoot, folder: Path) -> list[Row]:
    """Kill it in the middle of a closed loop."""
    async with contender.turn(folder) as running:
        await running.driver.run(Load("three", 2.0, IN_FLIGHT))
        load = Load("three", BEFORE_S + AFTER_S, IN_FLIGHT)
        under_load = asyncio.create_task(running.driver.run(load))
        await asyncio.sleep(BEFORE_S)
        bus = await connect(contender.bus)
        killed_s = await _kill_leader(contender, bus)
        await bus.close()
        outcome = await under_load
    return rows(outcome, killed_s - outcome.began_s)


async def _kill_leader(contender: Folkmoot, bus: Bus) -> float:
    """Kill whoever leads the first shard; when that was, by the monotonic clock."""
    async with Watch(bus, log(SERVICE)) as watch:
        while True:
            for process in contender.replicas[SERVICE]:
                if (watch.holder or "").startswith(f"{process.name}-{process.pid}-"):
                    assert process.pid is not None
                    os.kill(process.pid, signal.SIGKILL)
                    return time.monotonic()
            await asyncio.sleep(LOOK_EVERY_S)


def rows(outcome: Outcome, killed_s: float) -> list[Row]:
    """Return when throughput was back, and how long those took that were in flight."""
    sagas = list(zip(outcome.ended_s, outcome.latencies_ms, strict=True))
    affected = [latency for ended, latency in sagas if ended - latency / 1000 <= killed_s < ended]
    limit_ms = Timing().ttl_ms + AFFECTED_MARGIN_MS
    name = "orchestrator's leader killed"
    latency_ms = percentile(affected, 0.99)
    return [
        most(
            f"{name}: 90 % of throughput again", back_after(outcome, killed_s), "s", BACK_WITHIN_S
        ),
        most(f"{name}: p99 of those in flight", latency_ms, "ms", limit_ms, n=len(affected)),
    ]


def back_after(outcome: Outcome, killed_s: float) -> float:
    """Return how long after the kill a window begins in which as many end as before, nearly."""
    before = _ended(outcome, killed_s - WINDOW_S * 3, killed_s) / 3
    begin = killed_s
    while before and begin + WINDOW_S <= max(outcome.ended_s):
        if _ended(outcome, begin, begin + WINDOW_S) >= BACK_SHARE * before:
            return begin - killed_s
        begin += LOOK_EVERY_S
    return float("inf")


def _ended(outcome: Outcome, since_s: float, until_s: float) -> int:
    return sum(since_s < ended <= until_s for ended in outcome.ended_s)
