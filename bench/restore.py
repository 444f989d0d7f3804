"""How long a shard takes to restore: from its whole log, and from a snapshot and what follows it.

The log is the orchestrator's, after a busy time, in an embedded file. Processor seconds, because
that is what a restore is made of; what the disk or the broker adds is little beside it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.rows import Row, options, report
from folkmoot.bus import Bus, connect
from folkmoot.bus.ports import Record, Topic
from folkmoot.contracts.snapshots import encode_snapshot
from folkmoot.contracts.topics import service_topics
from folkmoot.core.kernel import take
from folkmoot.core.saga import SagaState
from folkmoot.runtime.observer import observe
from folkmoot.runtime.shards import shard_name
from folkmoot.runtime.snapshots import Archive
from folkmoot.runtime.timing import Timing
from folkmoot.testing.histories import PLAYERS, History

SERVICE = "saga-orchestrator"
NAME = shard_name(SERVICE, 0)
MILLION = 1_000_000
WHOLE_GOAL_S, SNAPSHOT_GOAL_S, STALL_GOAL_MS = 10.0, 1.0, 20.0
APPEND_RECORDS = 500


def archive(bus: Bus, every: int) -> Archive[SagaState]:
    """Return the snapshots of the shard."""
    timing = Timing(snapshot_every_records=every)
    machine = PLAYERS[SERVICE]().machine()
    return Archive(bus.log, machine, NAME.log, NAME.partition, "bench", timing)


async def fill(bus: Bus, history: History, entries: int) -> None:
    """Let the history go on, and append what it wrote."""
    appender = await bus.log.appender()
    done = await bus.log.end_offset(NAME.log, NAME.partition)
    while len(history.records) < done + entries:
        history.play(APPEND_RECORDS)
    for first in range(done, len(history.records), APPEND_RECORDS):
        some = history.records[first : first + APPEND_RECORDS]
        records = [Record(written.value, None, written.headers) for written in some]
        await appender.append(NAME.log, NAME.partition, records)
    await appender.close()


@dataclass
class Stalls:
    """The longest turn that anything in the loop took, in processor seconds."""

    longest_s: float = 0.0


@asynccontextmanager
async def stalls() -> AsyncIterator[Stalls]:
    """Measure while the block runs."""
    found = Stalls()

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            found.longest_s = max(found.longest_s, time.thread_time() - before)

    watching = asyncio.create_task(watch())
    yield found
    watching.cancel()


async def timed(bus: Bus) -> float:
    """Return the processor seconds of a restore."""
    began = time.process_time()
    await observe(bus, PLAYERS[SERVICE]().machine(), NAME)
    return time.process_time() - began


async def measure(bus: Bus, entries: int, tail: int, repeats: int) -> list[Row]:
    """Return the figures for a log of so many entries, and so many behind the snapshot."""
    history = History(PLAYERS[SERVICE](), calm=True)
    await fill(bus, history, entries)
    whole = min([await timed(bus) for _ in range(repeats)])
    writing = archive(bus, every=1)
    async with stalls() as stall:
        await writing.write_apart()
    assert writing.newest is not None, "no snapshot was written"
    await fill(bus, history, tail)
    short = min([await timed(bus) for _ in range(repeats)])
    per_million = whole / entries * MILLION
    return [
        _goal("whole log, 1 M entries", per_million, "s", WHOLE_GOAL_S, entries),
        _goal(f"snapshot and {tail:,} entries", short, "s", SNAPSHOT_GOAL_S, repeats),
        Row("size of the snapshot", writing.newest.size / 1e6, "MB"),
        Row("encoding it", _encoding(history) * 1000, "ms"),
        _goal("longest turn beside a leader", stall.longest_s * 1000, "ms", STALL_GOAL_MS, 1),
    ]


def _encoding(history: History) -> float:
    shard = history.shard()
    return _seconds(lambda: [*encode_snapshot(take(shard))])


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _goal(name: str, value: float, unit: str, goal: float, n: int) -> Row:
    return Row(name, value, unit, f"at most {goal:g} {unit}", value <= goal, n=n)


async def main(json: Path | None, *, quick: bool) -> None:
    """Measure and report."""
    entries, tail, repeats = (2_000, 500, 1) if quick else (100_000, 25_000, 2)
    with tempfile.TemporaryDirectory() as folder:
        bus = await connect(f"embedded:{folder}/restore.db")
        await bus.log.create_topics(
            [Topic(s.name, s.partitions, s.config) for s in service_topics(1)]
        )
        rows = await measure(bus, entries, tail, repeats)
        await bus.close()
    report("Restoring a shard", rows, json)


if __name__ == "__main__":
    chosen = options(__doc__ or "").parse_args()
    asyncio.run(main(chosen.json, quick=chosen.quick))
